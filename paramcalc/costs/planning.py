"""What `plan` answers: the layouts of so many cards, or of the smallest number, that a job fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from paramcalc.costs.capacity import Cards
from paramcalc.costs.layout_search import Candidate, Found, Search
from paramcalc.costs.layouts import FIELDS, NODE, devices_of
from paramcalc.costs.terms import Input
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.weighing import Job, budget, mode_of, weigh
from paramcalc.holdings.counts import identity
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError

NOT_MODELLED = (
    "time: traffic inside a node and between nodes counts alike, and what overlaps with computing is not told apart",
    "reductions of the embedding and the loss, of routers, and of the optimizer's norms",
)
"""What the ranking leaves out."""


class LayoutPlan(NamedTuple):
    """Layouts that fit, least communication first; none where `found` says what came nearest."""

    architecture: Architecture
    cards: Cards
    job: Job
    """As it was asked for, without a layout."""
    found: Found
    smallest: bool
    """Whether the number of cards was looked for."""
    global_batch: int | None
    enough: int | None = None
    """The smallest number of cards that does, where the one asked for does not."""

    @property
    def fits(self) -> bool:
        return bool(self.found.fitting)

    @property
    def best(self) -> Candidate | None:
        """The first that fits; where none does, the one that needs the least."""
        return self.found.fitting[0] if self.found.fitting else self.found.least

    @property
    def inputs(self) -> list[Input]:
        """Those of the job; what a layout decides stands with each layout."""
        shown = self.best.plan.inputs if self.best else weigh(self.architecture, self.job).inputs
        decided = {*FIELDS, "sequence_parallel", "grad_accum", "ep"}
        return [each for each in shown if each.name not in decided]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `paramcalc plan`."""
        best = self.best
        return {
            "schema": "paramcalc/plan/1",
            "model": identity(self.architecture),
            "mode": mode_of(self.job),
            "gpu": self.cards.to_dict(),
            "gpus": self.found.cards,
            "smallest": self.smallest,
            "global_batch": self.global_batch,
            "inputs": [each.to_dict() for each in self.inputs],
            "fits": self.fits,
            "enough": self.found.cards if self.fits and self.smallest else self.enough,
            "possible": self.found.possible,
            "layouts": [self._layout(one) for one in self.found.fitting],
            "nearest": None if self.fits or best is None else self._layout(best),
            "not_modelled": [*(best.plan.not_modelled if best else ()), *NOT_MODELLED],
            "warnings": [*self.warnings, *self.cards.remarks],
        }

    @property
    def warnings(self) -> list[str]:
        """What the plan of the first layout says."""
        return list(self.best.plan.warnings) if self.best else []

    def _layout(self, one: Candidate) -> dict[str, Any]:
        plan, room = one.plan, budget(self.cards.capacity, one.plan)
        training = {"grad_accum": one.job.grad_accum} if isinstance(one.job, TrainingJob) else {"batch_size": one.job.batch_size}
        return {
            **one.layout.to_dict(),
            **training,
            "gpus": self.found.cards,
            "headroom": room - plan.total,
            "certain": plan.high <= room,
            "communication": one.traffic.to_dict(),
            "idle": round(one.idle, 6),
            "per_device": {
                "total": plan.total,
                "low": plan.low,
                "high": plan.high,
                "rank": getattr(plan, "rank", None),
                "terms": [term.to_dict() for term in plan.terms],
            },
        }


def plan_layouts(
    architecture: Architecture, cards: Cards, job: Job, given: Mapping[str, Any], *, global_batch: int | None = None, node: int = NODE
) -> LayoutPlan:
    """Layouts of `cards.number` cards, or of the smallest number where that is None. Fields of a layout that are `given` stay so.

    Raises UsageError where the job cannot be run on any layout.
    """
    if node < 1:
        raise UsageError(f"expected at least one card, got {node}", place="node_size")
    fixed = {name: int(given[name]) for name in (*FIELDS, "grad_accum") if name in given}
    _check(job, fixed, global_batch)
    search = Search(architecture, job, cards.capacity, fixed, global_batch=global_batch, node=node)
    number = cards.number if cards.number is not None else search.smallest()
    if number is None:
        least = max(devices_of(job), node)
        return LayoutPlan(architecture, cards, job, search.front(least)._replace(fitting=()), True, global_batch)
    found = search.front(number)
    enough = None if found.fitting or cards.number is None else search.smallest(number + 1)
    return LayoutPlan(architecture, cards._replace(number=number), job, found, cards.number is None, global_batch, enough)


def _check(job: Job, fixed: Mapping[str, int], global_batch: int | None) -> None:
    if global_batch is None:
        return
    if not isinstance(job, TrainingJob):
        raise UsageError("a global batch belongs to training", place="global_batch", hint="--mode train")
    if "grad_accum" in fixed:
        raise UsageError("the number of micro-batches follows from the global batch", place="grad_accum", hint="give one of the two")
    if global_batch < 1:
        raise UsageError(f"expected at least one sequence, got {global_batch}", place="global_batch")
