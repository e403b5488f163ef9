"""Training under every method, optimizer and loss, against two steps of the reference: `golden/training/*_recorded.jsonl`.

Recorded by `reference/peaks.py` with torch 2.13, transformers 5.23 and peft 0.21 on a simulated CUDA device.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, NamedTuple

import pytest
from training_cases import FOLDER

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import TrainingPlan, plan_training
from paramcalc.model.architecture import Architecture

SETS = ("around", "losses", "methods", "steps")
DOES_NOTHING = ("clip",)
"""Options of a record that have no counterpart here: what they do takes no memory."""
AFTER_FIRST = ("forward", "backward", "backward_end", "optimizer")


class Case(NamedTuple):
    """One record."""

    model: str
    options: dict[str, Any]
    record: dict[str, Any]

    @property
    def name(self) -> str:
        shown = (f"{key}={value}" for key, value in self.options.items() if key not in ("batch_size", "seq_len"))
        return f"{self.model} {' '.join(shown)}".strip()

    @property
    def plan(self) -> TrainingPlan:
        return planned(self.model, json.dumps({key: value for key, value in self.options.items() if key not in DOES_NOTHING}))

    @property
    def encoder_prefix(self) -> bool:
        """Prefix tuning of an encoder and decoder: the reference makes a mask for each sequence, which is not modelled."""
        return self.model == "t5" and self.options.get("method") == "prefix"

    @property
    def managed(self) -> bool:
        """States that are large enough for memory that the allocator does not see."""
        return self.model == "mixtral" and self.options.get("optimizer") == "adamw-paged-8bit"

    @property
    def over_two_percent(self) -> bool:
        return any(self.model == model and words.items() <= self.options.items() for model, words in OVER_TWO_PERCENT)


CHECKPOINTED = {"checkpointing": "full"}
OVER_TWO_PERCENT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bert", CHECKPOINTED | {"method": "lora", "lora_dropout": 0.1}),
    ("bert", CHECKPOINTED | {"method": "last-n"}),
    ("gemma2", CHECKPOINTED),
    ("gpt2", CHECKPOINTED),
    ("gpt2", {"method": "dora"}),
    ("qwen2", {"method": "prefix"}),
    ("t5", CHECKPOINTED),
    ("t5", {"method": "prompt"}),
)
"""Peaks that are further off than that on these small models, up to five percent: variables of the layer that is computed again hold
some of its stream; a prefix's keys and values stay with what Llama's class returns, and not with Qwen2's."""
CONFIGS: dict[str, dict[str, Any]] = {}
CASES: list[Case] = []
for _name in SETS:
    for _line in (FOLDER / f"{_name}_recorded.jsonl").read_text().splitlines():
        _model = json.loads(_line)
        CONFIGS[_model["name"]] = _model["config"]
        CASES += [Case(_model["name"], record["options"], record) for record in _model["cases"]]


@cache
def architecture(model: str) -> Architecture:
    return paramcalc.load(CONFIGS[model])


@cache
def planned(model: str, options: str) -> TrainingPlan:
    return plan_training(architecture(model), TrainingJob(**json.loads(options)))


def ids(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", [case for case in CASES if not case.encoder_prefix], ids=ids)
def test_kept_bytes_and_trained_parameters_are_the_references(case: Case) -> None:
    assert (case.plan.saved_for_backward, case.plan.trained) == (case.record["saved"], case.record["trained"])


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_what_the_optimizer_keeps_is_the_references_to_the_byte(case: Case) -> None:
    step = next(phase for phase in case.plan.phases if phase.name == "optimizer")
    average = case.record["trained"] * {"bf16": 2, "fp32": 4}[stepped(case)] if case.options.get("ema") else 0
    assert step.terms["optimizer"] - average == case.record["state"]


def stepped(case: Case) -> str:
    """The format of what is stepped."""
    method, precision = case.options.get("method", "full"), case.options.get("precision", "bf16")
    return "fp32" if precision != "bf16" or (method != "full" and "adapter_dtype" not in case.options) else "bf16"


@pytest.mark.parametrize("case", [case for case in CASES if not case.managed], ids=ids)
def test_a_peak_is_the_references_within_two_percent(case: Case) -> None:
    """Inputs are 16 bytes a token here and there."""
    expected = max(case.record["phases"][name] for name in AFTER_FIRST)
    assert case.plan.allocated == pytest.approx(expected, rel=0.05 if case.over_two_percent else 0.02)


@pytest.mark.parametrize("case", [case for case in CASES if not case.managed], ids=ids)
def test_the_step_itself_is_the_references_within_three_permille(case: Case) -> None:
    step = next(phase for phase in case.plan.phases if phase.name == "optimizer")
    assert step.bytes == pytest.approx(case.record["phases"]["optimizer"], rel=0.003)


def test_enough_was_recorded() -> None:
    """A file that lost its lines would pass everything else."""
    assert len(CASES) >= 330
