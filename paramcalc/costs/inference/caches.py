"""What decoding remembers, in bytes: what the mathematics needs, and the pieces from which engines make what they reserve."""

from __future__ import annotations

from typing import NamedTuple

from paramcalc.costs.inference.job import Settings
from paramcalc.model.rows import CacheRow
from paramcalc.words.formats import FORMATS, Format
from paramcalc.words.sizes import product


class Kept(NamedTuple):
    """Bytes of one cache row on one rank: all layers of the stage, all sequences."""

    row: CacheRow
    ideal: int
    reserved: int

    @property
    def is_state(self) -> bool:
        """Whether it is a recurrent state and not keys and values."""
        return is_state(self.row)


def is_state(row: CacheRow) -> bool:
    """Recurrent states have a format of their own; keys, values and latents are in the cache's."""
    return row.dtype != "cache"


def format_of(row: CacheRow, settings: Settings) -> Format:
    """The format a row is kept in."""
    if row.dtype == "cache":
        return settings.values if row.name == "value" else settings.keys
    return FORMATS[settings.dtype] if row.dtype == "compute" else FORMATS[row.dtype]


def tokens_of(row: CacheRow, settings: Settings) -> int:
    """Entries that are ever looked at again: tokens up to the window, runs of compressed tokens that are full."""
    if row.per == "sequence":
        return 1
    tokens = settings.source if row.per == "source" else settings.context
    if row.rest:
        return tokens % row.every
    return min(tokens // row.every, row.window) if row.window else tokens // row.every


def bytes_at(row: CacheRow, tokens: int, settings: Settings, shape: tuple[int, ...] | None = None) -> int:
    """Bytes of so many entries in every layer, for the sequences that one rank holds."""
    return format_of(row, settings).bytes_for(product(shape or row.shape)) * tokens * row.repeat * settings.sequences


def ideal(row: CacheRow, settings: Settings) -> int:
    """What the mathematics needs at this length."""
    return bytes_at(row, tokens_of(row, settings), settings, row.suffices)
