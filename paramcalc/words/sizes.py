"""Whole numbers that remember how they were made, so that a formula is printed from the value that was counted."""

from __future__ import annotations

from collections.abc import Iterable

MAX_SIZE = 10**12
"""No dimension of any model is near this; a larger one is a mistake or an attack."""

_ATOM, _PRODUCT, _SUM = 2, 1, 0


class Size(int):
    """An integer with the text of its formula, in names and in numbers.

    >>> width = Size(6, "heads") * Size(4, "head_dim") + 1
    >>> int(width), width.formula, width.numbers
    (25, 'heads × head_dim + 1', '6 × 4 + 1')
    """

    formula: str
    numbers: str
    rank: int

    def __new__(cls, value: int, formula: str = "", rank: int = _ATOM, numbers: str = "") -> Size:
        size = super().__new__(cls, value)
        size.formula = formula or str(int(value))
        size.numbers = numbers or str(int(value))
        size.rank = rank
        return size

    def __mul__(self, other: int) -> Size:
        return self if _is_plain(other, 1) else _joined(self, other, "×", int(self) * int(other), _PRODUCT)

    def __rmul__(self, other: int) -> Size:
        return self if _is_plain(other, 1) else _joined(other, self, "×", int(self) * int(other), _PRODUCT)

    def __add__(self, other: int) -> Size:
        return self if _is_plain(other, 0) else _joined(self, other, "+", int(self) + int(other), _SUM)

    def __radd__(self, other: int) -> Size:
        return self if _is_plain(other, 0) else _joined(other, self, "+", int(self) + int(other), _SUM)

    def __sub__(self, other: int) -> Size:
        return self if _is_plain(other, 0) else _joined(self, other, "-", int(self) - int(other), _SUM, right=_PRODUCT)

    def __floordiv__(self, other: int) -> Size:
        return self if _is_plain(other, 1) else _joined(self, other, "//", int(self) // int(other), _SUM, left=_PRODUCT, right=_ATOM)


def _is_plain(value: int, neutral: int) -> bool:
    return value == neutral and not isinstance(value, Size)


def _joined(first: int, other: int, symbol: str, value: int, rank: int, *, left: int | None = None, right: int | None = None) -> Size:
    ranks = (rank if left is None else left, rank if right is None else right)
    formula = f" {symbol} ".join(_text(size, "formula", least) for size, least in zip((first, other), ranks, strict=True))
    numbers = f" {symbol} ".join(_text(size, "numbers", least) for size, least in zip((first, other), ranks, strict=True))
    return Size(value, formula, rank, numbers)


def _text(value: int, form: str, least: int) -> str:
    if not isinstance(value, Size):
        return str(value)
    text: str = getattr(value, form)
    return text if value.rank >= least else f"({text})"


def formula_of(sizes: Iterable[int], form: str = "formula") -> str:
    """The product of a shape as text, in names (`formula`) or in `numbers`; of no sizes it is 1."""
    return " × ".join(_text(size, form, _PRODUCT) for size in sizes) or "1"


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
