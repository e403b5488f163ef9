"""What to change so that a job fits: single changes, cheapest in quality first, each as small as it can be.

A change is a ladder of steps on one option. The first step that fits is offered; a number is lowered to the largest value
that fits. Nothing is offered that the real plan did not say fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from paramcalc.costs.inference.job import LLAMA_CPP, TRANSFORMERS, VLLM, InferenceJob
from paramcalc.costs.search import largest
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.weighing import Job, Plan, budget, changed, weigh, with_number
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError

SAME, DEARER, CLOSE, LESS, FEWER_BITS, OTHER = (
    "same result",
    "same result, more cards",
    "nearly the same result",
    "less text at once",
    "fewer bits: quality falls",
    "another method: less is learned",
)
"""What a change costs in quality, cheapest first."""
COSTS = (SAME, DEARER, CLOSE, LESS, FEWER_BITS, OTHER)

Step = dict[str, Any]
"""Options and their new values."""


class Ladder(NamedTuple):
    """Ways to change one thing, smallest first."""

    name: str
    cost: str
    steps: tuple[Step, ...] = ()
    lower: str = ""
    """A number to lower instead, as little as will do."""


class Change(NamedTuple):
    """A change with which the job fits."""

    name: str
    cost: str
    step: Step
    plan: Plan
    cards: int
    capacity: int

    @property
    def headroom(self) -> int:
        return budget(self.capacity, self.plan) - self.plan.total

    @property
    def host(self) -> int:
        """Bytes of the host's memory that each card then takes."""
        return int(getattr(self.plan, "host", 0))

    @property
    def options(self) -> str:
        """As they are typed: `--checkpointing full`."""
        return " ".join(_typed(name, value) for name, value in self.step.items())

    def to_dict(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "name": self.name,
            "quality": self.cost,
            "set": self.step,
            "options": self.options,
            "gpus": self.cards,
            "total": plan.total,
            "low": plan.low,
            "high": plan.high,
            "headroom": self.headroom,
            "host": self.host,
        }


def changes(architecture: Architecture, job: Job, capacity: int, cards: int) -> list[Change]:
    """Every single change that makes a job fit so many cards of this capacity, cheapest in quality first."""
    plan = weigh(architecture, job)
    ladders = _training(job) if isinstance(job, TrainingJob) else _inference(job, plan)
    found = [_first(ladder, architecture, job, capacity, cards) for ladder in sorted(ladders, key=lambda each: COSTS.index(each.cost))]
    return [change for change in found if change is not None]


def together(architecture: Architecture, job: Job, capacity: int, cards: int) -> Change | None:
    """Where no single change will do: the furthest steps of ever more of them, cheapest first, until the job fits."""
    plan = weigh(architecture, job)
    ladders = _training(job) if isinstance(job, TrainingJob) else _inference(job, plan)
    step: Step = {}
    for ladder in sorted(ladders, key=lambda each: COSTS.index(each.cost)):
        further = {ladder.lower: 1} if ladder.lower == "batch_size" else ladder.steps[-1] if ladder.steps else {}
        if not further or not set(further).isdisjoint(step):
            continue
        made = _planned(architecture, changed(job, step | further))
        if made is None:
            continue
        step |= further
        if made.total <= budget(capacity, made):
            return Change("together", ladder.cost, step, made, cards, capacity)
    return None


def _first(ladder: Ladder, architecture: Architecture, job: Job, capacity: int, cards: int) -> Change | None:
    """The smallest step of a ladder that fits."""
    steps = ladder.steps if not ladder.lower else _lowered(ladder.lower, architecture, job, capacity)
    for step in steps:
        plan = _planned(architecture, changed(job, step))
        if plan is not None and plan.total <= budget(capacity, plan):
            return Change(ladder.name, ladder.cost, step, plan, cards, capacity)
    return None


def _lowered(option: str, architecture: Architecture, job: Job, capacity: int) -> tuple[Step, ...]:
    """The largest value below the present one that fits."""
    present = getattr(job, option) or _settled(architecture, job, option)
    if not isinstance(present, int) or present < 2:
        return ()

    def fits(value: int) -> bool:
        plan = _planned(architecture, with_number(job, option, value))
        return plan is not None and plan.total <= budget(capacity, plan)

    value = largest(fits, at_most=present - 1).value
    return (difference(job, with_number(job, option, value)),) if value else ()


def _settled(architecture: Architecture, job: Job, option: str) -> Any:
    """What an option that was not given came to."""
    return next((each.value for each in weigh(architecture, job).inputs if each.name == option), None)


def _planned(architecture: Architecture, job: Job) -> Plan | None:
    try:
        return weigh(architecture, job)
    except UsageError:
        return None


