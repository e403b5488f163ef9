"""Gated DeltaNet, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "gated_delta_net", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


SIZES = {"key_heads": 2, "value_heads": 4, "key_dim": 3, "value_dim": 5, "kernel": 7}
KEYS, VALUES = 2 * 3, 4 * 5


@pytest.mark.parametrize("fused", [None, "qkv", "qkvz"])
def test_fusing_changes_the_matrices_and_not_the_total(fused: str | None) -> None:
    projections = (2 * KEYS + 2 * VALUES + 2 * 4) * 6 + 6 * VALUES
    counts = held(**SIZES, fused=fused)
    assert counts.weights == projections + (2 * KEYS + VALUES) * 7 + 4 + 5
    assert counts.biases == 4  # dt_bias


def test_fused_matrices_have_the_shapes_of_their_parts_together() -> None:
    shapes = {row.name: row.shape for row in held(**SIZES, fused="qkvz").rows}
    assert shapes["mixer.qkvz_proj.weight"] == (2 * KEYS + 2 * VALUES, 6)
    assert shapes["mixer.ba_proj.weight"] == (2 * 4, 6)


def test_it_remembers_a_kernel_of_inputs_and_a_matrix_for_each_value_head() -> None:
    assert states(**SIZES) == {"conv_state": ((2 * KEYS + VALUES, 7), "compute"), "recurrent_state": ((4, 3, 5), "fp32")}
