"""The screen of `max`."""

from __future__ import annotations

from collections.abc import Iterator

from paramcalc.costs.search import Most
from paramcalc.face.render.counts import about_line
from paramcalc.face.render.fit import card_notes, card_table, cards_text, settings_note
from paramcalc.face.render.view import View
from paramcalc.words.units import bytes_text

WORDS = {
    "batch": "sequences in a batch",
    "sequences": "sequences at once",
    "context": "tokens of context",
    "rank": "is the largest rank",
}


def most_view(found: Most) -> View:
    """The value, the card it fills, and by how much the next one is too large."""
    return View(_headline(found), [card_table(found.plan, found.budget)], about_line(found.architecture), list(_notes(found)))


def _headline(found: Most) -> str:
    where, name = cards_text(found.cards), found.architecture.name
    if not found.fits:
        return f"{name} · not even 1 fits {where}: {bytes_text(found.plan.total - found.budget)} missing"
    value = f"{found.boundary.value:,} {WORDS[found.solve]}"
    return f"{name} · {value} on {where}" + ("" if found.boundary.bounded else " and more: memory does not bound it")


def _notes(found: Most) -> Iterator[str]:
    after = found.boundary.value + 1
    if found.fits and found.boundary.refusal:
        yield f"{after:,} cannot be: {found.boundary.refusal.splitlines()[0]}"
    elif found.fits and found.beyond is not None:
        yield f"{after:,} would need {bytes_text(found.beyond)}, {found.beyond - found.budget:,} bytes too many"
    yield f"by the middle of the estimate; its band is {bytes_text(found.plan.low)} to {bytes_text(found.plan.high)}"
    yield from card_notes(found.cards, found.plan)
    yield settings_note(found.inputs)
