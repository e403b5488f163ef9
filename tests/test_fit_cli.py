"""fit, max and plan as they are called: exit codes, the forms of an answer, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

TINY = "family: llama\nvocab_size: 32000\nhidden_size: 512\nlayers: 8\nheads: 8\nkv_heads: 2\nffn: 1408\ncontext: 2048\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def answer(run: Run, *arguments: object, code: int = 0) -> dict[str, Any]:
    done = run(*arguments, "-f", "json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["fit", "MODEL", "--gpu", "24GB"], 0),
        (["fit", "MODEL", "--gpu", "400MiB"], 1),
        (["fit", "MODEL"], 0),
        (["fit", "gpt3", "--mode", "train", "--vendor", "apple", "--class", "unified", "--method", "full"], 1),
        (["max", "MODEL", "--gpu", "24GB"], 0),
        (["max", "MODEL", "--gpu", "400MiB"], 1),
        (["plan", "MODEL", "--gpu", "24GB", "--gpus", "2", "--mode", "train"], 0),
        (["plan", "MODEL", "--gpu", "400MiB"], 1),
        (["plan", "MODEL", "--gpu", "24GB"], 0),
        (["fit", "MODEL", "--gpu", "rtx-409O"], 2),
        (["fit", "nowhere.yaml", "--gpu", "24GB"], 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_exit_codes(run: Run, tiny: Path, arguments: list[str], code: int) -> None:
    done = run(*[tiny if word == "MODEL" else word for word in arguments])
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "gpt2", "--gpu", "rtx-4O90"], "did you mean rtx-4090"),
        (["fit", "gpt2", "--gpu", "0xH100"], "between 1 and 1,000,000"),
        (["fit", "gpt2", "--gpu", "H100", "--gpus", "0"], "between 1 and 1,000,000 cards, got 0"),
        (["fit", "gpt2", "--gpu", "H100", "--gpus", "-1"], "between 1 and 1,000,000 cards, got -1"),
        (["fit", "gpt2", "--gpu", "8xH100", "--gpus", "2"], "says 8 cards and gpus says 2"),
        (["fit", "gpt2", "--gpu", "24"], "24GB for a card sold by that size, 24GiB for bytes"),
        (["fit", "gpt2", "--gpu", "24GB24GiB"], "no device is called"),
        (["fit", "gpt2", "--gpu", "24Gb/s"], "no device is called"),
        (["fit", "gpt2", "--gpu", "a6000x"], "no device is called"),
        (["fit", "gpt2", "--gpus", "4"], "so many of which card?"),
        (["max", "gpt2"], "which card?"),
        (["plan", "gpt2"], "which card?"),
        (["fit", "gpt2", "--gpu", "H100", "--seq-len", "10", "--context", "10"], "context is none of it"),
        (["fit", "gpt2", "--gpu", "H100", "--mode", "serve"], "infer or train"),
        (["fit", "gpt2", "--gpu", "H100", "--quant", "int5"], "unknown format of weights"),
        (["max", "gpt2", "--gpu", "H100", "--solve", "size"], "cannot solve for"),
        (["plan", "gpt2", "--gpu", "H100", "--global-batch", "4"], "belongs to training"),
        (["plan", "gpt2", "--gpu", "H100", "--gpus", "2", "--node-size", "0"], "at least one card"),
    ],
    ids=lambda value: " ".join(value[2:]) if isinstance(value, list) else "",
)
def test_a_wrong_call_says_what_is_wrong(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stdout == ""


def test_the_json_of_fit_is_the_plan_of_infer_against_the_card(run: Run, tiny: Path) -> None:
    found = answer(run, "fit", tiny, "--gpu", "2GiB", "--context", "1000", "--batch-size", "3")
    plan = answer(run, "infer", tiny, "--context", "1000", "--batch-size", "3")
    assert next(iter(found)) == "schema"
    assert list(found)[-1] == "warnings"
    assert found["schema"] == "paramcalc/fit/1"
    assert found["per_device"]["terms"] == plan["per_device"]["terms"]
    assert found["inputs"] == plan["inputs"]
    assert found["headroom"]["bytes"] == 2 * 2**30 - plan["per_device"]["total"]
    assert found["fits"] is True
    assert found["changes"] == []
    assert found["gpu"]["capacity"] == found["budget"] == 2**31


def test_the_json_of_fit_is_the_plan_of_train_against_the_card(run: Run, tiny: Path) -> None:
    found = answer(run, "fit", tiny, "--gpu", "700MiB", "--method", "full", code=1)
    plan = answer(run, "train", tiny, "--method", "full")
    assert found["mode"] == "train"
    assert found["per_device"]["total"] == plan["per_device"]["total"]
    assert found["not_modelled"] == plan["not_modelled"]
    assert found["headroom"]["bytes"] == 700 * 2**20 - plan["per_device"]["total"] < 0
    for change in found["changes"]:
        assert change["total"] <= found["budget"]


def test_every_change_can_be_typed_and_then_fits(run: Run, tiny: Path) -> None:
    base = ["fit", tiny, "--gpu", "2400MiB", "--method", "full", "--seq-len", "2048", "--batch-size", "4"]
    found = answer(run, *base, code=1)
    assert len(found["changes"]) > 2
    for change in found["changes"]:
        typed = change["options"].split()
        kept = [word for word in base if word not in ("--batch-size", "4", "--seq-len", "2048", "--method", "full")]
        original = {"--method": "full", "--seq-len": "2048", "--batch-size": "4"}
        for flag in (word for word in typed if word.startswith("--")):
            original.pop(flag, None)
        again = answer(run, *kept, *(word for pair in original.items() for word in pair), *typed, "--gpus", change["gpus"])
        assert again["fits"] is True
        assert again["per_device"]["total"] == change["total"]


def test_without_a_card_json_groups_cards_by_use(run: Run, tiny: Path) -> None:
    found = answer(run, "fit", tiny, "--vendor", "nvidia", "--class", "consumer")
    assert [use["use"] for use in found["uses"]] == ["serve", "QLoRA", "LoRA", "full"]
    for use in found["uses"]:
        assert [card["headroom"] for card in use["gpus"]] == sorted(card["headroom"] for card in use["gpus"])
        assert all(card["headroom"] >= 0 for card in use["gpus"])
    assert found["considered"] == 48


def test_the_json_of_max_has_a_value_and_its_next(run: Run, tiny: Path) -> None:
    found = answer(run, "max", tiny, "--gpu", "2GiB", "--solve", "context")
    fits, over = (answer(run, "infer", tiny, "--context", found["value"] + more)["per_device"]["total"] for more in (0, 1))
    assert fits <= 2**31 < over
    assert found["next"] == {"value": found["value"] + 1, "total": over}
    assert next(each for each in found["inputs"] if each["name"] == "context")["from"] == "solved"
    assert answer(run, "max", tiny, "--gpu", "400MiB", code=1)["value"] == 0


def test_the_json_of_plan_ranks_layouts_that_fit(run: Run, tiny: Path) -> None:
    found = answer(run, "plan", tiny, "--gpu", "1100MiB", "--gpus", "8", "--method", "full", "--batch-size", "2")
    assert found["schema"] == "paramcalc/plan/1"
    moved = [layout["communication"]["total"] for layout in found["layouts"]]
    assert moved == sorted(moved)
    for layout in found["layouts"]:
        assert layout["dp"] * layout["tp"] * layout["pp"] * layout["cp"] == 8
        assert layout["dp"] * layout["grad_accum"] * 2 == 16
        assert layout["headroom"] == 1100 * 2**20 - layout["per_device"]["total"] >= 0
    first = found["layouts"][0]
    options = [word for name in ("dp", "tp", "pp", "cp", "zero") for word in (f"--{name}", first[name])]
    more = ["--sequence-parallel"] if first["tp"] > 1 else []
    plan = answer(run, "train", tiny, "--batch-size", "2", "--grad-accum", first["grad_accum"], *options, *more)
    assert plan["per_device"]["total"] == first["per_device"]["total"]


def test_the_smallest_number_of_cards_is_found(run: Run, tiny: Path) -> None:
    found = answer(run, "plan", tiny, "--gpu", "700MiB", "--method", "full", "--seq-len", "512")
    assert found["smallest"] is True
    assert found["enough"] == found["gpus"] > 1
    fewer = answer(run, "plan", tiny, "--gpu", "700MiB", "--gpus", found["gpus"] - 1, "--method", "full", "--seq-len", "512", code=1)
    assert fewer["enough"] == found["gpus"]
    assert fewer["layouts"] == []
    assert fewer["nearest"]["headroom"] < 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "--gpu", "24GB"],
        ["fit", "--gpu", "600MiB", "--method", "full"],
        ["fit"],
        ["max", "--gpu", "24GB", "--solve", "context"],
        ["plan", "--gpu", "24GB", "--gpus", "8", "--method", "full"],
        ["plan", "--gpu", "600MiB", "--gpus", "2", "--method", "full"],
    ],
    ids=" ".join,
)
def test_a_screen_is_at_most_80_columns_and_has_no_colour(run: Run, tiny: Path, arguments: list[str]) -> None:
    done = run(arguments[0], tiny, *arguments[1:])
    assert done.returncode in (0, 1), done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout


def test_the_card_is_filled_by_its_terms(run: Run, tiny: Path) -> None:
    """Terms and what is left add up to the card; bars begin where the one above ended."""
    text = run("fit", tiny, "--gpu", "4GiB").stdout
    rows = dict(re.findall(r"^(weights|kv_cache|activations|overhead|left|card) +([\d,]+) ", text, flags=re.MULTILINE))
    sizes = {name: int(size.replace(",", "")) for name, size in rows.items()}
    card = sizes.pop("card")
    assert sum(sizes.values()) == card == 4 * 2**30
    bars = [line.rstrip() for line in text.splitlines() if re.match(r"(weights|kv_cache|activations|overhead) ", line)]
    ends = [len(line) for line in bars]
    assert ends == sorted(ends)


def test_csv_and_markdown(run: Run, tiny: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(run("fit", tiny, "--gpu", "4GiB", "-f", "csv").stdout)))
    assert [line["term"] for line in lines][-2:] == ["left", "card"]
    assert sum(int(line["bytes"]) for line in lines[:-1]) == int(lines[-1]["bytes"])
    layouts = list(csv.DictReader(io.StringIO(run("plan", tiny, "--gpu", "8x24GB", "--method", "full", "-f", "csv").stdout)))
    assert layouts
    assert int(layouts[0]["moved/token"]) <= int(layouts[-1]["moved/token"])
    assert "| term | bytes |" in run("max", tiny, "--gpu", "24GB", "-f", "markdown").stdout


def test_several_models_are_answered_in_order(run: Run, tiny: Path) -> None:
    done = run("fit", tiny, "nowhere.yaml", "gpt2", "--gpu", "24GB", "-f", "json")
    assert done.returncode == 4
    first, failed, last = json.loads(done.stdout)
    assert first["fits"]
    assert failed["error"]["exit_code"] == 4
    assert last["model"]["name"] == "GPT-2 124M" or last["fits"]


def test_an_own_card_is_fitted(run: Run, tiny: Path, tmp_path: Path) -> None:
    own = tmp_path / "cards.yaml"
    own.write_text("- {id: lab-card, memory: 4GB, usable: 3000 MiB, formats: [fp16]}\n")
    found = answer(run, "fit", tiny, "--gpu", "2xlab-card", "--catalogue", own)
    assert found["gpu"]["capacity"] == 3000 * 2**20
    assert found["gpu"]["count"] == found["devices"] == 2
    assert "lab-card does not multiply bf16 in hardware" in found["warnings"]


def test_help_lists_the_options_of_infer_and_of_train_once(run: Run) -> None:
    for command in ("fit", "max", "plan"):
        text = run(command, "--help").stdout
        for option in ("--gpu ", "--gpus", "--context", "--seq-len", "--method", "--engine", "--zero", "--batch-size", "--quant "):
            assert len(re.findall(rf"^  {option}", text, flags=re.MULTILINE)) == 1, (command, option)
