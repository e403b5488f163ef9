"""Whole numbers that remember how they were made, so that a formula is printed from the value that was counted."""

from __future__ import annotations

from collections.abc import Iterable

MAX_SIZE = 10**12
"""No dimension of any model is near this; a larger one is a mistake or an attack."""

_ATOM, _PRODUCT, _SUM = 2, 1, 0


class Size(int):
    """An integer with the text of its formula: `Size(32, "heads") * Size(128, "head_dim")` reads `heads × head_dim`.

    >>> width = Size(6, "heads") * Size(4, "head_dim") + 1
    >>> int(width), width.formula
    (25, 'heads × head_dim + 1')
    """

    formula: str
    rank: int

    def __new__(cls, value: int, formula: str = "", rank: int = _ATOM) -> Size:
        size = super().__new__(cls, value)
        size.formula = formula or str(int(value))
        size.rank = rank
        return size

    def _joined(self, other: int, symbol: str, value: int, rank: int, *, swap: bool = False) -> Size:
        left, right = (_text(other, rank), _text(self, rank)) if swap else (_text(self, rank), _text(other, rank))
        return Size(value, f"{left} {symbol} {right}", rank)

    def __mul__(self, other: int) -> Size:
        return self if other == 1 and not isinstance(other, Size) else self._joined(other, "×", int(self) * int(other), _PRODUCT)

    def __rmul__(self, other: int) -> Size:
        return self if other == 1 else self._joined(other, "×", int(self) * int(other), _PRODUCT, swap=True)

    def __add__(self, other: int) -> Size:
        return self if other == 0 and not isinstance(other, Size) else self._joined(other, "+", int(self) + int(other), _SUM)

    def __radd__(self, other: int) -> Size:
        return self if other == 0 else self._joined(other, "+", int(self) + int(other), _SUM, swap=True)

    def __sub__(self, other: int) -> Size:
        if other == 0:
            return self
        return Size(int(self) - int(other), f"{_text(self, _SUM)} - {_text(other, _PRODUCT)}", _SUM)

    def __floordiv__(self, other: int) -> Size:
        if other == 1:
            return self
        return Size(int(self) // int(other), f"{_text(self, _PRODUCT)} / {_text(other, _ATOM)}", _PRODUCT)


def _text(value: int, rank: int) -> str:
    if not isinstance(value, Size):
        return str(value)
    return value.formula if value.rank >= rank else f"({value.formula})"


def product(sizes: Iterable[int]) -> int:
    """The plain product of a shape: totals are integers, formulas live on shapes."""
    total = 1
    for size in sizes:
        total *= int(size)
    return total


class Named:
    """The integer fields of a part as sizes that carry the fields' names."""

    __slots__ = ("_part",)

    def __init__(self, part: object) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Size:
        return Size(getattr(self._part, name), name)