def _training(job: TrainingJob) -> Iterator[Ladder]:
    """What can be changed in training."""
    after = {"none": ("selective", "full"), "selective": ("full",)}.get(job.checkpointing, ())
    yield Ladder("checkpointing", SAME, tuple({"checkpointing": each} for each in after))
    losses = {"plain": ("chunked", "fused"), "chunked": ("fused",)}.get(job.loss, ())
    yield Ladder("loss", SAME, tuple({"loss": each} for each in losses))
    if job.attention == "eager":
        yield Ladder("attention", SAME, ({"attention": "sdpa"},))
    if job.optimizer in ("adamw", "adamw-forloop"):
        yield Ladder("optimizer step", SAME, ({"optimizer": "adamw-fused"},))
    if job.dp > 1 and job.zero < 3:
        yield Ladder("ZeRO stage", SAME, tuple({"zero": stage} for stage in range(job.zero + 1, 4)))
    if job.tp > 1 and not job.sequence_parallel:
        yield Ladder("sequence parallelism", SAME, ({"sequence_parallel": True},))
    if job.batch_size > 1:
        yield Ladder("batch", SAME, lower="batch_size")
    offloads = {None: ("optimizer", "params"), "optimizer": ("params",)}.get(job.offload, ())
    yield Ladder("offload", SAME, tuple({"offload": each} for each in offloads))
    if job.optimizer.startswith("adamw") and not job.optimizer.endswith("8bit"):
        yield Ladder("optimizer format", CLOSE, ({"optimizer": "adamw-8bit"},))
    lower = {
        "fp32": ("bf16-mixed", "bf16"),
        "bf16-mixed": ("bf16",),
        "fp16-mixed": ("bf16",),
        "bf16-master": ("bf16",),
        "fp16-master": ("bf16",),
    }
    yield Ladder("format", CLOSE, tuple({"precision": each} for each in lower.get(job.precision, ())))
    yield Ladder("context", LESS, lower="seq_len")
    yield from _methods(job)


def _methods(job: TrainingJob) -> Iterator[Ladder]:
    """Ever fewer parameters that train, on ever fewer bits."""
    plain: Step = {} if job.precision == "bf16" else {"precision": "bf16"}
    if job.method in ("lora", "dora") and job.quant is None:
        yield Ladder("format of the frozen base", FEWER_BITS, tuple({"quant": each, **plain} for each in ("llm-int8", "nf4-dq")))
    if job.method in ("full", "last-n", "bitfit"):
        keeps = () if job.precision in ("bf16-master", "fp16-master") or not plain else ({"method": "lora"},)
        yield Ladder("LoRA", OTHER, (*keeps, {"method": "lora", **plain}))
        yield Ladder("QLoRA", OTHER, ({"method": "qlora", **plain},))


def _inference(job: InferenceJob, plan: Plan) -> Iterator[Ladder]:
    """What can be changed in serving."""
    settings: Any = getattr(plan, "settings", None)
    if settings is None:
        return
    engine, written = settings.engine, _bits(settings)
    if settings.attention == "eager":
        yield Ladder("attention", SAME, ({"attention": "flash" if engine == LLAMA_CPP else "sdpa"},))
    if settings.cache == "static":
        yield Ladder("cache", SAME, ({"cache": "dynamic"},))
    if engine in (VLLM, LLAMA_CPP):
        yield Ladder("tokens computed at once", SAME, lower="ubatch")
    if job.batch_size > 1:
        yield Ladder("batch", SAME, lower="batch_size")
    if settings.dtype == "fp32":
        yield Ladder("format", CLOSE, ({"dtype": "bf16"},))
    eight, four = CACHES.get(engine, CACHES["ideal"])
    if settings.keys.bits > 9:
        yield Ladder("format of the cache", CLOSE, ({"kv_dtype": eight},))
    weights = WEIGHTS.get(engine, WEIGHTS["ideal"])
    yield Ladder("8-bit weights", CLOSE, tuple({"quant": name} for name, bits in weights if 8 <= bits < written))
    yield Ladder("context", LESS, lower="context")
    if settings.keys.bits > 5 and four:
        yield Ladder("4-bit cache", FEWER_BITS, ({"kv_dtype": four},))
    yield Ladder("fewer bits", FEWER_BITS, tuple({"quant": name} for name, bits in weights if bits < min(8, written)))


WEIGHTS: dict[str, tuple[tuple[str, int], ...]] = {
    TRANSFORMERS: (("llm-int8", 8), ("nf4-dq", 4)),
    VLLM: (("fp8", 8), ("awq", 4)),
    LLAMA_CPP: (("Q8_0", 8), ("Q6_K", 6), ("Q5_K_M", 5), ("Q4_K_M", 4), ("Q3_K_M", 3), ("Q2_K", 2)),
    "ideal": (("int8", 8), ("int4", 4)),
}
"""Formats of weights that each engine reads, downwards: the one most in use of each size, and its bits."""
CACHES: dict[str, tuple[str, str]] = {
    TRANSFORMERS: ("int8", "int4"),
    VLLM: ("fp8", ""),
    LLAMA_CPP: ("q8_0", "q4_0"),
    "ideal": ("int8", "int4"),
}
"""Formats of a cache in 8 and in 4 bits."""


def _bits(settings: Any) -> int:
    """Bits that a weight has now, scales aside."""
    scheme = settings.scheme
    if scheme.method == "gguf":
        return next((int(letter) for letter in scheme.name if letter.isdigit()), 16) if scheme.name[:1] in "IQT" else 16
    return int(scheme.bits if scheme.method != "none" else settings.element * 8)


def _typed(name: str, value: Any) -> str:
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {value}"


def difference(job: Job, other: Job) -> Step:
    """The options in which another job of the same kind differs."""
    return {name: getattr(other, name) for name in job._fields if getattr(other, name) != getattr(job, name)}
