"""Which layouts of so many cards fit, ranked by least communication for the same memory; and the smallest number of cards.

A layout is worth showing where no other one that fits is as good in memory, in communication and in idle stages at once.
Only such layouts are run on the real plan: a bound that no layout can go below (each rank holds at least its even share
of what is there) rules out most others without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from paramcalc.costs.fewest import MAX_CARDS, Bounds, fewest
from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.layouts import NODE, Divisible, Layout, divisors, laid_out, layouts
from paramcalc.costs.traffic import Rows, Traffic, Whole, idle_share, rows_of, traffic_of
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.weighing import Job, Plan, budget, needs_architecture, weigh
from paramcalc.holdings.counts import count_architecture
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError


class Candidate(NamedTuple):
    """A layout with what it costs."""

    layout: Layout
    job: Job
    plan: Plan
    traffic: Traffic
    idle: float
    """Share of the time that pipeline stages wait."""

    @property
    def cards(self) -> int:
        layout = self.layout
        return layout.dp * layout.pp * layout.cp * max(layout.tp, layout.ep if isinstance(self.job, InferenceJob) else 1)


class Found(NamedTuple):
    """What a search came to."""

    cards: int
    fitting: tuple[Candidate, ...]
    """Least communication first."""
    least: Candidate | None
    """The least memory that any layout was seen to need, where none fits."""
    possible: int
    """Layouts that can exist."""
    planned: int
    """Layouts of which the plan was made."""


class _Option(NamedTuple):
    layout: Layout
    job: Job
    traffic: Traffic
    idle: float

    @property
    def copy(self) -> tuple[int, ...]:
        """What activations depend on: not on how many replicas there are, nor on what they share."""
        layout = self.layout
        return layout.tp, layout.pp, layout.cp, layout.ep, getattr(self.job, "grad_accum", 0)


class Search:
    """Layouts of one job on cards of one capacity. What is in `fixed` stays as given."""

    def __init__(
        self,
        architecture: Architecture,
        job: Job,
        capacity: int,
        fixed: Mapping[str, int] | None = None,
        *,
        global_batch: int | None = None,
        node: int = NODE,
    ) -> None:
        needs_architecture(architecture, "nothing says how it divides")
        self.architecture, self.job, self.capacity = architecture, job, capacity
        self.fixed, self.global_batch, self.node = dict(fixed or {}), global_batch, node
        self.able = Divisible(architecture, job)
        self.rows: Rows = rows_of(architecture)
        self.alone = weigh(architecture, alone(job))
        self.whole = _whole(architecture, self.alone) if isinstance(job, TrainingJob) else None
        self.planned = 0
        self.activations: dict[tuple[int, ...], int] = {}

    def front(self, cards: int) -> Found:
        """Every layout of so many cards that fits and that no other one beats in all three respects."""
        before, kept, least = self.planned, list[Candidate](), None
        options = sorted(self.options(cards), key=lambda option: (option.traffic.total, option.idle, -option.layout.zero))
        for option in options:
            bound = self._bound(option)
            if bound > self.capacity or any(_beats(one, bound, option) for one in kept):
                continue
            made = self.weighed(option)
            if made is None:
                continue
            least = made if least is None or made.plan.total < least.plan.total else least
            if made.plan.total <= budget(self.capacity, made.plan) and not any(_beats(one, made.plan.total, option) for one in kept):
                kept.append(made)
        if not kept and least is None:
            least = self._smallest(options)
        kept = [one for one in kept if not any(_as_good(other, one) for other in kept if other is not one)]
        return Found(cards, tuple(kept), None if kept else least, len(options), self.planned - before)

    def smallest(self, start: int = 1, limit: int = MAX_CARDS) -> int | None:
        """The smallest number of cards from `start` on that some layout fits; None where no number will do."""
        replicas = None
        if self.global_batch is not None and isinstance(self.job, TrainingJob):
            at_once = self.job.batch_size
            replicas = tuple(divisors(self.global_batch // at_once)) if self.global_batch % at_once == 0 else ()
        return fewest(self.able, self.fits, self.fixed, Bounds(start, limit, self.node, replicas))

    def fits(self, layout: Layout) -> bool:
        """Whether one layout can exist and fits."""
        option = self._option(layout, layout.dp * layout.pp * layout.cp * (layout.tp if self.able.training else max(layout.tp, layout.ep)))
        if option is None or self._bound(option) > self.capacity:
            return False
        made = self.weighed(option)
        return made is not None and made.plan.total <= budget(self.capacity, made.plan)

    def options(self, cards: int) -> Iterator[_Option]:
        """Every layout with what is known of it before it is planned."""
        for layout in layouts(self.able, cards, self.fixed, self.node):
            option = self._option(layout, cards)
            if option is not None:
                yield option

    def _option(self, layout: Layout, cards: int) -> _Option | None:
        batch = self._batch(cards, layout)
        if batch == 0:
            return None
        job = laid_out(self.job, layout, batch)
        return _Option(layout, job, self._traffic(layout, job), idle_share(layout, job))

    def weighed(self, option: _Option) -> Candidate | None:
        """A layout on the real plan; None where that says it cannot exist."""
        try:
            plan = weigh(self.architecture, option.job)
        except UsageError:
            return None
        self.planned += 1
        self._learn(option, plan)
        return Candidate(option.layout, option.job, plan, option.traffic, option.idle)

    def _batch(self, cards: int, layout: Layout) -> int | None:
        """Sequences of one step: as asked, else as many as all cards would train alone, so that layouts compare. None where the
        number of micro-batches is given; 0 where replicas do not divide what was asked."""
        if not isinstance(self.job, TrainingJob) or "grad_accum" in self.fixed:
            return None
        at_once = layout.dp * self.job.batch_size
        if self.global_batch is None:
            return cards * self.job.batch_size
        return self.global_batch if self.global_batch % at_once == 0 else 0

    def _traffic(self, layout: Layout, job: Job) -> Traffic:
        tokens = 1
        if isinstance(job, TrainingJob):
            tokens = layout.dp * job.batch_size * job.grad_accum * self.able.tokens
        return traffic_of(layout, job, self.rows, self.whole, tokens)

    def _bound(self, option: _Option) -> int:
        """Bytes that the worst rank holds at least: its even share of what one card would hold of states, at the optimizer's step,
        or with what a layout of the same copy was seen to hold of activations."""
        layout = option.layout
        held, shared = max(layout.tp, layout.ep) * layout.pp, layout.dp * layout.tp * layout.pp
        sizes = _states_at_step(self.alone)
        shares = {name: sizes.get(name, 0) // (shared if layout.zero >= stage else held) for name, stage in STAGES.items()}
        resident = sum(shares.values()) - shares["gradients"] + sizes["overhead"]
        return resident + max(shares["gradients"], self.activations.get(option.copy, 0))

    def _learn(self, option: _Option, plan: Plan) -> None:
        """Remember what a copy holds of activations at any moment: with other replicas it holds as much."""
        seen = [
            phase.terms.get("activations", 0) + phase.terms.get("logits", 0) for phase in getattr(plan, "phases", ()) if self.able.training
        ]
        self.activations[option.copy] = max([self.activations.get(option.copy, 0), *seen])

    def _smallest(self, options: list[_Option]) -> Candidate | None:
        """The layout with the least bound, planned: what comes nearest where nothing can fit."""
        for option in sorted(options, key=self._bound)[:8]:
            made = self.weighed(option)
            if made is not None:
                return made
        return None


def _beats(one: Candidate, size: int, other: _Option) -> bool:
    """Whether a layout is as good as another in every respect; `one` moves no more, being found before."""
    return one.plan.total <= size and one.idle <= other.idle


def _as_good(other: Candidate, one: Candidate) -> bool:
    """Whether a layout found later moves as little, and holds less."""
    return other.traffic.total <= one.traffic.total and other.plan.total < one.plan.total and other.idle <= one.idle


def alone(job: Job) -> Job:
    """The job on one card."""
    if isinstance(job, InferenceJob):
        return job._replace(tp=1, pp=1, ep=1)
    return job._replace(dp=1, tp=1, pp=1, ep=1, cp=1, zero=0, sequence_parallel=False, virtual_stages=1)


STAGES = {"weights": 3, "adapters": 3, "gradients": 2, "master_weights": 1, "optimizer": 1}
"""States, and the stage of ZeRO from which replicas share them."""


def _states_at_step(plan: Plan) -> dict[str, int]:
    """What one card alone holds without temporaries: in training while the optimizer steps."""
    sizes = {term.name: term.bytes for term in plan.terms}
    phases = {phase.name: phase.terms for phase in getattr(plan, "phases", ()) if hasattr(phase, "terms")}
    step: Mapping[str, int] = phases.get("optimizer", {"weights": sizes.get("weights", 0)})
    return {name: step.get(name, 0) for name in STAGES} | {"overhead": sizes.get("overhead", 0)}


def _whole(architecture: Architecture, alone: Plan) -> Whole:
    sizes = _states_at_step(alone)
    counts = count_architecture(architecture)
    routed = sum(row.total for row in counts.rows if row.experts is not None)
    return Whole(sizes["weights"] + sizes["adapters"], sizes["gradients"], routed / counts.total if counts.total else 0.0)
