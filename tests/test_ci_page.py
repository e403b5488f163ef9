"""docs/ci.md shows a repository, a workflow and a pull request that fails; here all of it happens.

The action's own steps run as a runner runs them, in a git repository made of what the page shows, and the summary that
they write is the one on the page. `python tests/test_docs.py` writes the page anew.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import paramcalc

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "ci.md"
SHOWN = ROOT / "docs" / "examples" / "chat"
FILES = ("models/chat.yaml", "budget.yaml", "paramcalc.lock", ".github/workflows/models.yml")
"""What the page shows, in its order."""
SUMMARY = re.compile(r"(?<=<!-- summary -->\n).*?(?=<!-- end of summary -->)", re.DOTALL)
CHANGE = re.compile(r"^```diff\n-(?P<old>.*)\n\+(?P<new>.*)\n```$", re.MULTILINE)
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def action() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return found


def repository(folder: Path, text: str) -> Path:
    """The repository that the page shows, committed, with the change of its pull request in the working tree."""
    for name, content in zip(FILES, BLOCK.findall(text), strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    for command in ("init --quiet --initial-branch=main", "add -A", "-c user.name=a -c user.email=a@example.org commit --quiet -m first"):
        subprocess.run(["git", *shlex.split(command)], cwd=folder, env=clean, check=True, capture_output=True)
    change = CHANGE.search(text)
    assert change
    model = folder / FILES[0]
    assert change["old"] in model.read_text()
    model.write_text(model.read_text().replace(change["old"], change["new"]))
    return folder


def stepped(folder: Path, step: dict[str, Any], inputs: dict[str, str], **environment: str) -> subprocess.CompletedProcess[str]:
    """One step of the action as a runner runs it: its script in bash, inputs and outputs put into its variables."""
    known = {f"inputs.{name}": inputs.get(name, about["default"]) for name, about in action()["inputs"].items()}
    assert set(inputs) <= set(action()["inputs"])
    known |= {"steps.python.outputs.python-path": sys.executable, "github.action_path": str(ROOT)}

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ (.+?) \}\}", lambda match: known[match[1]], text)

    variables = {name: filled(value) for name, value in step["env"].items()}
    where = folder / filled(step.get("working-directory", "."))
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=where, env=os.environ | variables | environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def checked(folder: Path, temporary: Path, **inputs: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """The action's last step, and the summary it wrote. Paramcalc lies where the step before would have put it."""
    temporary.mkdir(exist_ok=True)
    (temporary / "paramcalc").unlink(missing_ok=True)
    (temporary / "paramcalc").symlink_to(ROOT)
    summary = temporary / "summary.md"
    summary.unlink(missing_ok=True)
    named = {name.replace("_", "-"): value for name, value in inputs.items()}
    done = stepped(
        folder, action()["runs"]["steps"][-1], named,
        RUNNER_TEMP=str(temporary), GITHUB_STEP_SUMMARY=str(summary), GITHUB_WORKSPACE=str(folder),
    )  # fmt: skip
    return done, summary.read_text() if summary.exists() else ""


def test_the_page_shows_the_files_that_its_examples_run_on() -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert blocks[: len(FILES)] == [(SHOWN / name).read_text() for name in FILES]


def test_the_pull_request_fails_with_the_summary_on_the_page(tmp_path: Path) -> None:
    text = PAGE.read_text()
    workflow = yaml.safe_load(BLOCK.findall(text)[3])
    step = workflow["jobs"]["budget"]["steps"][-1]
    assert step["uses"] == f"OWNER/paramcalc@v{paramcalc.__version__}"
    done, summary = checked(repository(tmp_path / "here", text), tmp_path / "runner", **step["with"])
    assert done.returncode == 1, done.stderr
    shown = SUMMARY.search(text)
    assert shown
    assert summary == shown[0]
    annotations = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
    assert [re.search(r"title=(.*?)::", line)[1] for line in annotations] == [  # type: ignore[index]
        f"models/chat.yaml is over {name}" for name in ("max_growth", "max_params", "max_inference", "fits")
    ]
    assert (tmp_path / "here" / "models.sarif").is_file()


