"""Bad input is normal: a clear refusal with the contract's exit code, never a traceback, never a hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import GPT3, Run

from paramcalc.gate.documents import MAX_BYTES

ALIAS_BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{n}: &{n} [{', '.join(['*' + p] * 8)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
)

DOCUMENTS: dict[str, tuple[str, int, str]] = {
    # name: text, exit code, what the message must say
    "not yaml": ("a: [1, 2", 3, "is not YAML"),
    "tabs": ("a:\n\t- b", 3, "is not YAML"),
    "empty": ("", 3, "expected a mapping"),
    "a list": ("- 1\n- 2", 3, "got a list"),
    "a word": ("hello", 3, "got a text"),
    "unknown key": (GPT3 + "num_hiden_layers: 3\n", 3, "num_hidden_layers"),
    "text for a size": (GPT3.replace("12288", "'12288'"), 3, "expected a whole number, got '12288'"),
    "flag for a size": (GPT3.replace("12288", "true"), 3, "expected a whole number, got True"),
    "fraction": (GPT3.replace("12288", "122.88"), 3, "expected a whole number"),
    "whole float": (GPT3.replace("12288", "12288.0"), 3, "expected a whole number"),
    "negative": (GPT3.replace("12288", "-12288"), 3, "expected at least 1"),
    "zero": (GPT3.replace("12288", "0"), 3, "expected at least 1"),
    "huge": (GPT3.replace("12288", "9" * 30), 3, "expected a number from 1 to"),
    "digits without end": (GPT3.replace("12288", "9" * 6000), 3, "cannot be read"),
    "not a number": (GPT3.replace("12288", ".nan"), 3, "NaN"),
    "infinite": (GPT3.replace("12288", ".inf"), 3, "expected a whole number"),
    "null size": (GPT3.replace("12288", "null"), 3, "missing"),
    "list for a size": (GPT3.replace("12288", "[1, 2]"), 3, "expected a whole number"),
    "mapping for a size": (GPT3.replace("12288", "{a: 1}"), 3, "expected a whole number"),
    "missing size": (GPT3.replace("hidden_size: 12288\n", ""), 3, "hidden_size: missing"),
    "duplicate key": (GPT3 + "vocab_size: 1\n", 3, "stands twice"),
    "two spellings": (GPT3 + "n_embd: 5\n", 3, "says"),
    "alias bomb": (ALIAS_BOMB, 3, "anchors and aliases are not allowed"),
    "merge key": ("<<: {a: 1}\n" + GPT3, 3, "merge keys"),
    "tag": ("name: !!python/object/apply:os.system ['true']\n", 3, "tag"),
    "deep": ("a: " + "[" * 200 + "]" * 200, 3, "deep"),
    "heads do not divide": (GPT3.replace("num_attention_heads: 96", "num_attention_heads: 7"), 3, "does not divide"),
    "kv heads do not divide": (GPT3.replace("gpt2", "llama") + "kv_heads: 7\n", 3, "does not divide"),
    "unknown family": (GPT3.replace("gpt2", "gtp2"), 5, "gpt2"),
    "family is a number": (GPT3.replace("gpt2", "2"), 5, "name of a family"),
    "unknown activation": (GPT3 + "hidden_act: gleu\n", 3, "gelu"),
    "unknown kind": ("width: 6\nparts:\n  atention: {heads: 2}\n", 5, "attention"),
    "unknown field": ("width: 6\nparts:\n  attention: {heads: 2, kvheads: 1}\n", 3, "kv_heads"),
    "top-k above experts": ("width: 6\nparts:\n  experts: {count: 4, visited: 5, expert: {size: 3}}\n", 3, "more than count"),
    "kind not in kinds": ("width: 6\nparts:\n  layers: {kinds: {dense: {norm: norm}}, order: 3 sparse}\n", 3, "not one of the kinds"),
    "kinds without order": ("width: 6\nparts:\n  layers: {kinds: {dense: {norm: norm}}}\n", 3, "need an order"),
    "like nothing": ("width: 6\nparts:\n  layers: {kinds: {a: {like: b}}, order: 1 a}\n", 3, "not a kind described above"),
    "tie to nothing": ("width: 6\nparts:\n  head: {outputs: 3, tied: embeding}\n", 3, "not a part"),
    "no width": ("parts:\n  attention: {heads: 2}\n", 3, "width"),
    "reported without who": ("kind: reported\nname: X\nlow: 5\nhigh: 6\n", 3, "by: missing"),
}


@pytest.mark.parametrize("case", DOCUMENTS, ids=str)
def test_a_bad_document_is_refused_with_its_place_and_reason(case: str, tmp_path: Path, run: Run) -> None:
    text, code, says = DOCUMENTS[case]
    (tmp_path / "bad.yaml").write_text(text)
    done = run("count", "bad.yaml")
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: bad.yaml")
    assert says in done.stderr


def test_all_problems_of_a_file_are_told_together_with_their_lines(tmp_path: Path, run: Run) -> None:
    (tmp_path / "bad.yaml").write_text(GPT3.replace("12288", "-1").replace("96", "x"))
    lines = [line for line in run("count", "bad.yaml").stderr.splitlines() if line.startswith("error:")]
    assert [line.split(":")[2] for line in lines] == ["4", "5", "6"]


def test_json_is_held_to_the_same_rules(tmp_path: Path, run: Run) -> None:
    for text, says in [
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": NaN}', "NaN"),
        ("{", "is not JSON"),
        ("[1]", "got a list"),
        ("[" * 10**5, "deep"),
    ]:
        (tmp_path / "config.json").write_text(text)
        done = run("count", "config.json")
        assert (done.returncode, "Traceback" in done.stderr) == (3, False)
        assert says in done.stderr


def test_a_config_without_a_known_model_type_is_refused_with_the_nearest(tmp_path: Path, run: Run) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "lama", "hidden_size": 4}')
    done = run("count", "config.json")
    assert done.returncode == 5
    assert "did you mean llama" in done.stderr


@pytest.mark.parametrize("name", ["missing.yaml", "gpt33", "a/b/c.yaml", "x" * 5000, "bad\0name.yaml"[:3]])
def test_what_is_not_there_exits_4(name: str, run: Run) -> None:
    done = run("count", name)
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)


def test_a_folder_without_a_config_is_refused(tmp_path: Path, run: Run) -> None:
    (tmp_path / "folder").mkdir()
    done = run("count", "folder")
    assert done.returncode == 3
    assert "without a config.json or weights" in done.stderr


def test_a_binary_file_is_refused(tmp_path: Path, run: Run) -> None:
    (tmp_path / "model.yaml").write_bytes(bytes(range(256)))
    assert run("count", "model.yaml").returncode == 3


def test_a_file_of_100_megabytes_is_refused_unread(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    done = run("count", "big.yaml", timeout=10)
    assert done.returncode == 3
    assert f"{MAX_BYTES:,}" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_exits_4(gpt3: Path, run: Run) -> None:
    gpt3.chmod(0)
    assert run("count", gpt3).returncode == 4


def test_a_pipe_that_closes_early_is_no_error(gpt3: Path) -> None:
    command = f"{sys.executable} -m paramcalc count {gpt3} --by tensor -f json | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


@pytest.mark.parametrize("override", ["layers", "=3", "a..b=1", "num_hidden_layers=[", "vocab_size.x=3"])
def test_a_bad_override_is_a_mistaken_call(override: str, gpt3: Path, run: Run) -> None:
    done = run("count", gpt3, "--set", override)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_an_output_that_cannot_be_written_is_a_mistaken_call(gpt3: Path, run: Run) -> None:
    done = run("count", gpt3, "-o", "no/such/folder/out.json")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_a_full_disk_is_told_in_one_line(gpt3: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "paramcalc", "count", str(gpt3)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: standard output: cannot be written: No space left on device\n")


def test_a_problem_stands_at_the_spelling_that_the_file_has(tmp_path: Path, run: Run) -> None:
    spec = tmp_path / "short.yaml"
    spec.write_text("family: llama\nheads: -3\n")
    assert f"{spec}:2: heads: expected at least 1, got -3" in run("count", spec).stderr
