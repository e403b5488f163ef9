"""`paramcalc check` as a pipeline runs it: budgets, baselines, exit codes, and everything that can be wrong with them."""

from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from conftest import Called, Run

SPEC = """\
name: Chat
family: llama
vocab_size: 11
hidden_size: 6
layers: 2
heads: 3
kv_heads: 1
intermediate_size: {ffn}
context: 7
"""
TOTAL = 2 * 11 * 6 + 2 * (2 * 6 * 6 + 2 * 6 * 2 + 3 * 6 * 5 + 2 * 6) + 6

Write = Callable[..., Path]


@pytest.fixture
def budget(tmp_path: Path) -> Write:
    """Writes a budget beside a model of `TOTAL` parameters."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "chat.yaml").write_text(SPEC.format(ffn=5))

    def write(text: str) -> Path:
        path = tmp_path / "budget.yaml"
        path.write_text(text)
        return path

    return write


def entry(*lines: str, model: str = "models/chat.yaml") -> str:
    return "\n".join(["budgets:", f"  - model: {model}", *(f"    {line}" for line in lines)]) + "\n"


def answer(run: Run, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("check", *arguments, "-f", "json").stdout)
    return found


def test_a_budget_that_holds_exits_0_and_says_so_first(budget: Write, run: Run) -> None:
    budget(entry(f"max_params: {TOTAL}"))
    done = run("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "budget.yaml · within budget, 1 limit (1 model)"


def test_every_breach_is_listed_with_limit_value_excess_and_largest(budget: Write, run: Run) -> None:
    budget(entry(f"max_params: {TOTAL - 1}", "max_embeddings: 65", "max_active: 1K", "reason: one small card", "owner: serving"))
    done = run("check", "budget.yaml")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "budget.yaml · 2 of 3 limits breached (1 model)"
    for text in ("budget.yaml:3: budgets.0.max_params", "why: one small card", "owner: serving", "attention", "embedding"):
        assert text in done.stdout
    found = answer(run, "budget.yaml")
    assert (found["schema"], found["ok"], found["limits"], found["breached"]) == ("paramcalc/check/1", False, 3, 2)
    verdicts = {each["name"]: each for each in found["models"][0]["verdicts"]}
    assert verdicts["max_params"] | {"note": "", "what": ""} == {
        "name": "max_params", "what": "", "unit": "parameters", "limit": TOTAL - 1, "value": TOTAL, "excess": 1, "breached": True,
        "largest": {"name": "attention", "parameters": 2 * (2 * 36 + 2 * 12)}, "note": "", "place": "budget.yaml:3: budgets.0.max_params",
    }  # fmt: skip
    assert verdicts["max_embeddings"]["excess"] == 1
    assert not verdicts["max_active"]["breached"]


def test_csv_holds_every_limit_with_plain_integers(budget: Write, run: Run) -> None:
    budget(entry("max_params: 1", "max_inference: 1GiB"))
    rows = list(csv.DictReader(io.StringIO(run("check", "-f", "csv").stdout)))
    assert [(row["name"], row["unit"], row["breached"]) for row in rows] == [
        ("max_params", "parameters", "true"),
        ("max_inference", "bytes", "false"),
    ]
    assert int(rows[0]["value"]) - int(rows[0]["limit"]) == int(rows[0]["excess"]) == TOTAL - 1


def test_of_many_limits_every_breach_is_shown_and_of_the_others_the_fullest(budget: Write, run: Run) -> None:
    """45 entries: number n may hold (n + 1) / 10 of what it has. The first nine are over, the next twenty the fullest of the rest."""
    entries = [f"  - model: models/chat.yaml\n    max_params: {TOTAL * (n + 1) // 10}\n" for n in range(45)]
    budget("budgets:\n" + "".join(entries))
    lines = run("check").stdout.splitlines()
    shown = [int(line.split()[2].replace(",", "")) for line in lines if line.startswith("models/chat.yaml  max_params")]
    assert shown == [TOTAL * (n + 1) // 10 for n in range(9 + 20)]
    assert f"· {45 - 9 - 20} more limits within budget, less full than these; all of them: --format csv" in " ".join(lines)
    assert len(list(csv.DictReader(io.StringIO(run("check", "-f", "csv").stdout)))) == 45


def test_growth_is_near_its_limit_by_nature_and_shown_last(budget: Write, run: Run) -> None:
    entries = [f"  - model: models/chat.yaml\n    max_params: {TOTAL * 1000}\n    max_growth: 1%\n" for _ in range(25)]
    budget("budgets:\n" + "".join(entries))
    run("check", "--update")
    assert run("check").stdout.count("max_params") == 20


def test_memory_is_held_under_the_settings_that_the_budget_states(budget: Write, run: Run) -> None:
    settings = "inference: {context: 5, batch_size: 2, dtype: fp32}"
    budget(entry("max_inference: 4GiB", "fits: 24GB", settings, "max_training: 4GiB", "training: {seq_len: 5}"))
    values = {each["name"]: each["value"] for each in answer(run)["models"][0]["verdicts"]}
    plain = run("infer", "models/chat.yaml", "--context", 5, "--batch-size", 2, "--dtype", "fp32", "-f", "json").stdout
    assert values["max_inference"] == values["fits"] == json.loads(plain)["per_device"]["total"]
    train = json.loads(run("train", "models/chat.yaml", "--seq-len", 5, "-f", "json").stdout)
    assert values["max_training"] == train["per_device"]["total"]


def test_a_glob_takes_every_file_in_order_and_defaults_fill_what_an_entry_leaves_out(budget: Write, tmp_path: Path, run: Run) -> None:
    (tmp_path / "models" / "deep").mkdir()
    for name in ("b.yaml", "deep/a.yaml"):
        (tmp_path / "models" / name).write_text(SPEC.format(ffn=7))
    budget("defaults: {max_params: 1K, owner: all}\n" + entry("max_active: 1K", model="models/**/*.yaml"))
    found = answer(run)["models"]
    assert [each["model"]["source"] for each in found] == ["models/b.yaml", "models/chat.yaml", "models/deep/a.yaml"]
    assert {each["owner"] for each in found} == {"all"}
    assert [[each["name"] for each in model["verdicts"]] for model in found] == [["max_params", "max_active"]] * 3
    assert found[0]["verdicts"][0]["place"] == "budget.yaml:1: defaults.max_params"


def test_models_are_looked_for_from_the_folder_of_the_budget(budget: Write, tmp_path: Path, run: Run) -> None:
    (tmp_path / "ci").mkdir()
    budget("").rename(tmp_path / "ci" / "budget.yaml").write_text(entry("max_params: 1K", model="../models/chat.yaml"))
    assert run("check", "ci/budget.yaml").returncode == 0


def test_bundled_names_configs_and_folders_are_models_too(budget: Write, tmp_path: Path, run: Run) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text('{"model_type": "gpt2", "n_embd": 6, "n_head": 3, "n_layer": 1}')
    budget("budgets:\n" + "".join(f"  - {{model: {name}, max_params: 200B}}\n" for name in ("gpt3", "hf", "hf/config.json")))
    assert answer(run)["ok"]


def test_several_budgets_are_all_checked_and_the_first_failure_is_the_exit_code(budget: Write, tmp_path: Path, run: Run) -> None:
    budget(entry("max_params: 1"))
    (tmp_path / "other.yaml").write_text("budgets: 3\n")
    done = run("check", "budget.yaml", "other.yaml", "-f", "json")
    assert done.returncode == 1
    first, second = json.loads(done.stdout)
    assert (first["breached"], second["error"]["exit_code"]) == (1, 3)
    assert run("check", "other.yaml", "budget.yaml").returncode == 3


def test_a_model_that_cannot_be_read_does_not_hide_the_others(budget: Write, tmp_path: Path, run: Run) -> None:
    (tmp_path / "models" / "bad.yaml").write_text("family: gpt2\n")
    budget(entry("max_params: 1", model="models/*.yaml"))
    done = run("check")
    assert done.returncode == 3
    assert "error: models/bad.yaml: hidden_size: missing" in done.stderr
    assert "1 of 1 limit breached (2 models, 1 cannot be checked)" in done.stdout


# limits on the command line


def test_limits_on_the_command_line_hold_for_models(budget: Write, run: Run) -> None:
    budget("")
    assert run("check", "models/chat.yaml", "gpt3", "--max-params", "175B", "--max-active", "175B").returncode == 0
    done = run("check", "models/chat.yaml", "gpt3", "--max-params", "7B", "--max-memory", "24GiB", "-f", "json")
    assert done.returncode == 1
    breached = [each["name"] for model in json.loads(done.stdout)["models"] for each in model["verdicts"] if each["breached"]]
    assert breached == ["max_params", "max_inference"]


def test_limits_on_the_command_line_fill_in_for_a_budget(budget: Write, run: Run) -> None:
    budget(entry("max_params: 1K"))
    names = [each["name"] for each in answer(run, "budget.yaml", "--max-embeddings", 1)["models"][0]["verdicts"]]
    assert names == ["max_params", "max_embeddings"]


def test_settings_on_the_command_line_are_those_of_the_plan(budget: Write, run: Run) -> None:
    budget("")
    found = answer(run, "models/chat.yaml", "--max-memory", "4GiB", "--inference", "context=5", "--inference", "dtype=fp32")
    plain = json.loads(run("infer", "models/chat.yaml", "--context", 5, "--dtype", "fp32", "-f", "json").stdout)
    assert found["models"][0]["verdicts"][0]["value"] == plain["per_device"]["total"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--max-params", "7X"], "--max-params: expected a number of parameters"),
        (["--max-params=-7B"], "--max-params: expected a number that is not negative"),
        (["--max-memory", "24"], "--max-inference: expected bytes with a unit"),
        (["--max-growth", "1"], "--max-growth: expected a share"),
        (["--max-memory", "1GiB", "--inference", "contxt=1"], "--inference contxt: unknown setting"),
        (["--max-memory", "1GiB", "--inference", "context"], "expected --inference KEY=VALUE"),
        (["--max-params", "1B", "--report", "xml=out"], "expected --report FORMAT=FILE"),
        (["--max-growth", "1%", "--git", "main", "--update"], "--git measures growth from a revision"),
    ],
)
def test_a_wrong_option_is_a_mistaken_call(arguments: list[str], says: str, budget: Write, called: Called) -> None:
    budget("")
    code, out, errors = called("check", "models/chat.yaml", *arguments)
    assert (code, out) == (2, "")
    assert says in errors


def test_a_model_without_limits_is_a_mistaken_call(called: Called) -> None:
    code, out, errors = called("check", "gpt3")
    assert (code, out) == (2, "")
    assert "gpt3: no limit is given\n  hint: as in --max-params 7B" in errors


# bad budget files

BAD: dict[str, tuple[str, int, str]] = {
    "no budget": ("", 3, "budget.yaml: expected a mapping"),
    "a model": (SPEC.format(ffn=5), 3, "budget.yaml: is no budget: it has no `budgets`\n  hint: a model needs limits beside it"),
    "a list": ("- 1\n", 3, "got a list"),
    "no entries": ("budgets: []\n", 3, "budget.yaml:1: budgets: expected at least one entry"),
    "entries are no list": ("budgets: {a: 1}\n", 3, "budget.yaml:1: budgets: expected a valid list"),
    "mistyped top": ("budget:\n  - model: gpt3\n", 3, "budget.yaml:1: budget: unknown key\n  hint: did you mean budgets"),
    "no model": ("budgets:\n  - max_params: 1\n", 3, "budget.yaml:2: budgets.0.model: missing"),
    "unknown metric": (entry("max_prams: 1"), 3, "budget.yaml:3: budgets.0.max_prams: unknown metric\n  hint: did you mean max_params"),
    "unknown key": (entry("max_params: 1", "ownr: me"), 3, "budget.yaml:4: budgets.0.ownr: unknown key\n  hint: did you mean owner"),
    "no limit": (entry("reason: none"), 3, "budget.yaml:2: budgets.0: sets no limit"),
    "bytes without a unit": (entry("max_inference: 24"), 3, "budget.yaml:3: budgets.0.max_inference: expected bytes with a unit"),
    "alias without a unit": (entry("max_memory: 24"), 3, "budget.yaml:3: budgets.0.max_memory: expected bytes with a unit"),
    "share without a unit": (entry("max_growth: 1"), 3, "budget.yaml:3: budgets.0.max_growth: expected a share with its unit"),
    "negative": (entry("max_params: -7B"), 3, "budget.yaml:3: budgets.0.max_params: expected a number that is not negative"),
    "negative number": (entry("max_params: -7"), 3, "budget.yaml:3: budgets.0.max_params: expected a number that is not negative"),
    "a flag": (entry("max_params: true"), 3, "expected a number of parameters, as in 7B, got True"),
    "unknown setting": (
        entry("max_inference: 1GiB", "inference:", "  contxt: 3"),
        3,
        "budget.yaml:5: budgets.0.inference.contxt: unknown setting\n  hint: did you mean context",
    ),
    "setting of a wrong type": (
        entry("max_training: 1GiB", "training: {seq_len: long}"),
        3,
        "budget.yaml:4: budgets.0.training.seq_len: expected a valid integer, got 'long'",
    ),
    "setting that cannot be": (entry("max_inference: 1GiB", "inference: {context: -1}"), 3, "budget.yaml:4: budgets.0.inference.context: "),
    "unknown device": (entry("fits: H1000"), 3, "budget.yaml:3: budgets.0.fits: models/chat.yaml: no device is called 'H1000'"),
    "missing model": (entry("max_params: 1", model="models/nope.yaml"), 4, "budget.yaml:2: budgets.0.model: "),
    "glob without a match": (entry("max_params: 1", model="nope/*.yaml"), 4, "budget.yaml:2: budgets.0.model: no file matches"),
    "glob of everything": (entry("max_params: 1", model='"**a"'), 3, "budget.yaml:2: budgets.0.model: is no pattern"),
    "empty model": (entry("max_params: 1", model='""'), 3, "budget.yaml:2: budgets.0.model: expected a model"),
    "a reported size": (entry("max_params: 1", model="gpt-4"), 3, "budget.yaml:2: budgets.0.model: "),
    "anchors": ("budgets: [&a {model: gpt3, max_params: 1}, *a]\n", 3, "anchors and aliases are not allowed"),
    "duplicate key": (entry("max_params: 1", "max_params: 2"), 3, "budget.yaml:4: the key 'max_params' stands twice"),
    "deep": ("budgets: " + "[" * 200 + "]" * 200, 3, "deep"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_a_bad_budget_is_refused_with_file_line_and_key(case: str, budget: Write, called: Called) -> None:
    text, code, says = BAD[case]
    budget(text)
    left, _, errors = called("check", "budget.yaml")
    assert left == code
    assert says in errors
    assert errors.startswith("error: budget.yaml")


@pytest.mark.parametrize(
    "case", ["mistyped top", "no model", "unknown metric", "unknown key", "bytes without a unit", "a flag", "no entries"]
)
def test_the_schema_for_editors_refuses_what_the_reader_refuses(case: str, called: Called) -> None:
    schema = json.loads(called("schema", "--budget")[1])
    valid = (Path(__file__).parents[1] / "docs" / "examples" / "chat" / "budget.yaml").read_text()
    jsonschema.validate(yaml.safe_load(valid), schema)
    jsonschema.validate(yaml.safe_load(entry("max_memory: 1GiB", "max_params: 7")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(BAD[case][0]), schema)


def test_all_problems_of_a_budget_are_told_together_in_their_order(budget: Write, run: Run) -> None:
    budget(entry("max_inference: 24", "max_prams: 1") + "defaults: {max_growth: 3}\n")
    lines = [line for line in run("check").stderr.splitlines() if line.startswith("error:")]
    assert [line.split(":")[2] for line in lines] == ["3", "4", "5"]


def test_a_missing_budget_exits_4(run: Run) -> None:
    done = run("check")
    assert (done.returncode, done.stdout) == (4, "")
    assert "budget.yaml: cannot be read: no such file" in done.stderr


# baselines


def grow(tmp_path: Path, ffn: int) -> None:
    (tmp_path / "models" / "chat.yaml").write_text(SPEC.format(ffn=ffn))


def test_growth_is_measured_from_the_lock_file_and_accepted_by_update(budget: Write, tmp_path: Path, run: Run) -> None:
    budget(entry("max_growth: 5%"))
    assert run("check", "--update").returncode == 0
    assert run("check").returncode == 0
    grow(tmp_path, 6)
    done = run("check", "-f", "json")
    assert done.returncode == 1
    verdict = json.loads(done.stdout)["models"][0]["verdicts"][0]
    assert (verdict["limit"], verdict["value"], verdict["largest"]) == (
        TOTAL + TOTAL * 5 // 100,
        TOTAL + 36,
        {"name": "feed_forward", "parameters": 36},
    )
    assert run("check", "--update").returncode == 0
    assert run("check").returncode == 0


def test_growth_on_the_command_line_holds_for_every_entry(budget: Write, tmp_path: Path, run: Run) -> None:
    budget(entry("max_params: 1K"))
    assert run("check", "--update", "--baseline", "held.lock").returncode == 0
    grow(tmp_path, 6)
    assert run("check", "--baseline", "held.lock", "--max-growth", "6%").returncode == 1
    assert run("check", "--baseline", "held.lock", "--max-growth", "7%").returncode == 0


LOCK = f"""\
# Parameters of the models that `paramcalc check` watches, as they were last accepted.
# Written by `paramcalc check --update`; a limit on growth is measured from here.
schema: paramcalc/lock/1
models:
  gpt2:
    total: 124439808
    active: 124439808
    embeddings: 39383808
    weights: 84953856
    biases: 102144
    trainable: 124439808
    components:
      attention: 28348416
      embedding: 38597376
      feed_forward: 56669184
      norm: 38400
      position_embedding: 786432
  models/chat.yaml:
    total: {TOTAL}
    active: {TOTAL}
    embeddings: 66
    weights: {TOTAL - 66}
    biases: 0
    trainable: {TOTAL}
    components:
      attention: 192
      embedding: 66
      feed_forward: 180
      head: 66
      norm: 30
