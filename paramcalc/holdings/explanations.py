"""Why a number is what it is: formula, numbers, result and source, read off the rows that were counted."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from paramcalc.holdings.counts import Counts, identity
from paramcalc.model.rows import Row
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean
from paramcalc.words.sizes import formula_of


class Line(NamedTuple):
    """One row: `formula` is that of one copy, `total` that of all."""

    name: str
    formula: str
    numbers: str
    elements: int
    copies: int
    total: int
    note: str = ""


class Explanation(NamedTuple):
    """One part of the model: its lines sum to its total."""

    part: str
    component: str
    total: int
    lines: list[Line]
    source: str
    """What the part is, its shapes, and the paper or implementation they come from."""

    def to_dict(self) -> dict[str, Any]:
        return self._asdict() | {"lines": [line._asdict() for line in self.lines]}


def explain(counts: Counts, term: str | None = None) -> list[Explanation]:
    """The parts that a term names (a component, part, module or tensor), or all of them.

    Raises UsageError with the nearest names where the term is none of these.
    """
    rows = [row for row in counts.rows if term is None or _is_named(row, term)]
    if not rows:
        names = {name for row in counts.rows for name in (row.component, row.part, row.role, row.name)}
        raise UsageError(
            f"no term {term!r:.80} in this model", hint=did_you_mean(str(term), names) or f"components: {', '.join(counts.by_component)}"
        )
    parts: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        parts.setdefault((row.part, row.component), []).append(row)
    sources = {place.part: inspect.cleandoc(type(block).__doc__ or "") for block, place in counts.architecture.blocks()}
    return [
        Explanation(part, component, sum(row.total for row in found), [_line(row) for row in found], sources.get(part, ""))
        for (part, component), found in parts.items()
    ]


def explanation_dict(counts: Counts, term: str | None) -> dict[str, Any]:
    """The answer of `paramcalc explain --format json`."""
    parts = explain(counts, term)
    return {
        "schema": "paramcalc/explain/1",
        "model": identity(counts.architecture),
        "term": term or "total",
        "total": sum(part.total for part in parts),
        "parts": [part.to_dict() for part in parts],
        "warnings": counts.warnings,
    }


def _is_named(row: Row, term: str) -> bool:
    names = (row.component, row.part, row.role, row.name, row.kind, row.part.rpartition(".")[2], "total")
    return term in names or row.part.startswith(f"{term}.") or row.component.endswith(f".{term}")


def _line(row: Row) -> Line:
    note = f"uses the table of {row.tied}: counted there" if row.tied else ""
    if row.experts:
        held, visited = row.experts
        note = f"{visited if visited is not None else 'an open number'} of {held} experts are active"
    return Line(row.name, formula_of(row.shape), formula_of(row.shape, "numbers"), row.elements, int(row.repeat), row.total, note)
