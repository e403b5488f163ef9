"""Runs of equal layers in the order in which a stream passes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from paramcalc.model.parts import Group


def runs_of(group: Group, last_n: int) -> Iterator[tuple[str, int, bool]]:
    """Runs of equal layers; where only the last ones train, divided there."""
    runs = list(group.layers.runs() if group.used is None else first(group.layers.runs(), group.used))
    if not last_n:
        yield from ((kind, count, False) for kind, count in runs)
        return
    frozen = sum(count for _, count in runs) - last_n
    for kind, count in runs:
        still = max(0, min(count, frozen))
        frozen -= still
        if still:
            yield kind, still, True
        if count > still:
            yield kind, count - still, False


def first(runs: Iterable[tuple[str, int]], count: int) -> Iterator[tuple[str, int]]:
    """So many of the layers."""
    for kind, times in runs:
        if count > 0:
            yield kind, min(times, count)
        count -= times
