"""The plugin in a pytest of its own: found through its entry point, cheap to start, clear when it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """\
def test_within(parameter_budget):
    parameter_budget("gpt2", max_params="125M")

def test_over(parameter_budget):
    parameter_budget("gpt2", max_params="100M", owner="edge")

def test_wrong(parameter_budget):
    parameter_budget("gpt2", max_parms="100M")
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_the_fixture_fails_a_test_with_one_line_for_each_limit(tmp_path: Path) -> None:
    (tmp_path / "test_size.py").write_text(TESTS)
    done = pytest_in(tmp_path)
    assert done.returncode == 1
    assert "2 failed, 1 passed" in done.stdout
    assert (
        "BudgetError: GPT-2 small (124M): max_params: 124,439,808 (124M) parameters, limit 100,000,000 (100M): 24,439,808 (24.4M) over"
        in done.stdout
    )
    assert "largest: feed_forward" in done.stdout
    assert "did you mean max_params" in done.stdout
    breach = done.stdout.split("test_over", 1)[1].split("test_wrong", 1)[0]
    assert not [file for file in ("verdicts.py", "api.py", "pytest_plugin.py") if file in breach], "it ends at the test's own line"


def test_the_fixture_is_documented(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "--fixtures")
    assert "parameter_budget [session scope]" in done.stdout
    assert "Hold a model or a live module to limits" in done.stdout


def test_pytest_starts_without_pydantic_typer_and_rich(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n\ndef test_nothing():\n"
        "    assert 'paramcalc.face.pytest_plugin' in sys.modules\n"
        "    assert not {'pydantic', 'typer', 'yaml', 'paramcalc.api'} & sys.modules.keys()\n"
        "    assert not [name for name in sys.modules if name.startswith('paramcalc.') and 'face' not in name]\n"
    )
    assert pytest_in(tmp_path).returncode == 0
