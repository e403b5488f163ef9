"""The Python front door: the same verbs as the command line, on the same values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from paramcalc.gate.load import load
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean

if TYPE_CHECKING:
    from paramcalc.costs.fit import Fit
    from paramcalc.costs.inference.plan import InferencePlan
    from paramcalc.costs.training.plan import TrainingPlan
    from paramcalc.costs.verdicts import Verdict


class LiveModule(Protocol):
    """What can be asked for its parameters."""

    def named_parameters(self) -> Any: ...


def infer(model: str | os.PathLike[str] | Mapping[str, Any] | Architecture, **options: Any) -> InferencePlan:
    """Plan running any MODEL; the options are the fields of `InferenceJob`, as in `dtype="bf16", context=4096`.

    Raises UsageError for an option that is not known or cannot be.
    """
    from paramcalc.costs.inference.job import OPTIONS, InferenceJob
    from paramcalc.costs.inference.plan import plan_inference

    _only(options, OPTIONS)
    return plan_inference(load(model), InferenceJob.of(**options))


def train(model: str | os.PathLike[str] | Mapping[str, Any] | Architecture, **options: Any) -> TrainingPlan:
    """Plan the training of any MODEL; the options are the fields of `TrainingJob`, as in `method="qlora", seq_len=2048`.

    Raises UsageError for an option that is not known or cannot be run.
    """
    from paramcalc.costs.training.job import OPTIONS, TrainingJob
    from paramcalc.costs.training.plan import plan_training

    _only(options, OPTIONS)
    return plan_training(load(model), TrainingJob.of(**options))


def fit(
    model: str | os.PathLike[str] | Mapping[str, Any] | Architecture,
    gpu: str,
    gpus: int | None = None,
    *,
    mode: str | None = None,
    catalogue: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Fit:
    """Whether any MODEL fits a card (`gpu="H100"`, `gpu="8xH100"`, `gpu="24GB"`), how much is left, and what would make it fit.

    Serving or training is described by the options of `infer` and `train`; `catalogue` is a file of your own cards.
    Raises UsageError for a card or an option that is not known or cannot be.
    """
    from paramcalc.costs.capacity import cards_named
    from paramcalc.costs.fit import fit as fitted
    from paramcalc.costs.weighing import job_from
    from paramcalc.gate.catalogue import read_catalogue

    cards = cards_named(gpu, gpus, read_catalogue(catalogue) if catalogue else ())
    return fitted(load(model), cards, job_from(options, mode), options)


def _only(options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            raise UsageError(f"unknown option {name!r:.60}", hint=did_you_mean(name, known))


def count(model: str | os.PathLike[str] | Mapping[str, Any] | Architecture | LiveModule) -> Counts:
    """Count the parameters of any MODEL, or of a live module: anything with `named_parameters()`, as a torch.nn.Module has."""
    from paramcalc.gate.live import count_module, is_module

    return count_module(model) if is_module(model) else count_architecture(load(model))  # type: ignore[arg-type]


def assert_budget(model: str | os.PathLike[str] | Mapping[str, Any] | Architecture | LiveModule, **limits: Any) -> list[Verdict]:
    """Hold a model, or a live module, to limits as a budget file states them: `max_params="7B"`, `max_inference="24GiB"`, ...

    `inference` and `training` are the settings under which limits on memory hold. Returns every verdict. Raises
    BudgetError, an AssertionError, that names each breached limit with its value, excess and largest part, and UsageError
    for a limit that is none.
    """
    __tracebackhide__ = True
    from paramcalc.costs.budgets import limits_from
    from paramcalc.costs.verdicts import breach, judge

    asked = limits_from(limits)
    if asked.max_growth is not None or not asked.stated():
        wrong = "growth needs a baseline, which `paramcalc check` reads" if asked.stated() else "no limit is given"
        raise UsageError(wrong, hint='as in assert_budget(model, max_params="7B")')
    counts = count(model)
    verdicts = judge(counts, asked)
    error = breach(counts.architecture.name, asked, verdicts)
    if error:
        raise error
    return verdicts
