"""Every row of an architecture, in its place: reference name, component, copies."""

from __future__ import annotations

from collections.abc import Iterator

from paramcalc.model.architecture import Architecture, joined
from paramcalc.model.parts import Block, Place
from paramcalc.model.rows import CacheRow, Row


def inventory(architecture: Architecture) -> list[Row]:
    """All rows, in the order of the tree. The number of rows is that of distinct layers, not of layers."""
    return [row for block, place in architecture.blocks() for row in placed(block, place)]


def caches(architecture: Architecture) -> list[CacheRow]:
    """What decoding remembers for one sequence; encoders and towers remember nothing."""
    return [
        row._replace(part=place.part, repeat=place.applied)
        for block, place in architecture.blocks()
        if place.cached
        for row in block.cache(place)
    ]


def placed(block: Block, place: Place) -> Iterator[Row]:
    """A block's own rows with the names, component and copies of its place."""
    for row in block.parameters(place):
        yield row._replace(
            name=joined(place.path, _renamed(row.name, block.names)),
            component=place.tower + (block.component or row.component or block.home),
            part=place.part,
            role=row.role or place.part.rpartition(".")[2],
            repeat=row.repeat * place.stored,
            applied=row.repeat * place.applied,
            trainable=row.trainable and place.trainable,
        )


def _renamed(name: str, names: dict[str, str]) -> str:
    """The reference's name: the whole name if it is listed, else its longest listed prefix."""
    if not names:
        return name
    head, tail = name, ""
    while head:
        if head in names:
            return names[head] + tail
        head, _, last = head.rpartition(".")
        tail = f".{last}{tail}"
    return name
