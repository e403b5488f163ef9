"""RWKV's channel mixing, in closed form."""

from __future__ import annotations

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "channel_mix", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


def test_it_holds_three_matrices_and_two_mixtures() -> None:
    assert held(size=10).total == 2 * 10 * 6 + 6 * 6 + 2 * 6


def test_it_remembers_one_token() -> None:
    assert states(size=10) == {"token_state": ((6,), "compute")}
