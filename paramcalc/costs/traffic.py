"""How many bytes a layout moves between cards for each token, all cards together, by what moves them.

Activations: an all-reduce over n ranks of one row moves 2(n-1) rows in all (ring: reduce-scatter and all-gather).
- tp: one all-reduce for each block that writes to the stream (Shoeybi et al. 2019, §3), as many backwards, and forwards
  once more where checkpointing recomputes; sequence parallelism moves the same (Korthikanti et al. 2022, §4.2.2).
- pp: one row across each border of stages, and its gradient back (Narayanan et al. 2021, §3.2).
- cp: keys and values visit all other ranks forwards; backwards they and their gradients do (Liu et al. 2023, §3).
- ep: a row to each expert that a token visits and one back, the same backwards (Lepikhin et al. 2020, §2.2).
States, for each step, spread over its tokens (Rajbhandari et al. 2020, §7):
- dp: gradients in an all-reduce, or reduced and the parameters gathered (ZeRO 1 and 2: the same volume for bf16); ZeRO 3
  gathers parameters forwards and backwards, and that for each micro-batch.
Left out: the embedding's and the loss's reductions, routers, the optimizer's norms.
"""

from __future__ import annotations

from typing import NamedTuple

from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.inference.widths import WRITERS
from paramcalc.costs.layouts import Layout
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.weighing import Job
from paramcalc.model.architecture import Architecture
from paramcalc.words.formats import FORMATS
from paramcalc.words.sizes import product


class Traffic(NamedTuple):
    """Bytes a token, over all cards."""

    tp: int = 0
    pp: int = 0
    cp: int = 0
    ep: int = 0
    dp: int = 0

    @property
    def total(self) -> int:
        return sum(self)

    def to_dict(self) -> dict[str, int]:
        return {**self._asdict(), "total": self.total}


class Rows(NamedTuple):
    """Elements that one token moves in one forward pass, whatever the layout."""

    written: int
    """Rows that blocks write to the stream, added up."""
    width: int
    cached: int
    """Keys and values (or what else is kept a token) of all layers."""
    visited: int
    """Rows to all experts that a token visits."""


class Whole(NamedTuple):
    """Bytes of the whole model's states, not divided in any way."""

    base: int
    """Weights, trained or not, as they are kept."""
    gradients: int
    expert_share: float
    """Of the parameters, those of routed experts."""


def rows_of(architecture: Architecture) -> Rows:
    """What a token moves, from the blocks of an architecture."""
    written = cached = visited = 0
    for block, place in architecture.blocks():
        if place.tower:
            continue
        rows = list(block.parameters(place))
        if any(WRITERS & set(row.name.split(".")) for row in rows):
            written += int(place.width) * place.applied
        experts = next((row.experts for row in rows if row.experts is not None), None)
        if experts is not None:
            visited += int(place.width) * place.applied * (experts[1] or 1)
        if place.cached:
            cached += sum(product(row.shape) * place.applied for row in block.cache(place) if row.per == "token")
    return Rows(written, int(architecture.root.width or 0), cached, visited)


def traffic_of(layout: Layout, job: Job, rows: Rows, whole: Whole | None = None, tokens: int = 1) -> Traffic:
    """What a layout moves. For training, `whole` are the states and `tokens` those that all cards train in a step."""
    if isinstance(job, InferenceJob):
        return _inference(layout, job, rows)
    assert whole is not None
    element = 4 if job.precision == "fp32" else 2
    again = 1 if job.checkpointing == "full" else 0
    return Traffic(
        tp=rows.written * element * 2 * (layout.tp - 1) * (2 + again),
        pp=rows.width * element * 2 * (layout.pp * job.virtual_stages - 1) if layout.pp > 1 else 0,
        cp=rows.cached * element * (layout.cp - 1) * (3 + again),
        ep=rows.visited * element * 2 * (2 + again) * (layout.ep - 1) // layout.ep,
        dp=_states(layout, job, whole) // tokens,
    )


def _inference(layout: Layout, job: InferenceJob, rows: Rows) -> Traffic:
    element = FORMATS["fp32"].block_bytes if job.dtype == "fp32" else 2
    wide = max(1, layout.ep // layout.tp)
    return Traffic(
        tp=rows.written * element * 2 * (layout.tp - 1),
        pp=rows.width * element * (layout.pp - 1),
        ep=rows.visited * element * 2 * (wide - 1) // wide,
    )


def _states(layout: Layout, job: TrainingJob, whole: Whole) -> int:
    """Bytes of gradients and parameters that replicas move in one step; an expert has fewer replicas than the rest."""
    every = layout.dp * layout.cp
    if every == 1:
        return 0
    of_expert = every * layout.tp // layout.ep if layout.ep > 1 else every
    ranks = (every - 1) * (1 - whole.expert_share) + (of_expert - 1) * whole.expert_share
    reduced = whole.gradients * (job.grad_accum if layout.zero >= 2 else 1)
    if layout.zero == 3:
        moved = reduced + 2 * whole.base * job.grad_accum
    else:
        moved = reduced + (whole.gradients if layout.zero == 0 else min(whole.base, whole.gradients))
    return int(ranks * moved)


def idle_share(layout: Layout, job: Job) -> float:
    """The share of time that a pipeline's stages wait: (p - 1) / (v·m + p - 1) of a training step with m micro-batches and v
    chunks a stage (Narayanan et al. 2021, §2.2); in inference, stages without one of the sequences in them."""
    if layout.pp == 1:
        return 0.0
    if isinstance(job, TrainingJob):
        return (layout.pp - 1) / (job.virtual_stages * job.grad_accum + layout.pp - 1)
    return 1 - min(job.batch_size, layout.pp) / layout.pp
