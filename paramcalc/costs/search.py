"""The largest value that fits: of the batch, the context, the rank, or of what else memory grows with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from paramcalc.costs.capacity import Cards
from paramcalc.costs.layouts import FIELDS
from paramcalc.costs.placing import Placed
from paramcalc.costs.terms import Input
from paramcalc.costs.weighing import LENGTH, Job, Plan, budget, mode_of, needs_architecture, weigh, with_number
from paramcalc.holdings.counts import identity
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean

LIMIT = 2**30
"""Where a search stops: no batch, context or rank comes near it. What still fits there is not bounded by memory."""
SOLVABLE = ("batch", "context", "rank", "sequences")


class Boundary(NamedTuple):
    """Where fitting ends: `value` fits (0: not even the least does), `value + 1` does not, or is above the limit."""

    value: int
    refusal: str = ""
    """Why the next value cannot even be planned, where that is what ends the search."""
    bounded: bool = True


def largest(fits: Callable[[int], bool], *, at_most: int = LIMIT) -> Boundary:
    """The boundary, by doubling and halving; `fits` is asked about 2·log2(value) times and may raise UsageError for a value that
    cannot be planned, which then does not fit. Memory need not be linear, only its end is looked for."""
    refusals: dict[int, str] = {}

    def holds(value: int) -> bool:
        try:
            return fits(value)
        except UsageError as error:
            if value == 1:
                raise
            refusals[value] = str(error)
            return False

    if not holds(1):
        return Boundary(0)
    low, high = 1, 2
    while high <= at_most and holds(high):
        low, high = high, high * 2
    if high > at_most:
        if low == at_most or holds(at_most):
            return Boundary(at_most, bounded=False)
        high = at_most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return Boundary(low, refusals.get(low + 1, ""))


class Most(NamedTuple):
    """The largest value of one option for which a job fits its cards."""

    architecture: Architecture
    cards: Cards
    job: Job
    """With the value in it; with 1 where nothing fits."""
    solve: str
    option: str
    boundary: Boundary
    plan: Plan
    beyond: int | None
    """Bytes of the next value; None where it cannot be planned or nothing bounds the search."""
    model_limit: int | None
    """What the model was made for, where it says."""
    remarks: tuple[str, ...]
    usual: bool = False
    """Whether nobody asked for the layout."""

    @property
    def fits(self) -> bool:
        return self.boundary.value > 0

    @property
    def budget(self) -> int:
        return budget(self.cards.capacity, self.plan)

    @property
    def inputs(self) -> list[Input]:
        """The plan's own, with the option that was solved for marked."""
        origins = {self.option: "solved"} | (dict.fromkeys(FIELDS, "default") if self.usual else {})
        return [each._replace(origin=origins.get(each.name, each.origin)) for each in self.plan.inputs]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `paramcalc max`."""
        plan = self.plan
        return {
            "schema": "paramcalc/max/1",
            "model": identity(self.architecture),
            "mode": mode_of(self.job),
            "gpu": self.cards.to_dict(),
            "solve": self.solve,
            "option": self.option,
            "value": self.boundary.value,
            "fits": self.fits,
            "bounded": self.boundary.bounded,
            "refusal": self.boundary.refusal or None,
            "model_limit": self.model_limit,
            "budget": self.budget,
            "headroom": self.budget - plan.total,
            "next": {"value": self.boundary.value + 1, "total": self.beyond} if self.boundary.bounded else None,
            "inputs": [each.to_dict() for each in self.inputs],
            "devices": plan.devices,
            "per_device": {"total": plan.total, "low": plan.low, "high": plan.high, "terms": [term.to_dict() for term in plan.terms]},
            "not_modelled": list(plan.not_modelled),
            "warnings": [*plan.warnings, *self.remarks, *self.cards.remarks],
        }


def option_for(solve: str, job: Job) -> str:
    """The option that a word of SOLVABLE stands for in this job. Raises UsageError where the job has none."""
    if solve not in SOLVABLE:
        raise UsageError(f"cannot solve for {solve!r:.40}", place="solve", hint=did_you_mean(solve, SOLVABLE) or ", ".join(SOLVABLE))
    training = mode_of(job) == "train"
    if solve == "rank":
        if not training or getattr(job, "method", "") not in ("lora", "qlora", "dora"):
            raise UsageError("a rank belongs to LoRA", place="solve", hint="--method lora, --method qlora or --method dora")
        return "lora_r"
    if solve == "sequences" and training:
        raise UsageError("sequences are served; training has a batch", place="solve", hint="--solve batch")
    return LENGTH[mode_of(job)] if solve == "context" else "batch_size"


def most(architecture: Architecture, cards: Cards, placement: Placed, solve: str, given: Collection[str] = ()) -> Most:
    """Solve one option of a job for the largest value that fits its cards. Raises UsageError where the job cannot be at all, or
    where the option is one of those `given`."""
    needs_architecture(architecture, "nothing says how it grows")
    job = placement.job
    option = option_for(solve, job)
    if option in given:
        raise UsageError(f"{solve} is what is solved for, and it is given", place=option, hint="leave it out")
    plans: dict[int, Plan] = {}

    def fits(value: int) -> bool:
        plan = plans[value] = weigh(architecture, with_number(job, option, value))
        return plan.total <= budget(cards.capacity, plan)

    found = largest(fits)
    value = max(1, found.value)
    after = plans.get(value + 1) if found.value else None
    remarks = []
    if not found.bounded:
        remarks.append(f"memory does not bound it: {found.value:,} is where the search stops")
    plan = plans[value] if value in plans else weigh(architecture, with_number(job, option, value))
    return Most(
        architecture,
        cards._replace(number=placement.cards),
        with_number(job, option, value),
        solve,
        option,
        found,
        plan,
        None if after is None else after.total,
        _limit(architecture, job, option),
        tuple(remarks),
        placement.usual,
    )


def _limit(architecture: Architecture, job: Job, option: str) -> int | None:
    if option != LENGTH[mode_of(job)] or architecture.context is None:
        return None
    return int(architecture.context)
