"""The screen of `plan`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from paramcalc.costs.layout_search import Candidate
from paramcalc.costs.planning import NOT_MODELLED, LayoutPlan
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.weighing import budget
from paramcalc.face.render.counts import about_line
from paramcalc.face.render.fit import card_notes, card_table, cards_text, settings_note
from paramcalc.face.render.view import Column, Table, View
from paramcalc.words.units import bytes_text


def plan_view(found: LayoutPlan, top: int) -> View:
    """Layouts, least communication first, then the worst rank of the first one."""
    tables = [_layouts(found, found.found.fitting[: max(1, top)])] if found.fits else []
    if found.best is not None:
        room = budget(found.cards.capacity, found.best.plan)
        rank = getattr(found.best.plan, "rank", "")
        title = f"the worst rank of {found.best.layout.text}" + (f": {rank}" if rank and rank != "every device" else "")
        tables.append(card_table(found.best.plan, room)._replace(title=title))
    return View(_headline(found), tables, about_line(found.architecture), list(_notes(found, top)))


def _headline(found: LayoutPlan) -> str:
    name, cards = found.architecture.name, cards_text(found.cards)
    if found.best is None:
        return f"{name} · no layout of {cards} exists"
    if not found.fits:
        what = "no number of them" if found.smallest else "no layout of them"
        short = found.best.plan.total - budget(found.cards.capacity, found.best.plan)
        return f"{name} · does not fit {cards}: {what} does, {bytes_text(short)} missing at least"
    least = " at the least" if found.smallest else ""
    return f"{name} · fits {cards}{least}: {found.best.layout.text}, {bytes_text(found.best.plan.total)} each"


def _layouts(found: LayoutPlan, shown: Sequence[Candidate]) -> Table:
    training = isinstance(found.job, TrainingJob)
    rows: list[list[Any]] = []
    for one in shown:
        room = budget(found.cards.capacity, one.plan)
        steps = [one.job.grad_accum] if isinstance(one.job, TrainingJob) else []
        rows.append([one.layout.text, *steps, one.plan.total, room - one.plan.total, one.traffic.total, one.idle])
    columns = [Column("layout"), *([Column("micro-batches", "count")] if training else []), Column("each card", "bytes")]
    columns += [Column("left", "bytes"), Column("moved/token", "bytes"), Column("idle", "share")]
    return Table(columns, rows)


def _notes(found: LayoutPlan, top: int) -> Iterator[str]:
    if found.enough is not None:
        yield f"{found.enough:,} cards are enough (paramcalc plan --gpus {found.enough})"
    yield _counted(found, top)
    if found.fits:
        yield "moved/token: bytes between cards for each token, all cards together; idle: time that pipeline stages wait"
    if isinstance(found.job, TrainingJob) and found.best is not None:
        sequences = found.global_batch or (found.found.cards * found.job.batch_size)
        yield f"every layout trains {sequences:,} sequences a step, in micro-batches of {found.job.batch_size:,}"
    if found.best is not None:
        yield from card_notes(found.cards, found.best.plan)
    yield settings_note(found.inputs)
    yield from (f"not in the ranking: {line}" for line in NOT_MODELLED if found.fits)


def _counted(found: LayoutPlan, top: int) -> str:
    """How many layouts there were to choose from."""
    possible, fitting = found.found.possible, len(found.found.fitting)
    if not fitting:
        return f"{possible:,} layouts can exist: heads, layers, experts and sequences divide evenly"
    shown = f", the first {top} of {fitting}" if fitting > max(1, top) else ""
    return f"{possible:,} layouts can exist; shown are those that no other one beats in memory, communication and idle stages{shown}"
