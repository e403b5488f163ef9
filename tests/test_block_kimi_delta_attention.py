"""Kimi Delta Attention, in closed form."""

from __future__ import annotations

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "kimi_delta_attention", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


SIZES = {"heads": 4, "head_dim": 5, "kernel": 7}
ALL = 4 * 5


def test_it_holds_what_the_paper_lists() -> None:
    rest = 3 * ALL * 7 + 4 + 4 * 6 + 5 + 6 * ALL  # convolution, decay, step, norm, output
    assert held(**SIZES).weights == (3 + 2) * ALL * 6 + rest
    assert held(**SIZES, gate_rank=3).weights == 3 * ALL * 6 + 2 * (3 * 6 + ALL * 3) + rest
    assert held(**SIZES).biases == ALL  # dt_bias


def test_the_decay_may_be_stored_with_four_axes() -> None:
    assert [row.shape for row in held(**SIZES, decay_axes=4).rows if row.name.endswith("A_log")] == [(1, 1, 4, 1)]
    assert held(**SIZES, decay_axes=4).total == held(**SIZES).total


def test_it_remembers_a_kernel_of_inputs_and_a_matrix_for_each_head() -> None:
    assert states(**SIZES) == {"conv_state": ((3 * ALL, 7), "compute"), "recurrent_state": ((4, 5, 5), "fp32")}
