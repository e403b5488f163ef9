"""`[tool.paramcalc]`: a project's own defaults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Called, Run


def write(folder: Path, text: str) -> None:
    folder.joinpath("pyproject.toml").write_text(text)


def test_a_format_holds_for_every_command_until_the_call_says_otherwise(gpt3: Path, tmp_path: Path, run: Run) -> None:
    write(tmp_path, '[tool.paramcalc]\nformat = "json"\n')
    assert json.loads(run("count", gpt3).stdout)["schema"] == "paramcalc/count/1"
    assert json.loads(run("diff", gpt3, gpt3).stdout)["schema"] == "paramcalc/diff/1"
    assert run("count", gpt3, "-f", "table").stdout.startswith("GPT-3 175B · ")


def test_a_budget_and_its_baseline_are_found_from_any_folder_below(gpt3: Path, tmp_path: Path, run: Run) -> None:
    write(tmp_path, '[tool.paramcalc]\nbudget = "ci/limits.yaml"\nbaseline = "ci/held.lock"\nmax-growth = "1%"\n')
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "limits.yaml").write_text("budgets: [{model: ../gpt3.yaml, max_params: 175B}]\n")
    assert run("check", "--update").returncode == 0
    below = tmp_path / "src" / "deep"
    below.mkdir(parents=True)
    there = subprocess.run([sys.executable, "-m", "paramcalc", "check"], cwd=below, capture_output=True, text=True, timeout=60, check=False)
    assert (there.returncode, there.stdout.splitlines()[0]) == (0, "../../ci/limits.yaml · within budget, 2 limits (1 model)")
    assert "  ../gpt3.yaml:\n" in (tmp_path / "ci" / "held.lock").read_text()
    gpt3.write_text(gpt3.read_text().replace("num_hidden_layers: 96", "num_hidden_layers: 94"))
    assert run("check").returncode == 0
    run("check", "--update")
    gpt3.write_text(gpt3.read_text().replace("num_hidden_layers: 94", "num_hidden_layers: 96"))
    done = run("check")
    assert (done.returncode, "ci/limits.yaml · 1 of 2 limits breached" in done.stdout) == (1, True)


def test_budgets_may_be_several(gpt3: Path, tmp_path: Path, run: Run) -> None:
    write(tmp_path, '[tool.paramcalc]\nbudget = ["a.yaml", "b.yaml"]\n')
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("budgets: [{model: gpt3.yaml, max_params: 175B}]\n")
    assert [each["budget"] for each in json.loads(run("check", "-f", "json").stdout)] == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[tool.paramcalc]\nformat = "xml"\n', "pyproject.toml:2: tool.paramcalc.format: expected one of table, json, csv, markdown"),
        ("[tool.paramcalc]\n\nbudget = 3\n", "pyproject.toml:3: tool.paramcalc.budget: expected a text, got 3"),
        ('[tool.paramcalc]\nbugdet = "x"\n', "pyproject.toml:2: tool.paramcalc.bugdet: unknown key\n  hint: did you mean budget"),
        ('[tool.paramcalc]\nmax-growth = "1"\n', "tool.paramcalc.max-growth: expected a share"),
        ("[tool.paramcalc]\nformat =\n", "pyproject.toml: is not TOML"),
    ],
)
def test_a_wrong_default_is_refused_with_its_line(text: str, says: str, gpt3: Path, tmp_path: Path, called: Called) -> None:
    write(tmp_path, text)
    code, out, errors = called("count", gpt3)
    assert (code, out) == (3, "")
    assert says in errors


@pytest.mark.parametrize("text", ["", "[tool.other]\nformat = 'json'\n", "not TOML [", "[project]\nname = 'paramcalc'\n"])
def test_another_project_s_file_is_none_of_ours(text: str, gpt3: Path, tmp_path: Path, called: Called) -> None:
    write(tmp_path, text)
    assert called("count", gpt3)[1].startswith("GPT-3 175B · ")


def test_the_nearest_project_that_sets_anything_is_the_one(gpt3: Path, tmp_path: Path, run: Run) -> None:
    write(tmp_path.parent, '[tool.paramcalc]\nformat = "json"\n')
    try:
        write(tmp_path, "[project]\nname = 'inner'\n")
        assert run("count", gpt3).stdout.startswith("{")
        write(tmp_path, '[tool.paramcalc]\nformat = "table"\n')
        assert run("count", gpt3).stdout.startswith("GPT-3")
    finally:
        tmp_path.parent.joinpath("pyproject.toml").unlink()
