"""Parallel layouts: which ones can exist for an architecture on so many cards.

A layout divides the work dp × tp × pp × cp ways (data, tensor, pipeline and context parallelism); expert parallelism
stands on those ranks. Impossible ones are never made: heads, layers, experts and tokens are divided evenly, as
Megatron-LM asks, tensor parallelism stays inside of a node, and ZeRO needs replicas to share states with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.training.job import LENGTH, TrainingJob
from paramcalc.costs.weighing import Job
from paramcalc.model.architecture import Architecture
from paramcalc.model.parts import Block, Group, Place

FIELDS = ("dp", "tp", "pp", "ep", "cp", "zero")
NODE = 8
"""Cards that are linked directly: those of one server (DGX, HGX and most cloud machines)."""


class Layout(NamedTuple):
    """How cards share one job. For inference `dp` counts replicas of the engine, which share the sequences."""

    dp: int = 1
    tp: int = 1
    pp: int = 1
    ep: int = 1
    cp: int = 1
    zero: int = 0

    @property
    def text(self) -> str:
        """`tp 8 · pp 4 · dp 2 · ZeRO 1`; one card alone is `one card`."""
        named = [f"{name} {getattr(self, name)}" for name in ("tp", "pp", "cp", "ep", "dp") if getattr(self, name) > 1]
        return " · ".join([*named, *([f"ZeRO {self.zero}"] if self.zero else [])]) or "one card"

    def to_dict(self) -> dict[str, int]:
        return self._asdict()


class Divisible:
    """What of an architecture ranks have to divide."""

    def __init__(self, architecture: Architecture, job: Job) -> None:
        self.architecture, self.job = architecture, job
        self.training = isinstance(job, TrainingJob)

    @cached_property
    def blocks(self) -> list[tuple[Block, Place]]:
        """Every block outside of towers, which stay whole on the first ranks."""
        return [(block, place) for block, place in self.architecture.blocks() if not place.tower]

    @cached_property
    def experts(self) -> list[int]:
        """Experts of each kind of layer that has some."""
        return [int(fields.count) for fields, _ in self._fields() if hasattr(fields, "visited") and hasattr(fields, "expert")]

    @cached_property
    def layers(self) -> int:
        """Layers that pipeline stages divide: those of the last stack in training, of all of them in inference."""
        depths = [sum(group.layers.counts().values()) for group in _stacks(self.architecture.root)]
        return (depths[-1] if self.training else sum(depths)) if depths else 0

    @cached_property
    def tokens(self) -> int:
        """Tokens of a training sequence."""
        length = getattr(self.job, "seq_len", None)
        return int(length or min(LENGTH, self.architecture.context or LENGTH))

    def tensor(self, tp: int) -> bool:
        """Whether so many ranks divide the heads, and divide or repeat the key-value heads."""
        for fields, _ in self._fields():
            heads, kv_heads = getattr(fields, "heads", None), getattr(fields, "kv_heads", None)
            if isinstance(heads, int) and heads % tp:
                return False
            if isinstance(heads, int) and isinstance(kv_heads, int) and kv_heads % tp and tp % kv_heads:
                return False
        return True

    def pipeline(self, pp: int) -> bool:
        return pp == 1 or (self.layers >= pp and self.layers % pp == 0)

    def expert(self, ep: int) -> bool:
        return ep == 1 or (bool(self.experts) and all(count % ep == 0 for count in self.experts))

    def context(self, cp: int) -> bool:
        """Each rank takes two chunks of a sequence, one from its front and one from its back, so that causal attention is
        even (Megatron-LM's context parallelism)."""
        return cp == 1 or self.tokens % (2 * cp) == 0

    def _fields(self) -> Iterator[tuple[Any, Place]]:
        yield from self.blocks


def layouts(able: Divisible, cards: int, fixed: Mapping[str, int] | None = None, node: int = NODE) -> Iterator[Layout]:
    """Every layout of so many cards that can exist. What is in `fixed` stays as it is, even where it divides unevenly."""
    fixed = fixed or {}
    for tp in _ways("tp", cards, fixed):
        if "tp" not in fixed and (tp > node or not able.tensor(tp)):
            continue
        for pp in _ways("pp", cards // tp, fixed):
            if "pp" in fixed or able.pipeline(pp):
                yield from (_training if able.training else _inference)(able, cards // tp // pp, Layout(tp=tp, pp=pp), fixed)


def _training(able: Divisible, rest: int, so_far: Layout, fixed: Mapping[str, int]) -> Iterator[Layout]:
    """Context parallelism, replicas, experts spread over data- and tensor-parallel ranks, and what replicas share."""
    for cp in _ways("cp", rest, fixed):
        if "cp" not in fixed and not able.context(cp):
            continue
        dp = rest // cp
        if fixed.get("dp", dp) != dp:
            continue
        for ep in _ways("ep", dp * so_far.tp, fixed):
            if "ep" not in fixed and not able.expert(ep):
                continue
            for zero in [fixed["zero"]] if "zero" in fixed else range(4):
                if _stage_exists(zero, dp, so_far.pp) or "zero" in fixed:
                    yield so_far._replace(dp=dp, cp=cp, ep=ep, zero=zero)


def _stage_exists(zero: int, dp: int, pp: int) -> bool:
    """ZeRO shares states among replicas. Stage 2 excludes a pipeline, whose micro-batches add up whole gradients (DeepSpeed
    refuses the two together)."""
    return zero == 0 or (dp > 1 and not (zero == 2 and pp > 1))


def _inference(able: Divisible, rest: int, so_far: Layout, fixed: Mapping[str, int]) -> Iterator[Layout]:
    """Replicas, each with its part of the sequences; experts on the tensor-parallel ranks, or beyond them on ranks of other
    sequences."""
    batch = able.job.batch_size
    for wide in _ways("wide", rest, {}):
        replicas = rest // wide
        if fixed.get("dp", replicas) != replicas or replicas > batch:
            continue
        choices = [1, so_far.tp] if wide == 1 else [so_far.tp * wide]
        for ep in sorted(set(choices)) if "ep" not in fixed else [fixed["ep"]]:
            if max(1, ep // so_far.tp) == wide and ("ep" in fixed or able.expert(ep)):
                yield so_far._replace(dp=replicas, ep=ep)


def _ways(name: str, number: int, fixed: Mapping[str, int]) -> list[int]:
    if name in fixed:
        return [fixed[name]] if number % fixed[name] == 0 else []
    return divisors(number)


def divisors(number: int) -> list[int]:
    """Every divisor, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    low = [way for way in range(1, int(number**0.5) + 1) if number % way == 0]
    return low + [number // way for way in reversed(low) if way * way != number]


def laid_out(job: Job, layout: Layout, global_batch: int | None = None) -> Job:
    """The job on one rank of a layout.

    Training accumulates until every layout has trained `global_batch` sequences a step, and tensor-parallel ranks divide
    what is left whole between their matrices too (sequence parallelism: less memory for the same communication).
    Inference divides the sequences among replicas.
    """
    if isinstance(job, InferenceJob):
        return job._replace(tp=layout.tp, pp=layout.pp, ep=layout.ep, batch_size=-(-job.batch_size // layout.dp))
    made = job._replace(**layout._asdict(), sequence_parallel=job.sequence_parallel or layout.tp > 1)
    return made if global_batch is None else made._replace(grad_accum=max(1, global_batch // (layout.dp * job.batch_size)))


def devices_of(job: Job) -> int:
    """Cards that one copy of a job's layout takes."""
    if isinstance(job, InferenceJob):
        return job.pp * max(job.tp, job.ep)
    return job.dp * job.tp * job.pp * job.cp


def _stacks(group: Group) -> Iterator[Group]:
    if group.kinds:
        yield group
        return
    for part in group.parts.values():
        if isinstance(part, Group) and not part.tower:
            yield from _stacks(part)