def test_the_change_passes_once_it_is_undone(tmp_path: Path) -> None:
    folder = repository(tmp_path / "here", PAGE.read_text())
    subprocess.run(["git", "checkout", "--quiet", "."], cwd=folder, check=True)
    done, summary = checked(folder, tmp_path / "runner")
    assert done.returncode == 0, done.stderr
    assert summary.startswith("### budget.yaml · within budget, 6 limits (1 model)\n")


def test_inputs_of_the_action_reach_the_program_and_never_the_shell(tmp_path: Path) -> None:
    folder = repository(tmp_path / "here", PAGE.read_text())
    shutil.move(folder / "budget.yaml", folder / "a budget; touch $(echo forged).yaml")
    name = "a budget; touch $(echo forged).yaml"
    done, _ = checked(folder, tmp_path / "runner", budget=f"\n{name}\n", git="HEAD", junit="out.xml", max_growth="50%")
    assert done.returncode == 1, done.stderr
    assert "max_growth" in (folder / "out.xml").read_text()
    assert not list(folder.glob("forged*"))
    done, _ = checked(folder, tmp_path / "runner", arguments="models/chat.yaml\n--max-params\n2B\n--max-growth\n50%\n--git\nHEAD")
    assert done.returncode == 0, done.stderr
    assert checked(folder, tmp_path / "runner", budget=name, git="--output=x")[0].returncode == 2
    assert checked(folder, tmp_path / "runner", budget="--update")[0].returncode == 4


def test_the_action_installs_a_paramcalc_that_runs(tmp_path: Path) -> None:
    """As on a runner, but that what it depends on is here already: nothing is fetched."""
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_CONFIG_FILE": os.devnull}
    done = stepped(tmp_path, action()["runs"]["steps"][1], {}, RUNNER_TEMP=str(tmp_path), **offline)
    assert done.returncode == 0, done.stderr
    call = [sys.executable, "-m", "paramcalc", "check", "gpt3", "--max-params", "175B"]
    here = os.environ | {"PYTHONPATH": str(tmp_path / "paramcalc")}
    assert subprocess.run(call, cwd=tmp_path, env=here, capture_output=True, timeout=60, check=False).returncode == 0
    assert (tmp_path / "paramcalc" / "paramcalc" / "architectures" / "gpt3.yaml").is_file()


def test_steps_of_the_action_take_no_input_into_their_script() -> None:
    for step in action()["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert step.get("shell", "bash") == "bash"


@pytest.mark.parametrize(("ffn", "code"), [("5632", 0), ("9000", 1)])
def test_the_pre_commit_hook_runs_what_it_says(ffn: str, code: int, tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == ("paramcalc", "python", False)
    folder = repository(tmp_path, PAGE.read_text())
    subprocess.run(["git", "checkout", "--quiet", "."], cwd=folder, check=True)
    model = folder / "models" / "chat.yaml"
    model.write_text(model.read_text().replace("ffn: 5632", f"ffn: {ffn}"))
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    call = subprocess.run(shlex.split(hook["entry"]), cwd=folder, env=os.environ | {"PATH": search}, capture_output=True, check=False)
    assert call.returncode == code


def test_the_pre_commit_hook_runs_when_something_it_reads_changes() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    for name in ("budget.yaml", "models/a.yml", "hf/config.json", "paramcalc.lock", "pyproject.toml", "m/model.safetensors", "m/q.gguf"):
        assert re.search(hook["files"], name), name
    for name in ("train.py", "README.md", "uv.lock", "yaml/notes.txt"):
        assert not re.search(hook["files"], name), name


def rewrite(folder: Path) -> None:
    """Writes the files and the summary on the page anew; `folder` is an empty one to work in."""
    texts = iter([(SHOWN / name).read_text() for name in FILES])
    page = BLOCK.sub(lambda match: f"```yaml\n{next(texts, match[1])}```", PAGE.read_text())
    _, summary = checked(repository(folder / "here", page), folder / "runner", sarif="models.sarif")
    PAGE.write_text(SUMMARY.sub(lambda _: summary, page))
