"""Does it fit, how much is left, and what to change if it does not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from paramcalc.costs.capacity import Cards
from paramcalc.costs.changes import COSTS, DEARER, SAME, Change, changes, difference, together
from paramcalc.costs.fewest import MAX_CARDS
from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.layout_search import Candidate, Search, alone
from paramcalc.costs.layouts import FIELDS, devices_of
from paramcalc.costs.placing import Placed, placed
from paramcalc.costs.terms import Input, Term
from paramcalc.costs.weighing import Job, Plan, budget, mode_of, weigh
from paramcalc.holdings.counts import identity
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError


@dataclass(frozen=True)
class Fit:
    """A job on cards. `fits` compares the plan's total with what a process may use of each card; nothing else decides."""

    architecture: Architecture
    cards: Cards
    placement: Placed
    plan: Plan

    @property
    def job(self) -> Job:
        return self.placement.job

    @property
    def budget(self) -> int:
        """Bytes of each card that the job may take."""
        return budget(self.cards.capacity, self.plan)

    @property
    def fits(self) -> bool:
        return self.plan.total <= self.budget

    @property
    def certain(self) -> bool:
        """Whether the whole band says the same."""
        return self.plan.high <= self.budget if self.fits else self.plan.low > self.budget

    @property
    def headroom(self) -> int:
        """Bytes that are left on the worst card; negative for what is missing."""
        return self.budget - self.plan.total

    @property
    def largest(self) -> Term:
        return max(self.plan.terms, key=lambda term: term.bytes)

    @cached_property
    def changes(self) -> list[Change]:
        """What would make it fit, cheapest in quality first; nothing where it fits."""
        if self.fits:
            return []
        number, capacity = self.cards.number or 1, self.cards.capacity
        found = changes(self.architecture, self.job, capacity, number)
        found += [change for change in (self._other_layout(number), self._more_cards(number)) if change is not None]
        if not found:
            both = together(self.architecture, self.job, capacity, number)
            found += [both] if both else []
        return sorted(found, key=lambda change: COSTS.index(change.cost))

    @property
    def remarks(self) -> list[str]:
        """What a reader should know beside the plan's own warnings."""
        found = []
        if not self.certain:
            found.append(
                "the upper end of its band is above the card: it may not fit"
                if self.fits
                else "the lower end of its band is below the card: it may fit"
            )
        missing = _missing_formats(self.plan, self.cards.device.formats)
        if missing:
            found.append(f"{self.cards.device.name} does not multiply {' and '.join(missing)} in hardware")
        return found

    @property
    def inputs(self) -> list[Input]:
        """The plan's own; a layout that nobody asked for is a default."""
        usual = self.placement.usual
        return [each._replace(origin="default") if usual and each.name in FIELDS else each for each in self.plan.inputs]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `paramcalc fit`."""
        plan = self.plan
        return {
            "schema": "paramcalc/fit/1",
            "model": identity(self.architecture),
            "mode": mode_of(self.job),
            "gpu": self.cards.to_dict(),
            "inputs": [each.to_dict() for each in self.inputs],
            "devices": plan.devices,
            "fits": self.fits,
            "certain": self.certain,
            "budget": self.budget,
            "headroom": {"bytes": self.headroom, "low": self.budget - plan.high, "high": self.budget - plan.low},
            "largest_term": self.largest.name,
            "per_device": {"total": plan.total, "low": plan.low, "high": plan.high, "terms": [term.to_dict() for term in plan.terms]},
            "changes": [change.to_dict() for change in self.changes],
            "not_modelled": list(plan.not_modelled),
            "warnings": [*plan.warnings, *self.remarks, *self.cards.remarks],
        }

    def _search(self) -> Search:
        """Layouts of the same job; one copy of it, where it is served."""
        job, fixed = self.job, {"dp": 1} if isinstance(self.job, InferenceJob) else {}
        return Search(self.architecture, job, self.cards.capacity, fixed)

    def _other_layout(self, number: int) -> Change | None:
        """Another layout of the same cards."""
        if number == 1:
            return None
        found = self._found(lambda search: search.front(number).fitting)
        return self._as_change("layout", SAME, found[0]) if found else None

    def _more_cards(self, number: int) -> Change | None:
        """The smallest larger number of cards, in the usual layout where that will do."""

        def fitting(search: Search) -> tuple[Candidate, ...]:
            more = search.smallest(number + 1)
            return () if more is None else search.front(more).fitting

        found = self._found(fitting) if number < MAX_CARDS else ()
        if not found:
            return None
        more = found[0].cards
        usual = self._usual(more)
        if usual is not None:
            return Change("more cards", DEARER, difference(self.job, usual[0]), usual[1], more, self.cards.capacity)
        return self._as_change("more cards", DEARER, found[0])

    def _usual(self, cards: int) -> tuple[Job, Plan] | None:
        """The usual layout of so many cards, where it fits."""
        try:
            job = placed(self.architecture, alone(self.job), cards).job
            plan = weigh(self.architecture, job)
        except UsageError:
            return None
        return (job, plan) if plan.total <= budget(self.cards.capacity, plan) else None

    def _found(self, ask: Any) -> tuple[Candidate, ...]:
        try:
            return tuple(ask(self._search()))
        except UsageError:  # an architecture that nothing can divide
            return ()

    def _as_change(self, name: str, cost: str, one: Candidate) -> Change | None:
        step = difference(self.job, one.job)
        return Change(name, cost, step, one.plan, devices_of(one.job), self.cards.capacity)


def fit(architecture: Architecture, cards: Cards, job: Job, given: Collection[str] = ()) -> Fit:
    """Whether a job fits these cards. `given` names the options that were asked for: without one of a layout, the usual one is
    taken. Raises UsageError where the job cannot be run."""
    placement = placed(architecture, job, cards.number, given)
    return Fit(architecture, cards._replace(number=placement.cards), placement, weigh(architecture, placement.job))


def _missing_formats(plan: Plan, formats: tuple[str, ...]) -> list[str]:
    """Formats that a job computes in and the card has no hardware for."""
    if not formats:
        return []
    named = {each.name: str(each.value) for each in plan.inputs if each.name in ("dtype", "precision")}
    wanted = {word.removesuffix("-mixed").removesuffix("-master") for word in named.values()}
    return sorted(word for word in wanted if word not in formats and word in ("bf16", "fp16", "fp8"))
