"""The program as people and scripts see it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from conftest import Run

from paramcalc.face.cli.app import COMMANDS

TOTAL = 174_604_259_328


def test_the_answer_is_in_the_first_line(gpt3: Path, run: Run) -> None:
    assert run("count", gpt3).stdout.splitlines()[0] == "GPT-3 175B · 174,604,259,328 parameters (175B)"


def test_a_pipe_gets_no_colour_and_at_most_80_columns(gpt3: Path, run: Run) -> None:
    for command in (["count"], ["count", "--by", "tensor"], ["count", "--conventions"], ["validate"], ["explain"]):
        out = run(command[0], gpt3, *command[1:]).stdout
        assert "\x1b" not in out
        assert max(map(len, out.splitlines())) <= 80


def test_a_narrow_terminal_still_shows_every_figure(gpt3: Path, run: Run) -> None:
    out = run("count", gpt3, env={"COLUMNS": "44"}).stdout
    assert max(map(len, out.splitlines()[2:])) <= 44
    assert "115,970,015,232" in out


def test_the_printed_components_sum_to_the_printed_total(gpt3: Path, run: Run) -> None:
    lines = run("count", gpt3).stdout.split("\n\n")[1].splitlines()
    figures = [int(line.split()[1].replace(",", "")) for line in lines[1:]]
    assert sum(figures[:-1]) == figures[-1] == TOTAL


def test_json_holds_what_the_contract_says(gpt3: Path, run: Run) -> None:
    answer = json.loads(run("count", gpt3, "-f", "json").stdout)
    assert next(iter(answer)) == "schema"
    assert list(answer)[-1] == "warnings"
    assert answer["schema"] == "paramcalc/count/1"
    assert answer["model"] == {"name": "GPT-3 175B", "source": str(gpt3), "model_type": "gpt2"}
    numbers = answer["parameters"]
    assert numbers["embeddings"] + numbers["weights"] + numbers["biases"] == numbers["total"] == numbers["active"] == TOTAL
    assert sum(part["total"] for part in answer["components"]) == TOTAL
    assert "rows" not in answer


@pytest.mark.parametrize("by", ["layer", "tensor", "component", "kind"])
def test_rows_by_any_key_sum_to_the_total(by: str, gpt3: Path, run: Run) -> None:
    rows = json.loads(run("count", gpt3, "--by", by, "-f", "json").stdout)["rows"]
    assert sum(row["total"] for row in rows) == TOTAL
    if by == "tensor":
        assert {"name", "shape", "repeat", "kind", "component", "total"} <= rows[0].keys()


def test_csv_holds_plain_integers(gpt3: Path, run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("count", gpt3, "-f", "csv").stdout)))
    assert sum(int(row["parameters"]) for row in rows if row["component"] != "total") == TOTAL


def test_markdown_is_a_heading_and_tables(gpt3: Path, run: Run) -> None:
    out = run("count", gpt3, "-f", "markdown").stdout
    assert out.startswith("### GPT-3 175B")
    assert "| attention | 57,986,777,088 |" in out


def test_several_inputs_answer_in_order_and_a_failing_one_carries_its_error(gpt3: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "bad.yaml").write_text("family: gpt2\n")
    done = run("count", gpt3, "bad.yaml", "nowhere", gpt3, "-f", "json")
    first, bad, nowhere, last = json.loads(done.stdout)
    assert first["parameters"]["total"] == last["parameters"]["total"] == TOTAL
    assert bad["error"]["exit_code"] == 3
    assert "hidden_size" in bad["error"]["message"]
    assert nowhere["error"]["exit_code"] == 4
    assert done.returncode == 3


def test_an_output_file_is_written_whole(gpt3: Path, tmp_path: Path, run: Run) -> None:
    done = run("count", gpt3, "-f", "json", "-o", "answer.json")
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads((tmp_path / "answer.json").read_text())["parameters"]["total"] == TOTAL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.json", "gpt3.yaml"]


def test_an_override_reaches_a_field_by_any_spelling_and_the_tree_by_path(gpt3: Path, run: Run) -> None:
    shallow = json.loads(run("count", gpt3, "--set", "n_layer=1", "-f", "json").stdout)["parameters"]["total"]
    layer = 12 * 12288**2 + 13 * 12288
    assert TOTAL - shallow == 95 * layer
    narrow = json.loads(run("count", gpt3, "--set", "layers.kinds.layer.feed_forward.size=1", "-f", "json").stdout)["parameters"]["total"]
    assert TOTAL - narrow == 96 * (49152 - 1) * (2 * 12288 + 1)


def test_import_writes_a_spec_that_counts_the_same(gpt3: Path, run: Run) -> None:
    assert run("import", gpt3, "-o", "tree.yaml").returncode == 0
    answer = json.loads(run("count", "tree.yaml", "-f", "json").stdout)
    assert answer["parameters"]["total"] == TOTAL
    assert answer["model"]["name"] == "GPT-3 175B"


def test_validate_shows_the_defaults_that_were_taken(gpt3: Path, run: Run) -> None:
    answer = json.loads(run("validate", gpt3, "-f", "json").stdout)
    assert {"hidden_act": "gelu_new", "tie_word_embeddings": True}.items() <= answer["defaults"].items()
    assert answer["given"]["num_hidden_layers"] == 96


def test_explain_names_a_term_or_suggests_one(gpt3: Path, run: Run) -> None:
    out = run("explain", gpt3, "attention").stdout
    assert "heads × head_dim × hidden_size × 96 copies" in out
    assert "96 × 128 × 12288 × 96 = 14,495,514,624" in out
    wrong = run("explain", gpt3, "atention")
    assert wrong.returncode == 2
    assert "did you mean attention" in wrong.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_its_exit_codes(command: str, run: Run) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Exit codes" in done.stdout


def test_an_unknown_command_or_option_is_a_mistaken_call(gpt3: Path, run: Run) -> None:
    assert run("cuont", gpt3).returncode == 2
    assert run("count", gpt3, "--colour").returncode == 2
    assert run("count", gpt3, "-f", "xml").returncode == 2


def test_notes_go_to_stderr_and_data_to_stdout(tmp_path: Path, run: Run) -> None:
    config = {"model_type": "gpt2", "n_embd": 6, "n_head": 3, "n_layer": 1, "n_colours": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = run("count", "config.json")
    assert "n_colours" in done.stderr
    assert "n_colours" not in done.stdout
    assert "n_colours" in json.loads(run("count", "config.json", "-f", "json").stdout)["warnings"][0]
    assert run("count", "config.json", "--strict").returncode == 3


def test_assume_reads_an_unknown_type_as_a_family_and_says_so(tmp_path: Path, run: Run) -> None:
    config = {"model_type": "shiny-new", "n_embd": 6, "n_head": 3, "n_layer": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run("count", "config.json").returncode == 5
    done = run("count", "config.json", "--assume", "gpt2")
    assert done.returncode == 0
    assert "read as gpt2" in done.stderr


def test_how_a_method_trains_is_asked_for_with_a_method(gpt3: Path, run: Run) -> None:
    done = run("count", gpt3, "--lora-r", "8")
    assert (done.returncode, "no --peft names one" in done.stderr) == (2, True)
    assert run("count", gpt3, "--peft", "lora", "--lora-r", "8").returncode == 0


def test_a_bad_override_is_placed_at_the_option_and_not_in_the_file(gpt3: Path, run: Run) -> None:
    assert "gpt3.yaml: --set hidden_size: expected a whole number" in run("count", gpt3, "--set", "hidden_size=abc").stderr


def test_an_unknown_family_is_placed_at_its_line(gpt3: Path, run: Run) -> None:
    gpt3.write_text(gpt3.read_text().replace("family: gpt2", "family: gtp2"))
    assert "gpt3.yaml:2: family: unknown model_type: 'gtp2'" in run("count", gpt3).stderr
