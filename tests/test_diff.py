"""`paramcalc diff`: two models, or one and itself at a revision, through a real git repository that nothing touches."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import GPT3, Called, Run

Git = Callable[..., str]
LAYER = 12 * 12288**2 + 13 * 12288


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """git in a repository of its own, whatever the machine's own configuration says."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    person = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    environment = clean | person | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def call(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    call("init", "--quiet", "--initial-branch=main")
    return call


@pytest.fixture
def repository(tmp_path: Path, git: Git) -> Path:
    """GPT-3 as committed, with one layer more in the working tree."""
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "gpt3.yaml"
    path.write_text(GPT3)
    git("add", "-A")
    git("commit", "--quiet", "-m", "first")
    path.write_text(GPT3.replace("num_hidden_layers: 96", "num_hidden_layers: 97"))
    return tmp_path


def answer(run: Run, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("diff", *arguments, "-f", "json").stdout)
    return found


def test_two_models_are_compared_by_component_kind_and_bytes(gpt3: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "deep.yaml").write_text(GPT3.replace("num_hidden_layers: 96", "num_hidden_layers: 97"))
    found = answer(run, gpt3, "deep.yaml")
    assert found["schema"] == "paramcalc/diff/1"
    assert [found[side]["source"] for side in ("before", "after")] == [str(gpt3), "deep.yaml"]
    assert found["parameters"]["total"]["change"] == LAYER
    assert sum(part["change"] for part in found["components"]) == LAYER
    assert sum(row["change"] for row in found["rows"]) == LAYER
    assert {name: change["change"] for name, change in found["bytes"].items() if name in ("fp32", "bf16")} == {
        "fp32": 4 * LAYER,
        "bf16": 2 * LAYER,
    }
    assert list(found)[-1] == "warnings"


@pytest.mark.parametrize("by", ["component", "layer", "kind", "tensor"])
def test_rows_by_any_key_sum_to_the_printed_total(by: str, gpt3: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "deep.yaml").write_text(GPT3.replace("num_hidden_layers: 96", "num_hidden_layers: 97"))
    table = run("diff", gpt3, "deep.yaml", "--by", by).stdout.split("\n\n")[1].splitlines()
    changes = [int(line.split()[-1].replace(",", "")) for line in table[1:] if line.split()[-1].lstrip("+-").replace(",", "").isdigit()]
    assert sum(changes[:-1]) == changes[-1] == LAYER


def test_the_change_is_in_the_first_line(gpt3: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "deep.yaml").write_text(GPT3.replace("num_hidden_layers: 96", "num_hidden_layers: 97").replace("GPT-3 175B", "GPT-3 deep"))
    first = run("diff", gpt3, "deep.yaml").stdout.splitlines()[0]
    assert first == f"GPT-3 175B → GPT-3 deep · +{LAYER:,} parameters (+1.81B, +1.04%)"
    back = run("diff", "deep.yaml", gpt3).stdout.splitlines()[0]
    assert back == f"GPT-3 deep → GPT-3 175B · -{LAYER:,} parameters (-1.81B, -1.03%)"
    same = run("diff", gpt3, gpt3).stdout.splitlines()
    assert same[0] == "GPT-3 175B · nothing changed: 174,604,259,328 (175B)"
    assert not any("," in line for line in same[1:]), "there is no table"


def test_tensors_show_their_shapes_and_copies_on_both_sides(gpt3: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "wide.yaml").write_text(GPT3.replace("49152", "49153"))
    rows = {row["name"]: row for row in answer(run, gpt3, "wide.yaml", "--by", "tensor")["rows"]}
    row = rows["transformer.h.{}.mlp.c_fc.weight"]
    assert (row["before_shape"], row["after_shape"], row["change"]) == ("96 × [12288, 49152]", "96 × [12288, 49153]", 96 * 12288)
    assert len(rows) == 3


def test_growth_over_the_limit_is_a_no(gpt3: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "deep.yaml").write_text(GPT3.replace("num_hidden_layers: 96", "num_hidden_layers: 97"))
    assert run("diff", gpt3, "deep.yaml", "--max-growth", "1.04%").returncode == 0
    done = run("diff", gpt3, "deep.yaml", "--max-growth", "1%", "-f", "json")
    assert done.returncode == 1
    total = 174_604_259_328
    limit = total + total // 100
    assert json.loads(done.stdout)["growth"] == {"limit": limit, "value": total + LAYER, "excess": total + LAYER - limit, "breached": True}
    assert run("diff", "deep.yaml", gpt3, "--max-growth", "0%").returncode == 0


def test_a_model_is_compared_with_itself_at_a_revision_and_nothing_is_touched(repository: Path, git: Git, run: Run) -> None:
    before = {path: path.read_bytes() for path in (repository / ".git").rglob("*") if path.is_file()}
    done = run("diff", "models/gpt3.yaml", "--git", "HEAD", "-f", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["parameters"]["total"]["change"]) == (0, LAYER)
    assert [found[side]["source"] for side in ("before", "after")] == ["HEAD:models/gpt3.yaml", "models/gpt3.yaml"]
    assert "num_hidden_layers: 97" in (repository / "models" / "gpt3.yaml").read_text()
    assert {path: path.read_bytes() for path in (repository / ".git").rglob("*") if path.is_file()} == before


