"""The screen of `fit` without a card: which of the catalogue fit what."""

from __future__ import annotations

from typing import Any

from paramcalc.costs.devices import Device
from paramcalc.costs.fit_overview import Overview, Use
from paramcalc.face.render.counts import about_line
from paramcalc.face.render.fit import settings_note
from paramcalc.face.render.view import Column, Table, View
from paramcalc.words.units import bytes_text

MARK, NONE = "✓", "–"


def overview_view(every: Overview) -> View:
    """What each use needs; then the cards, those with the same answer together."""
    uses = [use for use in every.uses if use.plan]
    most = max((len(use.fitting) for use in uses), default=0)
    head = (
        f"{every.architecture.name} · {_said(uses, len(every.devices))}"
        if most
        else f"{every.architecture.name} · fits none of {len(every.devices)} cards alone"
    )
    tables = [_needs(every)]
    if most:
        tables.append(_cards(every, uses))
    notes = [f"{use.name}: {settings_note(use.plan.inputs)}" for use in uses if use.plan]
    notes.append(f"{MARK} fits by what a process may use of one card; paramcalc fit MODEL --gpu GPU says how much is left")
    if any(not use.fitting for use in uses):
        notes.append("paramcalc plan MODEL --gpu GPU finds how many cards it takes")
    return View(head, tables, about_line(every.architecture), notes)


def _said(uses: list[Use], cards: int) -> str:
    return ", ".join(f"{use.name} on {len(use.fitting)}" for use in uses) + f" of {cards} kinds of cards"


def _needs(every: Overview) -> Table:
    rows: list[list[Any]] = []
    for use in every.uses:
        plan = use.plan
        smallest = use.fitting[0].id if use.fitting else None
        sizes = [None, None, None] if plan is None else [plan.total, bytes_text(plan.low), bytes_text(plan.high)]
        rows.append([use.name, *sizes, len(use.fitting) if plan else None, smallest])
    columns = [Column("use"), Column("needs", "bytes"), Column("from"), Column("to"), Column("cards", "count"), Column("smallest")]
    return Table(columns, rows)


def _cards(every: Overview, uses: list[Use]) -> Table:
    """Cards sold by the same size and with the same answers in one row."""
    groups: dict[tuple[str, tuple[bool, ...]], list[Device]] = {}
    for device in sorted(every.devices, key=lambda one: (one.memory_bytes, one.id)):
        answers = tuple(use.fits(device) for use in uses)
        if any(answers):
            groups.setdefault((device.memory, answers), []).append(device)
    rows = [
        [memory, *(MARK if answer else NONE for answer in answers), ", ".join(device.id for device in devices)]
        for (memory, answers), devices in groups.items()
    ]
    return Table([Column("sold as"), *(Column(use.name) for use in uses), Column("cards")], rows)
