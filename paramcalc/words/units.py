"""Counts and bytes as people write them: `7B` is 10^9, `24GiB` is 2^30, and a unit always stands beside a number."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from paramcalc.words.errors import UsageError

if TYPE_CHECKING:
    from fractions import Fraction

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40

_BYTES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "PB": 10**15,
    "KiB": KIB,
    "MiB": MIB,
    "GiB": GIB,
    "TiB": TIB,
    "PiB": 2**50,
}
_COUNTS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_NUMBER = re.compile(r"\s*([+-]?\d[\d_,]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*\Z")
_SHARE = re.compile(r"\d{1,9}(\.\d{1,9})?\s*\Z", re.ASCII)


def rounded(number: int) -> str:
    """A count of parameters in three digits: B is 10^9.

    >>> rounded(6738415616), rounded(70_426_624), rounded(2)
    ('6.74B', '70.4M', '2')
    """
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size * 0.9995:
            value = number / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{unit}"
    return str(number)


def bytes_text(number: int) -> str:
    """Bytes in the binary unit that fits: GiB is 2^30 bytes.

    >>> bytes_text(16060522496), bytes_text(512)
    ('14.96 GiB', '512 B')
    """
    for unit, size in (("TiB", TIB * 10), ("GiB", GIB // 10), ("MiB", MIB), ("KiB", KIB)):
        if abs(number) >= size:
            return f"{number / _BYTES[unit]:,.2f} {unit}"
    return f"{number:,} B"


def parse_bytes(text: str) -> int:
    """Bytes with their unit: `24GiB`, `80 GB`, `512MiB`. Raises UsageError where the unit is missing or unknown."""
    value, unit = _parts(text, "bytes with a unit, as in 24GiB")
    known = {name.lower(): size for name, size in _BYTES.items()}
    if unit.lower() not in known:
        raise UsageError(f"expected bytes with a unit, got {text!r:.60}", hint=f"units: {', '.join(_BYTES)} (GiB is 2^30 bytes, GB 10^9)")
    return _whole(value * known[unit.lower()], text)


def parse_count(text: str) -> int:
    """A count of parameters: `7B`, `350M`, `124439808`. Raises UsageError for anything else."""
    value, unit = _parts(text, "a number of parameters, as in 7B")
    if unit.upper() not in _COUNTS:
        raise UsageError(f"expected a number of parameters, got {text!r:.60}", hint="units: K, M, B (10^9), T (10^12)")
    return _whole(value * _COUNTS[unit.upper()], text)


def parse_share(text: str) -> Fraction:
    """A share with its unit, exactly: `1%`, `0.5 %`. Raises UsageError where the unit is missing."""
    from fractions import Fraction

    number = text.strip().removesuffix("%")
    if number == text.strip() or not _SHARE.match(number):
        raise UsageError(f"expected a share of at least 0 with its unit, as in 1%, got {text!r:.60}")
    return Fraction(number.strip()) / 100


def _parts(text: str, expected: str) -> tuple[float, str]:
    match = _NUMBER.match(text)
    if match is None:
        raise UsageError(f"expected {expected}, got {text!r:.60}")
    return float(match[1].replace("_", "").replace(",", "")), match[2]


def _whole(value: float, text: str) -> int:
    if not 0 <= value < 10**24:
        raise UsageError(f"expected a number that is not negative and not absurd, got {text!r:.60}")
    return round(value)