"""


def test_the_lock_file_is_sorted_and_the_same_for_the_same_models(budget: Write, tmp_path: Path, run: Run) -> None:
    budget(entry("max_params: 1K") + "  - {model: gpt2, max_params: 1B}\n  - {model: models/chat.yaml, max_active: 1K}\n")
    run("check", "--update")
    lock = tmp_path / "paramcalc.lock"
    assert lock.read_text() == LOCK
    first = lock.stat().st_mtime_ns, lock.stat().st_ino
    done = run("check", "--update")
    assert "paramcalc.lock is up to date" in done.stderr
    assert (lock.stat().st_mtime_ns, lock.stat().st_ino) == first


def test_a_lock_file_may_be_json(budget: Write, tmp_path: Path, run: Run) -> None:
    budget(entry("max_growth: 0%"))
    figures = {"total": TOTAL, "active": None, "embeddings": 66, "weights": TOTAL - 66, "biases": 0, "trainable": TOTAL, "components": {}}
    (tmp_path / "paramcalc.lock").write_text(json.dumps({"schema": "paramcalc/lock/1", "models": {"models/chat.yaml": figures}}))
    assert run("check").returncode == 0


def test_update_writes_nothing_where_a_model_cannot_be_counted(budget: Write, tmp_path: Path, run: Run) -> None:
    budget(entry("max_params: 1K") + "  - {model: nope.yaml, max_params: 1}\n")
    (tmp_path / "paramcalc.lock").write_text(LOCK)
    done = run("check", "--update")
    assert done.returncode == 4
    assert "paramcalc.lock was not written" in done.stderr
    assert (tmp_path / "paramcalc.lock").read_text() == LOCK


def test_a_breach_is_a_breach_with_update_too(budget: Write, tmp_path: Path, run: Run) -> None:
    budget(entry("max_params: 1"))
    assert run("check", "--update").returncode == 1
    assert (tmp_path / "paramcalc.lock").is_file()


def test_the_lock_file_is_never_half_written(budget: Write, tmp_path: Path) -> None:
    """A disk that is full after 300 bytes leaves the lock file as it was, and nothing beside it."""
    budget(entry("max_params: 1K") + "  - {model: gpt2, max_params: 1B}\n")
    lock = tmp_path / "paramcalc.lock"
    lock.write_text("schema: paramcalc/lock/1\nmodels: {}\n")

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

    command = [sys.executable, "-m", "paramcalc", "check", "--update"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, preexec_fn=full)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "paramcalc.lock: cannot be written" in done.stderr
    assert lock.read_text() == "schema: paramcalc/lock/1\nmodels: {}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["budget.yaml", "models", "paramcalc.lock"]


BAD_LOCKS: dict[str, tuple[str | None, int, str]] = {
    "not there": (None, 4, "paramcalc.lock: there is no lock file to measure growth from\n  hint: `paramcalc check --update`"),
    "another version": (LOCK.replace("lock/1", "lock/2"), 3, "paramcalc.lock:3: schema: expected paramcalc/lock/1, got 'paramcalc/lock/2'"),
    "no version": ("models: {}\n", 3, "paramcalc.lock: schema: is no lock file"),
    "something else": ("hello\n", 3, "is no lock file: expected a mapping"),
    "not yaml": ("a: [\n", 3, "is not YAML"),
    "no models": ("schema: paramcalc/lock/1\nmodels: 3\n", 3, "paramcalc.lock:2: models: expected a mapping of models"),
    "without this model": ("schema: paramcalc/lock/1\nmodels: {}\n", 3, "has no 'models/chat.yaml' to measure growth from"),
    "a text for a count": (
        LOCK.replace(f"total: {TOTAL}", "total: many"),
        3,
        "paramcalc.lock:19: models.models/chat.yaml.total: expected a number of parameters, got 'many'",
    ),
    "a negative count": (LOCK.replace("norm: 30", "norm: -30"), 3, "models.models/chat.yaml.components: expected parameters by component"),
    "a null": (LOCK.replace("biases: 0", "biases: null"), 3, "models.models/chat.yaml.biases: expected a number of parameters, got None"),
}


@pytest.mark.parametrize("case", BAD_LOCKS, ids=str)
def test_a_bad_baseline_is_refused_with_its_place(case: str, budget: Write, tmp_path: Path, called: Called) -> None:
    text, code, says = BAD_LOCKS[case]
    budget(entry("max_growth: 1%"))
    if text is not None:
        (tmp_path / "paramcalc.lock").write_text(text)
    left, _, errors = called("check")
    assert left == code
    assert says in errors


def test_a_model_outside_of_the_folder_is_locked_by_its_way_there_and_its_path_is_shown(budget: Write, tmp_path: Path, run: Run) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "budget.yaml").write_text(entry("max_growth: 1%", model="../models/chat.yaml"))
    budget("")
    assert run("check", "--update", "repository/budget.yaml").returncode == 0
    assert "  ../models/chat.yaml:\n" in (tmp_path / "repository" / "paramcalc.lock").read_text()
    done = run("check", "repository/budget.yaml")
    assert done.returncode == 0
    assert f"lies outside of the lock file's folder: {tmp_path / 'models' / 'chat.yaml'}" in done.stderr


def test_odd_names_survive_the_lock_file(budget: Write, tmp_path: Path, run: Run) -> None:
    for name in ("a: b.yaml", "no.yaml", 'quote".yaml', "ünï.yaml", "- x.yaml"):
        (tmp_path / "models" / name).write_text(SPEC.format(ffn=5))
    budget(entry("max_growth: 0%", model="models/*.yaml"))
    assert run("check", "--update").returncode == 0
    assert run("check").returncode == 0


def test_a_narrow_pipe_still_gets_every_figure(budget: Write, run: Run) -> None:
    budget(entry("max_params: 1", "max_inference: 1KiB", "reason: " + "long " * 40))
    out = run("check", env={"COLUMNS": "80"}).stdout
    assert max(map(len, out.splitlines())) <= 80
    assert f"{TOTAL:,}" in out
