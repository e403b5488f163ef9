"""What a command shows, before anyone decides how: a headline, tables of plain values, notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A column's title and what its values are: `text`, `count` (exact integers), `change` (the same with
    their sign), `rounded` (counts in three digits),
    `bytes`, `short` (bytes in three digits), `share` (a fraction of one) or `bar` (the same, drawn)."""

    title: str
    holds: str = "text"


class Table(NamedTuple):
    """Rows of plain values; the last one sums the rows above where `total` says so."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    total: bool = False


class View(NamedTuple):
    """One answer: the first line is the answer itself."""

    headline: str
    tables: Sequence[Table] = ()
    about: str = ""
    """A quieter second line: where the input came from."""
    notes: Sequence[str] = ()
    """Remarks that belong to the answer."""
    text: str = ""
    """Verbatim text instead of tables (a spec, a formula)."""


def share(part: int, whole: int) -> float:
    """A part of a whole as a fraction; 0 of nothing."""
    return part / whole if whole else 0.0
