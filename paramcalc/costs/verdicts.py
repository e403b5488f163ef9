"""Verdicts: each limit of a budget against what a model holds and costs, with the part that weighs most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from paramcalc.costs.budgets import PLANNERS, Limits
from paramcalc.holdings.counts import Counts, Share, shares
from paramcalc.holdings.differences import Figures, components, figures_of, largest
from paramcalc.model.rows import EMBEDDING, Row
from paramcalc.words.errors import BudgetError, InputError, Problem, UsageError
from paramcalc.words.units import bytes_text, rounded

PARAMETERS, BYTES = "parameters", "bytes"
LIVE = "module"
"""The form of counts that were folded from a live module."""


class Before(NamedTuple):
    """What a model held, for a limit on growth."""

    figures: Figures
    name: str
    """Where that is written: a lock file, or a revision."""


class Verdict(NamedTuple):
    """One limit and the value that is held against it."""

    name: str
    """The limit's key in a budget: `max_params`."""
    what: str
    """What the value is, in words that follow it: `active parameters`, `for inference`."""
    unit: str
    """`parameters` or `bytes`."""
    limit: int
    value: int
    largest: Share | None = None
    """The component, term or tensor that weighs most; for growth, the one that grew the most."""
    note: str = ""

    @property
    def breached(self) -> bool:
        return self.value > self.limit

    @property
    def excess(self) -> int:
        """How far the value is over the limit; negative for what is left."""
        return self.value - self.limit

    @property
    def ratio(self) -> str:
        """The excess, or what is left, as a share of the limit."""
        share = abs(self.excess) / self.limit if self.limit else 0.0
        return f"{share:,.0f} × the limit" if share > 10 else f"{share:.1%} of the limit" if share else ""

    def sentence(self) -> str:
        """All of it in one line."""
        over = f"{self.shown(self.excess)} over" if self.breached else f"{self.shown(-self.excess)} left"
        share = f" ({self.ratio})" if self.ratio else ""
        text = f"{self.name}: {self.shown(self.value)} {self.what}, limit {self.shown(self.limit)}: {over}{share}"
        text += f"; largest: {self.largest.name}, {self.shown(self.largest.total)}" if self.largest else ""
        return f"{text}; {self.note}" if self.note else text

    def shown(self, number: int) -> str:
        """A figure, exact and rounded."""
        if self.unit == BYTES:
            return f"{number:,} B ({bytes_text(number)})" if number >= 1024 else bytes_text(number)
        return f"{number:,} ({rounded(number)})" if number >= 1000 else str(number)

    def to_dict(self) -> dict[str, Any]:
        part = {"name": self.largest.name, self.unit: self.largest.total} if self.largest else None
        return {
            "name": self.name, "what": self.what, "unit": self.unit, "limit": self.limit, "value": self.value, "excess": self.excess,
            "breached": self.breached, "largest": part, "note": self.note,
        }  # fmt: skip


def judge(counts: Counts, limits: Limits, before: Before | None = None) -> list[Verdict]:
    """Every limit that is set, held or not.

    Raises InputError where a figure is unknown that a limit is about, and UsageError where settings do not suit the
    model, with the key of the setting as place. A limit on growth without `before` is left out: there is nothing to hold.
    """
    memory = _Memory(counts, limits)
    found = [*_parameters(counts, limits)]
    for kind, most, device in (("inference", limits.max_inference, limits.fits), ("training", limits.max_training, limits.trains_on)):
        if most is not None:
            found.append(memory.within(kind, most))
        if device is not None:
            found.append(memory.on(kind, device))
    if limits.max_growth is not None and before is not None:
        found += _growth(figures_of(counts), limits, before)
    return found


def breach(model: str, limits: Limits, verdicts: Sequence[Verdict]) -> BudgetError | None:
    """What to raise where limits are breached: a problem for each, with whom to ask and why it is there."""
    about = [limits.reason and f"why this limit: {limits.reason}", limits.owner and f"owner: {limits.owner}"]
    more = "".join(f"; {text}" for text in about if text)
    problems = [Problem(f"{verdict.sentence()}{more}", model) for verdict in verdicts if verdict.breached]
    return BudgetError(problems) if problems else None


def _parameters(counts: Counts, limits: Limits) -> Iterable[Verdict]:
    if limits.max_params is not None:
        yield Verdict("max_params", "parameters", PARAMETERS, limits.max_params, counts.total, _heaviest(counts, counts.rows))
    if limits.max_active is not None:
        if counts.active is None:
            raise InputError("active is unknown: the description does not fix how many experts compute for a token", place="max_active")
        most = max(counts.by_component.values(), key=lambda share: share.active or 0, default=None)
        named = _heaviest(counts, counts.rows) if most is None or _is_unsorted(counts) else Share(most.name, most.active or 0, None)
        yield Verdict("max_active", "active parameters", PARAMETERS, limits.max_active, counts.active, named)
    if limits.max_embeddings is not None:
        tables = [row for row in counts.rows if row.kind == EMBEDDING]
        part = _heaviest(counts, tables)
        yield Verdict("max_embeddings", "parameters in tables", PARAMETERS, limits.max_embeddings, counts.embeddings, part)
    if limits.max_trainable is not None:
        yield _trainable(counts, limits.max_trainable, limits.training)


