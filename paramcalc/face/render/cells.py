"""How a value is written in a cell."""

from __future__ import annotations

from typing import Any

from paramcalc.words.units import bytes_text, rounded

BAR_WIDTH = 16
_EIGHTHS = " ▏▎▍▌▋▊▉█"
RIGHT = frozenset({"count", "rounded", "bytes", "share"})


def cell(value: Any, holds: str) -> str:
    """The text of one cell; an unknown value is a dash, never a zero."""
    if value is None:
        return "–"
    if holds == "count":
        return f"{value:,}"
    if holds == "rounded":
        return rounded(value)
    if holds == "bytes":
        return bytes_text(value)
    if holds == "share":
        return f"{value:.1%}"
    if holds == "bar":
        return bar(value)
    return str(value)


def bar(fraction: float, width: int = BAR_WIDTH) -> str:
    """A horizontal bar in eighths of a character; anything above nothing shows."""
    eighths = max(1, round(fraction * width * 8)) if fraction > 0 else 0
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