def test_any_name_of_a_revision_will_do(repository: Path, git: Git, run: Run) -> None:
    git("tag", "v1")
    commit = git("rev-parse", "HEAD").strip()
    git("commit", "--quiet", "-am", "second")
    for revision in ("v1", commit, commit[:9], "main~1", "HEAD^"):
        assert answer(run, "models/gpt3.yaml", "--git", revision)["parameters"]["total"]["change"] == LAYER


def test_a_folder_means_its_config(repository: Path, git: Git, run: Run) -> None:
    (repository / "hf").mkdir()
    (repository / "hf" / "config.json").write_text('{"model_type": "gpt2", "n_embd": 6, "n_head": 3, "n_layer": 1, "vocab_size": 5}')
    git("add", "-A")
    git("commit", "--quiet", "-m", "config")
    assert answer(run, "hf", "--git", "HEAD")["parameters"]["total"]["change"] == 0


def test_a_hook_s_environment_does_not_lead_astray(repository: Path, run: Run) -> None:
    done = run("diff", "models/gpt3.yaml", "--git", "HEAD", env={"GIT_DIR": "nowhere", "GIT_INDEX_FILE": "nothing"})
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["models/gpt3.yaml", "--git", "nope"], 4, "no revision 'nope'"),
        (["models/gpt3.yaml", "--git", "HEAD~5"], 4, "no revision 'HEAD~5'"),
        (["models/new.yaml", "--git", "HEAD"], 4, "HEAD:models/new.yaml: that revision has no such file"),
        (["models", "--git", "HEAD"], 4, "has no such file"),
        (["models/bad.yaml", "--git", "HEAD"], 3, "HEAD:models/bad.yaml:2: is not YAML"),
        (["models/tree.yaml", "--git", "HEAD"], 4, "is not a file in that revision"),
        (["models/gpt3.yaml", "--git", "--output=x"], 2, "expected a git revision"),
        (["models/gpt3.yaml", "--git", "HEAD:models"], 2, "expected a git revision"),
        (["models/gpt3.yaml", "--git", ""], 2, "expected a git revision"),
        (["gpt3", "--git", "HEAD"], 3, "only a spec or a config"),
        (["models/gpt3.yaml"], 2, "expected two models"),
        (["models/gpt3.yaml", "gpt3", "--git", "HEAD"], 2, "expected two models"),
        (["models/gpt3.yaml", "gpt3", "--max-growth", "1"], 2, "--max-growth: expected a share"),
        (["models/gpt3.yaml", "nope.yaml"], 4, "nope.yaml: no such file"),
        (["models/gpt3.yaml", "gpt-4"], 2, "reported size"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: list[str], code: int, says: str, repository: Path, git: Git, called: Called) -> None:
    (repository / "models" / "bad.yaml").write_text("a: [\n")
    (repository / "models" / "tree.yaml").mkdir()
    (repository / "models" / "tree.yaml" / "x").write_text("x")
    git("add", "-A")
    git("commit", "--quiet", "--amend", "-m", "more")
    shutil.rmtree(repository / "models" / "tree.yaml")
    left, out, errors = called("diff", *arguments)
    assert (left, out) == (code, "")
    assert says in errors


def test_outside_of_a_repository_git_says_so(gpt3: Path, tmp_path: Path, run: Run) -> None:
    done = run("diff", gpt3, "--git", "HEAD", env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
    assert done.returncode == 4
    assert "not a git repository" in done.stderr


def test_without_git_the_refusal_says_what_to_do(repository: Path, run: Run) -> None:
    done = run("diff", "models/gpt3.yaml", "--git", "HEAD", env={"PATH": ""})
    assert (done.returncode, "git is not there" in done.stderr) == (4, True)


def test_a_budget_measures_growth_from_a_revision(repository: Path, git: Git, run: Run) -> None:
    (repository / "models" / "new.yaml").write_text(GPT3)
    (repository / "budget.yaml").write_text("budgets:\n  - {model: models/*.yaml, max_growth: 1%}\n  - {model: gpt2, max_growth: 0%}\n")
    done = run("check", "--git", "HEAD", "-f", "json")
    assert done.returncode == 1
    grown, new, bundled = json.loads(done.stdout)["models"]
    assert (grown["verdicts"][0]["value"], grown["verdicts"][0]["breached"]) == (174_604_259_328 + LAYER, True)
    assert new["verdicts"] == []
    assert (bundled["verdicts"][0]["excess"], bundled["verdicts"][0]["breached"]) == (0, False)
    assert json.loads(done.stdout)["warnings"] == ["models/new.yaml: is new: there is nothing to measure its growth from"]
    assert run("check", "--git", "nope").returncode == 4
