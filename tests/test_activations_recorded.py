"""What training keeps for the backward pass, against autograd itself: `golden/activations_*.jsonl`.

Recorded by `reference/activations.py` on small models of transformers 5.23 under torch 2.13, on a simulated CUDA device.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import paramcalc
from paramcalc.costs.training import checked
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.words.errors import UsageError

GOLDEN = sorted(Path(__file__).with_name("golden").glob("activations_*.jsonl"))
MODELS = [json.loads(line) for path in GOLDEN for line in path.read_text().splitlines()]
EXACT = [model for model in MODELS if model["config"]["model_type"] in checked.EXACT]
OTHER = [model for model in MODELS if model["config"]["model_type"] not in checked.EXACT]


def job(settings: dict[str, Any]) -> TrainingJob:
    """The options that are the settings of a record."""
    options = {"batch_size": settings["batch"], "seq_len": settings["length"]}
    same = ("precision", "attention", "checkpointing", "autocast", "audio_seconds", "images")
    options |= {name: settings[name] for name in same if name in settings}
    if "lora" in settings:
        options |= {"method": "lora", "lora_r": 8, "lora_targets": settings["lora"], "adapter_dtype": settings.get("adapter_dtype", "bf16")}
    return TrainingJob(**options)


@pytest.mark.parametrize("model", EXACT, ids=lambda model: model["name"])
def test_kept_bytes_are_autograds_to_the_byte(model: dict[str, Any]) -> None:
    architecture = paramcalc.load(model["config"])
    found = {str(case["settings"]): plan_training(architecture, job(case["settings"])).saved_for_backward for case in model["cases"]}
    assert found == {str(case["settings"]): case["saved"] for case in model["cases"]}


@pytest.mark.parametrize("model", OTHER, ids=lambda model: model["name"])
def test_what_is_not_exact_is_refused_or_not_called_so(model: dict[str, Any]) -> None:
    architecture = paramcalc.load(model["config"])
    for case in model["cases"]:
        try:
            plan = plan_training(architecture, job(case["settings"]))
        except UsageError as refusal:
            assert "not known" in str(refusal) or "not modelled" in str(refusal)
            continue
        assert {term.basis for term in plan.terms if term.name == "activations"} <= {"model"}


def test_enough_was_recorded() -> None:
    """A file that lost its lines would pass everything else."""
    assert sum(len(model["cases"]) for model in EXACT) >= 300
