"""One screen: what a model takes to run and to train, in fp32, bf16, int8 and int4, and the smallest common GPUs for each.

int8 and int4 are weights only: linear layers are quantized with a scale a row; embeddings, norms and head stay in bf16
unless told otherwise. Training in int8 or int4 means adapters on a frozen quantized base (QLoRA).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from paramcalc.costs.devices import find
from paramcalc.costs.inference import InferenceJob, InferencePlan, plan_inference
from paramcalc.costs.inference.job import TRANSFORMERS
from paramcalc.costs.terms import Input
from paramcalc.holdings.counts import identity
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import ParamcalcError, UsageError

if TYPE_CHECKING:
    from paramcalc.costs.training.plan import TrainingPlan

FORMATS = ("fp32", "bf16", "int8", "int4")
METHODS = ("full", "lora", "qlora")
LENGTH = 2048
"""Tokens of a prompt that is read at once, and of a training sequence; the model's own context where that is shorter."""

CARDS = (
    ("rtx-4060", "RTX 4060"),
    ("rtx-4070", "RTX 4070"),
    ("rtx-5080", "RTX 5080"),
    ("rtx-4090", "RTX 4090"),
    ("rtx-5090", "RTX 5090"),
    ("l40s-48gb", "L40S"),
    ("h100-sxm-80gb", "H100"),
    ("h200-sxm-141gb", "H200"),
    ("b200-180gb", "B200"),
)
"""Cards of 8, 12, 16, 24, 32, 48, 80, 141 and 180 GB that many people have, as ids of the catalogue and as they are called."""
SEVERAL = ("h100-sxm-80gb", "h200-sxm-141gb", "b200-180gb")
"""Cards that are asked for by the 2, 4, 8, ... up to MOST."""
MOST = 512


class Gpus(NamedTuple):
    """So many cards of one kind."""

    number: int
    device: str
    name: str

    def __str__(self) -> str:
        return f"{self.number} × {self.name}"

    def to_dict(self) -> dict[str, Any]:
        return {"count": self.number, "device": self.device}


class Running(NamedTuple):
    """What one format takes to run."""

    format: str
    plan: InferencePlan
    gpus: Gpus | None
    """None where no number of cards up to MOST will do."""

    def size(self, *names: str) -> int:
        return sum(term.bytes for term in self.plan.terms if term.name in names)

    def to_dict(self) -> dict[str, Any]:
        names = ("weights", "kv_cache", "state_cache", "activations", "overhead")
        return {
            "total": self.plan.total,
            "low": self.plan.low,
            "high": self.plan.high,
            **{name: self.size(name) for name in names},
            "scales": self.plan.scales,
            "gpus": self.gpus.to_dict() if self.gpus else None,
        }


class Training(NamedTuple):
    """What one method takes in one format; without a total, why not."""

    total: int | None = None
    low: int | None = None
    high: int | None = None
    gpus: Gpus | None = None
    why_not: str = ""

    def to_dict(self) -> dict[str, Any]:
        if self.total is None:
            return {"total": None, "why": self.why_not}
        gpus = self.gpus.to_dict() if self.gpus else None
        return {"total": self.total, "low": self.low, "high": self.high, "gpus": gpus}


