"""The gated short convolution, in closed form."""

from __future__ import annotations

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "short_convolution", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


def test_it_holds_two_projections_and_one_filter_for_each_channel() -> None:
    assert held(kernel=3).total == 3 * 6 * 6 + 6 * 3 + 6 * 6
    assert held(kernel=3, bias=True).biases == 3 * 6 + 6 + 6


def test_it_remembers_a_kernel_of_tokens() -> None:
    assert states(kernel=3) == {"conv_state": ((6, 3), "compute")}
