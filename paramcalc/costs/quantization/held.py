"""What one tensor weighs in its format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from paramcalc.costs.quantization.scheme import Part
from paramcalc.model.rows import Row


class Held(NamedTuple):
    """Copies of a tensor that are stored in one format. A row appears more than once where its copies differ."""

    row: Row
    format: str
    """`bf16`, `int8`, `nf4`, or a GGML type."""
    copies: int
    parts: tuple[Part, ...]
    """Bytes of all these copies together, by what they are for."""

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def total_bytes(held: Iterable[Held]) -> int:
    """Bytes of everything."""
    return sum(each.bytes for each in held)


def by_part(held: Iterable[Held]) -> dict[str, int]:
    """Bytes by what they are for: `values`, `quants`, `scales`, `zero_points`, ..."""
    sums: dict[str, int] = {}
    for each in held:
        for part in each.parts:
            sums[part.name] = sums.get(part.name, 0) + part.bytes
    return sums


def by_format(held: Iterable[Held]) -> dict[str, int]:
    """Bytes by format."""
    sums: dict[str, int] = {}
    for each in held:
        sums[each.format] = sums.get(each.format, 0) + each.bytes
    return sums
