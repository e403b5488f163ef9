"""Real training steps beside what `paramcalc train` predicts. Needs a GPU with torch, transformers, peft and bitsandbytes.

    pytest tests/gpu                                    compares; skips, and says so, where there is no GPU
    RECORD_GPU=1 pytest tests/gpu                       writes tests/golden/gpu/<device>.json too

A recorded table is compared wherever the tests run, GPU or not.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import paramcalc

HERE = Path(__file__).parent
TABLES = HERE.parent / "golden" / "gpu"
NEEDED = ("torch", "transformers", "peft", "bitsandbytes")
CASES = [
    {"size": size, "method": method, "checkpointing": checkpointing}
    for size, method, checkpointing in product(("small", "middle", "large"), ("full", "lora", "qlora"), ("none", "full"))
]
PHASES = {"forward": ("forward", "forward_end"), "backward": ("backward_start", "backward", "backward_end"), "optimizer": ("optimizer",)}
"""What the script measures, and the phases of a plan that fall into it."""


@cache
def without_gpu() -> str:
    """Why nothing can be measured here; empty where it can."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return f"no {', '.join(missing)} here"
    ask = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return "" if subprocess.run([sys.executable, "-c", ask], check=False).returncode == 0 else "torch finds no GPU here"


def predicted(row: dict[str, Any], config: dict[str, Any], settings: dict[str, int]) -> dict[str, int]:
    """The fullest moment of each measured phase, as the plan has it."""
    case = row["case"]
    options: dict[str, Any] = {"method": case["method"], "checkpointing": case["checkpointing"]}
    options |= {"batch_size": settings["batch"], "seq_len": settings["length"]}
    if case["method"] != "full":
        options |= {"lora_r": settings["rank"], "lora_targets": "q_proj,k_proj,v_proj,o_proj"}
    plan = paramcalc.train(config, **options)
    moments = {phase.name: phase.bytes for phase in plan.phases}
    assert plan.trained == row["trainable"]
    return {name: max(moments[phase] for phase in inside if phase in moments) for name, inside in PHASES.items()}


def compare(row: dict[str, Any], config: dict[str, Any], settings: dict[str, int]) -> None:
    expected = predicted(row, config, settings)
    for name, size in expected.items():
        assert size == pytest.approx(row["phases"][name], rel=0.05), (row["case"], name, expected, row["phases"])


def measured(case: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(HERE / "step.py"), json.dumps(case)], capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def script() -> Any:
    """The script as a module: the sizes stand there, and it needs torch."""
    spec = importlib.util.spec_from_file_location("step", HERE / "step.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.values()))
def test_a_measured_step_is_predicted_within_five_percent(case: dict[str, str]) -> None:
    if without_gpu():
        pytest.skip(f"a GPU is needed: {without_gpu()}")
    row, steps = measured(case), script()
    settings = {"batch": steps.BATCH, "length": steps.LENGTH, "rank": steps.RANK}
    config = steps.config_of(case["size"])
    if os.environ.get("RECORD_GPU"):
        record(row | {"config": config, "settings": settings})
    compare(row, config, settings)


def record(row: dict[str, Any]) -> None:
    """Put a row into the table of its device, in the place of an older one."""
    TABLES.mkdir(exist_ok=True)
    path = TABLES / f"{row['device'].lower().replace(' ', '-')}.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    rows = [each for each in rows if each["case"] != row["case"]] + [row]
    path.write_text(json.dumps(sorted(rows, key=lambda each: sorted(each["case"].items())), indent=1) + "\n")


def recorded() -> list[dict[str, Any]]:
    return [row for path in sorted(TABLES.glob("*.json")) for row in json.loads(path.read_text())]


NONE_YET = pytest.param({}, marks=pytest.mark.skip(reason="no step was recorded on a GPU yet"))
ROWS = [pytest.param(row, id="-".join((row["device"], *row["case"].values()))) for row in recorded()] or [NONE_YET]


@pytest.mark.parametrize("row", ROWS)
def test_a_recorded_step_is_predicted_within_five_percent(row: dict[str, Any]) -> None:
    compare(row, row["config"], row["settings"])


def test_the_phases_of_a_plan_are_those_that_are_measured() -> None:
    """Runs everywhere: what a GPU would be compared with is there to compare."""
    config = {"model_type": "llama", "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40}
    config |= {"num_hidden_layers": 2, "architectures": ["LlamaForCausalLM"]}
    row = {"case": {"method": "full", "checkpointing": "none"}, "trainable": paramcalc.count(config).total}
    found = predicted(row, config, {"batch": 1, "length": 8, "rank": 4})
    assert found["optimizer"] >= 10 * row["trainable"]  # weights, gradients, two states and foreach's copy, in bf16
    assert min(found.values()) >= 6 * row["trainable"]
