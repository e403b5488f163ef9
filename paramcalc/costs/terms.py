"""What a memory figure is made of: terms with their basis and source, inputs with where they came from, phases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

EXACT, MODEL, MEASURED = "exact", "model", "measured"
"""Counted; a published or derived formula; a constant that someone weighed."""


class Input(NamedTuple):
    """A setting that a figure depends on, and whether it was `given`, `read` from the input, or a `default`."""

    name: str
    value: Any
    origin: str

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "from": self.origin}


class Term(NamedTuple):
    """Bytes of one kind on one device."""

    name: str
    bytes: int
    basis: str
    source: str
    note: str = ""
    low: int | None = None
    high: int | None = None
    """The band of a term that is not exact; None where it has none of its own."""
    extra: tuple[tuple[str, int], ...] = ()
    """Further figures of the term, as `ideal` and `reserved` of a cache."""

    @property
    def least(self) -> int:
        return self.bytes if self.low is None else self.low

    @property
    def most(self) -> int:
        return self.bytes if self.high is None else self.high

    def to_dict(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"name": self.name, "bytes": self.bytes, "basis": self.basis, "source": self.source, "note": self.note}
        if self.low is not None or self.high is not None:
            answer |= {"low": self.least, "high": self.most}
        return answer | dict(self.extra)


def total(terms: Iterable[Term]) -> int:
    """Bytes of all terms together."""
    return sum(term.bytes for term in terms)


def band(terms: Sequence[Term]) -> tuple[int, int]:
    """The least and the most that all terms together may take."""
    return sum(term.least for term in terms), sum(term.most for term in terms)
