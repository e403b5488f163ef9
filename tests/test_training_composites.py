"""Training of models that hold an encoder of another kind of input beside their language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import TrainingPlan, plan_training
from paramcalc.words.errors import UsageError

RECORDED = Path(__file__).parent / "golden" / "activations_composite.jsonl"


def config(name: str) -> dict[str, Any]:
    """The config of a recorded model."""
    found: dict[str, Any] = next(row for row in map(json.loads, RECORDED.read_text().splitlines()) if row["name"] == name)["config"]
    return found


def plan(name: str, **options: Any) -> TrainingPlan:
    return plan_training(paramcalc.load(config(name)), TrainingJob.of(seq_len=12, **options))


def test_a_language_model_is_written_as_its_own_family_writes_it_wherever_it_stands() -> None:
    inside = paramcalc.load(config("paligemma"))
    text = config("paligemma")["text_config"] | {"model_type": "gemma", "architectures": ["GemmaForCausalLM"]}
    styles = {block.style for block, _ in paramcalc.load(text).blocks() if hasattr(block, "style")}
    found = {block.style for block, at in inside.blocks() if at.part.startswith("text.") and hasattr(block, "style")}
    assert found == styles == {"unit"}


def test_layers_that_read_images_are_left_out_of_a_text_alone_and_that_is_said() -> None:
    made = plan("mllama")
    assert "text.layers.cross reads images and is left out where there are none" in made.warnings
    with pytest.raises(UsageError, match="left out"):
        plan("mllama", pp=2)
