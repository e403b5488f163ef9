"""The Python front door: the same verbs as the command line, on the same values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from paramcalc.gate.load import load
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean

if TYPE_CHECKING:
    from paramcalc.costs.inference.plan import InferencePlan
    from paramcalc.costs.training.plan import TrainingPlan


def infer(model: str | os.PathLike[str] | Mapping[str, Any] | Architecture, **options: Any) -> InferencePlan:
    """Plan running any MODEL; the options are the fields of `InferenceJob`, as in `dtype="bf16", context=4096`.

    Raises UsageError for an option that is not known or cannot be.
    """
    from paramcalc.costs.inference.job import InferenceJob
    from paramcalc.costs.inference.plan import plan_inference

    _only(options, InferenceJob._fields)
    return plan_inference(load(model), InferenceJob(**options))


def train(model: str | os.PathLike[str] | Mapping[str, Any] | Architecture, **options: Any) -> TrainingPlan:
    """Plan the training of any MODEL; the options are the fields of `TrainingJob`, as in `method="qlora", seq_len=2048`.

    Raises UsageError for an option that is not known or cannot be run.
    """
    from paramcalc.costs.training.job import TrainingJob
    from paramcalc.costs.training.plan import plan_training

    _only(options, TrainingJob._fields)
    return plan_training(load(model), TrainingJob(**options))


def _only(options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            raise UsageError(f"unknown option {name!r:.60}", hint=did_you_mean(name, known))


def count(model: str | os.PathLike[str] | Mapping[str, Any] | Architecture) -> Counts:
    """Count the parameters of any MODEL."""
    return count_architecture(load(model))