def _trainable(counts: Counts, limit: int, settings: Mapping[str, Any]) -> Verdict:
    if "method" not in settings or counts.architecture.origin.form == LIVE:
        rows = [row for row in counts.rows if row.trainable]
        return Verdict("max_trainable", "trainable parameters", PARAMETERS, limit, counts.trainable, _heaviest(counts, rows))
    from paramcalc.holdings.trainable import Method, adapt

    names = {"method": "name", "lora_r": "rank", "lora_targets": "targets"}
    method = Method(**{names.get(key, key): value for key, value in settings.items() if names.get(key, key) in Method._fields})
    with _placed("training"):
        adapted = adapt(counts.architecture, method)
    what = f"parameters that {settings['method']} trains"
    return Verdict("max_trainable", what, PARAMETERS, limit, adapted.trainable, _heaviest(counts, [*adapted.added, *adapted.trained]))


def _growth(after: Figures, limits: Limits, before: Before) -> Iterable[Verdict]:
    """Growth of the total, and of the active parameters where they are not the same."""
    share = limits.max_growth
    assert share is not None
    old = before.figures
    part = largest(components(old, after))
    for what, was, now in (("parameters", old.total, after.total), ("active parameters", old.active, after.active)):
        if was is None or now is None or (what != "parameters" and (was, now) == (old.total, after.total)):
            continue
        note = f"{float(share * 100):g}% more than the {was:,} of {before.name} are allowed"
        yield Verdict("max_growth", what, PARAMETERS, was + int(was * share), now, part if now > was else None, note)


def _heaviest(counts: Counts, rows: Iterable[Row]) -> Share | None:
    """The component with the most parameters; the tensor, where nothing says which component a tensor belongs to."""
    parts = shares(rows, lambda row: row.name if _is_unsorted(counts) else row.component)
    return max(parts.values(), key=lambda share: share.total, default=None)


def _is_unsorted(counts: Counts) -> bool:
    return set(counts.by_component) <= {"other"}


class _Memory:
    """Plans of one model under the settings of its budget, each made once."""

    def __init__(self, counts: Counts, limits: Limits) -> None:
        self._counts, self._limits = counts, limits
        self._plans: dict[str, Any] = {}

    def within(self, kind: str, limit: int) -> Verdict:
        """A limit in bytes."""
        return self._verdict(f"max_{kind}", kind, limit, "")

    def on(self, kind: str, text: str) -> Verdict:
        """A device that must hold it; of several, each holds its share."""
        from paramcalc.costs.devices import find
        from paramcalc.costs.weighing import budget, share_of_card

        name = "fits" if kind == "inference" else "trains_on"
        with _placed(name):
            device, number = find(text)
        plan = self._plan(kind)
        if number not in (1, plan.devices):
            hint = "state the layout, as in tp: 2; a device without a number is each of them"
            raise UsageError(f"the settings in `{kind}` divide it among {plan.devices}, not {number}", place=name, hint=hint)
        share = share_of_card(plan)
        about = [f"{share:.0%} of {device.name}" if share < 1 else device.name, device.capacity_source]
        return self._verdict(name, kind, budget(device.capacity, plan), ", ".join(filter(None, about)))

    def _verdict(self, name: str, kind: str, limit: int, note: str) -> Verdict:
        plan = self._plan(kind)
        terms = [Share(term.name, term.bytes, None) for term in plan.terms]
        notes = [note] if note else []
        if plan.total <= limit < plan.high:
            notes.append(f"within the estimate's band: it may take up to {bytes_text(plan.high)}")
        part = max(terms, key=lambda term: term.total, default=None)
        where = f"for {kind} on the fullest of {plan.devices} devices" if plan.devices > 1 else f"for {kind}"
        return Verdict(name, where, BYTES, limit, plan.total, part, "; ".join(notes))

    def _plan(self, kind: str) -> Any:
        if kind not in self._plans:
            if self._counts.architecture.origin.form == LIVE:
                hint = "give its config or spec, as in assert_budget(module.config.to_dict(), ...)"
                raise UsageError(f"a live module does not say what {kind} takes beside its parameters", place=f"max_{kind}", hint=hint)
            job = PLANNERS[kind].job.of(**getattr(self._limits, kind))
            with _placed(kind):
                self._plans[kind] = PLANNERS[kind].plan(self._counts.architecture, job)
        return self._plans[kind]


@contextmanager
def _placed(key: str) -> Iterator[None]:
    """Puts a key before the place of whatever is refused inside."""
    try:
        yield
    except UsageError as error:
        raise UsageError([each._replace(place=f"{key}.{each.place}" if each.place else key) for each in error.problems]) from error
