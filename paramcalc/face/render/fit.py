"""The screen of `fit` for one card, and what `max` and `plan` share with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from paramcalc.costs.capacity import Cards
from paramcalc.costs.changes import Change
from paramcalc.costs.fit import Fit
from paramcalc.costs.terms import Input
from paramcalc.costs.weighing import Plan, share_of_card
from paramcalc.face.render.counts import about_line
from paramcalc.face.render.view import Column, Table, View, share
from paramcalc.words.units import bytes_text


def fit_view(found: Fit) -> View:
    """The verdict, the card filled by terms, and what would make it fit."""
    tables = [card_table(found.plan, found.budget)]
    if found.changes:
        tables.append(_changes(found.changes))
    return View(_headline(found), tables, about_line(found.architecture), list(_notes(found)))


def _headline(found: Fit) -> str:
    low, high = found.budget - found.plan.high, found.budget - found.plan.low
    if found.fits:
        verdict = f"fits {cards_text(found.cards)}: {bytes_text(found.headroom)} left ({bytes_text(low)} to {bytes_text(high)})"
    else:
        verdict = (
            f"does not fit {cards_text(found.cards)}: {bytes_text(-found.headroom)} missing ({bytes_text(-high)} to {bytes_text(-low)})"
        )
    return f"{found.architecture.name} · {verdict}"


def cards_text(cards: Cards) -> str:
    """`8 × H100 SXM 80GB`."""
    return cards.device.name if cards.number in (1, None) else f"{cards.number:,} × {cards.device.name}"


def card_table(plan: Plan, budget: int) -> Table:
    """Terms one after another on the card, each with its share of what the card has."""
    scale = max(plan.total, budget)
    rows: list[list[Any]] = []
    at = 0
    for term in plan.terms:
        if term.bytes:
            rows.append([term.name, term.bytes, term.bytes, share(term.bytes, budget), (at / scale, term.bytes / scale)])
            at += term.bytes
    if plan.total <= budget:
        rows.append(["left", budget - plan.total, budget - plan.total, share(budget - plan.total, budget), 0.0])
        rows.append(["card", budget, budget, 1.0, (0.0, budget / scale)])
        return Table(_card_columns(), rows, total=True)
    rows.append(["card", budget, budget, 1.0, (0.0, budget / scale)])
    rows.append(["total", plan.total, plan.total, share(plan.total, budget), (0.0, 1.0)])
    return Table(_card_columns(), rows)


def _card_columns() -> list[Column]:
    return [Column("term"), Column("bytes", "count"), Column("", "bytes"), Column("of card", "share"), Column("", "bar")]


def _changes(changes: Sequence[Change]) -> Table:
    rows = [[each.name, each.options, each.cards, each.plan.total, each.headroom, _cost(each)] for each in changes]
    columns = [
        Column("change"),
        Column("options"),
        Column("gpus", "count"),
        Column("total", "bytes"),
        Column("left", "bytes"),
        Column("costs"),
    ]
    return Table(
        columns, rows, title="each of these alone makes it fit" if changes[0].name != "together" else "only together they make it fit"
    )


def _cost(change: Change) -> str:
    return f"{change.cost}, {bytes_text(change.host)} of host memory" if change.host else change.cost


def _notes(found: Fit) -> Iterator[str]:
    yield f"largest: {found.largest.name}, {bytes_text(found.largest.bytes)}"
    yield from card_notes(found.cards, found.plan)
    yield settings_note(found.inputs)
    if not found.fits and not found.changes:
        yield "no change of one option, nor all that keep the model's quality, makes it fit"
    yield from (f"not in it: {line}" for line in found.plan.not_modelled)


def card_notes(cards: Cards, plan: Plan) -> Iterator[str]:
    """What the card's figure rests on."""
    part = share_of_card(plan)
    share_text = f", of which the engine takes {part:.0%}" if part != 1 else ""
    yield f"card: {cards.capacity:,} bytes usable{share_text} ({cards.device.capacity_source})"
    if cards.device.note:
        yield f"card: {cards.device.note}"


def settings_note(inputs: Sequence[Input]) -> str:
    """What was given, what was read, and what was taken by default."""
    parts = []
    for origin, title in (("solved", "solved"), ("given", "given"), ("read", "from the model"), ("default", "by default")):
        own = [f"{each.name} {_shown(each.value)}" for each in inputs if each.origin == origin and _worth(each)]
        parts += [f"{title}: {', '.join(own)}"] if own else []
    return "; ".join(parts)


def _worth(each: Input) -> bool:
    """Defaults that say "no" or "one" are left out."""
    return each.origin != "default" or each.value not in (None, False, 1, 0, "none")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