class Overview(NamedTuple):
    """A model in all formats."""

    architecture: Architecture
    inputs: tuple[Input, ...]
    running: tuple[Running, ...]
    training: dict[str, dict[str, Training | None]]
    """By format and method; None where a method does not apply to a format."""
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The answer of `paramcalc memory --format json`."""
        formats = []
        for line in self.running:
            trained = self.training.get(line.format, {})
            methods = {name: each.to_dict() if each else None for name, each in trained.items()}
            formats.append({"format": line.format, "inference": line.to_dict(), "training": methods})
        return {
            "schema": "paramcalc/memory/1",
            "model": identity(self.architecture),
            "inputs": [given.to_dict() for given in self.inputs],
            "formats": formats,
            "warnings": list(self.warnings),
        }


def overview(architecture: Architecture, job: InferenceJob = InferenceJob(), *, seq_len: int | None = None) -> Overview:
    """Plan running and training in every format. `job` gives context, prompt, batch and engine; its formats are not read.

    A prompt is taken to be read 2,048 tokens at a time: all of a long context at once is more than people do.
    """
    own = job.context or architecture.context or LENGTH
    taken = {name for name in ("engine", "prompt") if getattr(job, name) is None}
    job = job if job.prompt or architecture.reported else job._replace(prompt=min(LENGTH, int(own)))
    lines = [_running(architecture, job._replace(engine=job.engine or TRANSFORMERS), name) for name in FORMATS]
    if architecture.quantization or architecture.origin.form == "gguf":
        lines.append(_line(architecture, job, "as published"))
    first = lines[1].plan
    length = seq_len or min(LENGTH, architecture.context or LENGTH)
    trained = {} if architecture.reported else {name: _trained(architecture, name, length) for name in FORMATS}
    kept = ("engine", "context", "prompt", "batch_size", "source")
    inputs = [given._replace(origin="default") if given.name in taken else given for given in first.inputs if given.name in kept]
    if trained:
        inputs.append(Input("seq_len", length, "given" if seq_len else "default"))
    return Overview(architecture, tuple(inputs), tuple(lines), trained, first.warnings)


def _running(architecture: Architecture, job: InferenceJob, name: str) -> Running:
    plain = {"fp32": "fp32", "bf16": "bf16"}.get(name)
    if architecture.reported:
        asked = job._replace(dtype=plain, quant=None if plain else name)
    else:
        asked = job._replace(dtype=plain or "bf16", quant=plain or name)
    return _line(architecture, asked, name)


def _line(architecture: Architecture, job: InferenceJob, name: str) -> Running:
    plan = plan_inference(architecture, job)

    def on(count: int) -> int:
        if count == 1:
            return plan.high
        try:
            return plan_inference(architecture, job._replace(tp=count)).high
        except UsageError:  # heads that do not divide, or an engine that divides by layers
            return plan_inference(architecture, job._replace(pp=count)).high

    return Running(name, plan, None if architecture.reported else smallest(on))


def _trained(architecture: Architecture, name: str, length: int) -> dict[str, Training | None]:
    quantized = name in ("int8", "int4")
    return {
        "full": Training(why_not="gradients do not reach integers: train adapters (QLoRA)")
        if quantized
        else _training(architecture, length, method="full", precision=name),
        "lora": None if quantized else _training(architecture, length, method="lora", precision=name),
        "qlora": _training(architecture, length, method="qlora", quant=name) if quantized else None,
    }


def _training(architecture: Architecture, length: int, **options: Any) -> Training:
    from paramcalc.costs.training.job import TrainingJob
    from paramcalc.costs.training.plan import plan_training

    job = TrainingJob(seq_len=length, checkpointing="full", **options)

    @cache
    def on(count: int) -> TrainingPlan:
        return plan_training(architecture, job._replace(dp=count, zero=3) if count > 1 else job)

    try:
        plan = on(1)
        return Training(plan.total, plan.low, plan.high, smallest(lambda count: on(count).high))
    except ParamcalcError as error:
        return Training(why_not=error.problems[0].message)


def smallest(on: Callable[[int], int]) -> Gpus | None:
    """The fewest bytes of GPU that will do: one card, else several of the larger ones. `on` says what each of so many takes, at
    the upper end of its band."""
    total = on(1)
    for device, name in CARDS:
        if total <= find(device)[0].capacity:
            return Gpus(1, device, name)
    two = _or(on, 2, total)
    divides = 2 * (total - two)  # of what one card would hold, the part that more cards share
    names = dict(CARDS)
    for _, count, device in sorted((count * find(device)[0].capacity, count, device) for count in _powers() for device in SEVERAL):
        capacity = find(device)[0].capacity
        guess = total - divides + divides // count
        if guess <= capacity * 11 // 10 and (two if count == 2 else _or(on, count, total)) <= capacity:
            return Gpus(count, device, names[device])
    return None


def _or(on: Callable[[int], int], count: int, otherwise: int) -> int:
    """What each of so many takes; as much as one alone where a model cannot be divided so."""
    try:
        return on(count)
    except ParamcalcError:
        return otherwise


def _powers() -> list[int]:
    counts = [2]
    while counts[-1] < MOST:
        counts.append(counts[-1] * 2)
    return counts
