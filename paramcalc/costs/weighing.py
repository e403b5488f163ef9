"""The one place where a search asks what a job takes: a job in, the plan of its worst device out.

A job is an InferenceJob or a TrainingJob; which one is told by its options. Everything that fits, solves and lays out
goes through `weigh`, so a verdict is that of the plan and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from paramcalc.costs.inference.job import OPTIONS as INFERENCE
from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.terms import Input, Term
from paramcalc.costs.training.job import OPTIONS as TRAINING
from paramcalc.costs.training.job import TrainingJob
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean

Job = InferenceJob | TrainingJob
INFER, TRAIN = "infer", "train"
MODES = (INFER, TRAIN)
SHARED = frozenset(INFERENCE) & frozenset(TRAINING)
LENGTH = {INFER: "context", TRAIN: "seq_len"}
"""The option that says how many tokens a sequence has."""


class Plan(Protocol):
    """What plans of both kinds have in common: bytes of the worst device."""

    @property
    def total(self) -> int: ...
    @property
    def low(self) -> int: ...
    @property
    def high(self) -> int: ...
    @property
    def terms(self) -> Sequence[Term]: ...
    @property
    def inputs(self) -> Sequence[Input]: ...
    @property
    def devices(self) -> int: ...
    @property
    def not_modelled(self) -> Sequence[str]: ...
    @property
    def warnings(self) -> Sequence[str]: ...


def weigh(architecture: Architecture, job: Job) -> Plan:
    """The plan of a job. Raises UsageError where it cannot be run."""
    if isinstance(job, TrainingJob):
        from paramcalc.costs.training.plan import plan_training

        return plan_training(architecture, job)
    from paramcalc.costs.inference.plan import plan_inference

    return plan_inference(architecture, job)


def share_of_card(plan: Plan) -> float:
    """The share of a card that a plan may take: vLLM keeps to `gpu_memory_utilization`, all others take what is there."""
    return float(getattr(getattr(plan, "settings", None), "utilization", 1.0))


def budget(capacity: int, plan: Plan) -> int:
    """Bytes of a card that a plan may take."""
    share = share_of_card(plan)
    return capacity if share == 1.0 else int(capacity * share)


def needs_architecture(architecture: Architecture, what: str) -> None:
    """Refuse a model of which only a size was reported: nothing says how that grows or divides. Raises UsageError."""
    if architecture.reported:
        raise UsageError(f"{architecture.name} is a reported size without an architecture: {what}", place="model")


def mode_of(job: Job) -> str:
    return TRAIN if isinstance(job, TrainingJob) else INFER


def changed(job: Job, options: Mapping[str, Any]) -> Job:
    """The job with other values of some options."""
    return job._replace(**options)


def with_number(job: Job, option: str, value: int) -> Job:
    """The job with another number for one option; a prompt is no longer than the context."""
    prompt = getattr(job, "prompt", None)
    shorter = {"prompt": value} if option == "context" and prompt is not None and prompt > value else {}
    return changed(job, {option: value, **shorter})


def job_from(options: Mapping[str, Any], mode: str | None = None) -> Job:
    """A job from the options that were given: inference, unless `mode` or an option that only training has says otherwise.

    Raises UsageError for options that are unknown, or of both kinds at once.
    """
    if mode is not None and mode not in MODES:
        raise UsageError(f"unknown mode: {mode!r:.40}", place="mode", hint=did_you_mean(mode, MODES) or "infer or train")
    only_train = [name for name in options if name in TRAINING and name not in SHARED]
    only_infer = [name for name in options if name in INFERENCE and name not in SHARED]
    for name in options:
        if name not in INFERENCE and name not in TRAINING:
            every = sorted({*INFERENCE, *TRAINING})
            raise UsageError("no such option", place=f"{name:.60}", hint=did_you_mean(name, every))
    mode = mode or (TRAIN if only_train else INFER)
    wrong = only_infer if mode == TRAIN else only_train
    if wrong:
        reason = f"{only_train[0]} is an option of training" if only_train and mode == TRAIN else f"the mode is {mode}"
        raise UsageError(f"{reason}, {wrong[0]} is none of it", place=wrong[0], hint=_counterpart(wrong[0]))
    return TrainingJob.of(**options) if mode == TRAIN else InferenceJob.of(**options)


def _counterpart(name: str) -> str:
    """What the other kind of job calls the same."""
    other = {"context": "seq_len", "seq_len": "context", "dtype": "precision", "precision": "dtype"}
    return f"it is called {other[name]} there" if name in other else ""
