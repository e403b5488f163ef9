"""How a value is written in a cell."""

from __future__ import annotations

from typing import Any

from paramcalc.words.units import bytes_text, rounded

BAR_WIDTH = 16
_EIGHTHS = " ▏▎▍▌▋▊▉█"
RIGHT = frozenset({"count", "change", "rounded", "bytes", "short", "share"})


def cell(value: Any, holds: str) -> str:
    """The text of one cell; an unknown value is a dash, never a zero."""
    if value is None:
        return "–"
    if holds == "count":
        return f"{value:,}"
    if holds == "change":
        return f"{value:+,}" if value else "0"
    if holds == "rounded":
        return rounded(value)
    if holds == "bytes":
        return bytes_text(value)
    if holds == "short":
        return short_bytes(value)
    if holds == "share":
        return f"{value:.1%}"
    if holds == "bar":
        return span(*value) if isinstance(value, tuple) else bar(value)
    return str(value)


def short_bytes(number: int) -> str:
    """Bytes in three digits, for screens of many figures: GiB is 2^30 bytes.

    >>> short_bytes(16060522496), short_bytes(1342177280000), short_bytes(4096)
    ('15.0 GiB', '1,250 GiB', '4 KiB')
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= size * 0.9995 or unit == "KiB":
            value = number / size
            return f"{value:,.{2 if value < 9.995 and unit == 'GiB' else 1 if value < 99.95 and unit == 'GiB' else 0}f} {unit}"
    raise AssertionError


def bar(fraction: float, width: int = BAR_WIDTH) -> str:
    """A horizontal bar in eighths of a character; anything above nothing shows."""
    eighths = max(1, round(fraction * width * 8)) if fraction > 0 else 0
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def span(start: float, fraction: float, width: int = BAR_WIDTH + 4) -> str:
    """A bar that begins where another one ended."""
    before = round(start * width * 8) // 8
    return " " * before + bar(start + fraction - before / width, width) if fraction > 0 else ""
