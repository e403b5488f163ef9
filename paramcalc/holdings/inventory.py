"""Every row of an architecture, in its place: reference name, component, copies."""

from __future__ import annotations

from paramcalc.model.architecture import Architecture
from paramcalc.model.rows import CacheRow, Row


def inventory(architecture: Architecture) -> list[Row]:
    """All rows, in the order of the tree. The number of rows is that of distinct layers, not of layers."""
    return [row for each in architecture.blocks() for row in each.rows]


def caches(architecture: Architecture) -> list[CacheRow]:
    """What decoding remembers for one sequence; encoders and towers remember nothing."""
    return [
        row._replace(part=place.part, repeat=place.applied)
        for block, place in architecture.blocks()
        if place.cached
        for row in block.cache(place)
    ]
