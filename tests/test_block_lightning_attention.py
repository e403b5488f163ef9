"""Lightning attention, in closed form."""

from __future__ import annotations

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "lightning_attention", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


def test_it_holds_queries_keys_values_a_gate_a_norm_and_the_output() -> None:
    assert held(heads=4, head_dim=5).total == 3 * 20 * 6 + 20 * 6 + 20 + 6 * 20


def test_it_remembers_one_matrix_for_each_head() -> None:
    assert states(heads=4, head_dim=5)["recurrent_state"][0] == (4, 5, 5)
