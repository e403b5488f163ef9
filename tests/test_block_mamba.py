"""Mamba's mixer, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "mamba", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


SIZES = {"inner": 10, "state": 3, "kernel": 4, "rank": 2}


def test_it_holds_what_the_paper_lists() -> None:
    projections = 2 * 10 * 6 + (2 + 2 * 3) * 10 + 10 * 2 + 6 * 10
    assert held(**SIZES).weights == projections + 10 * 4 + 10 * 3 + 10
    assert held(**SIZES).biases == 10 + 10  # the convolution's and the step's


def test_biases_are_those_of_both_projections() -> None:
    assert held(**SIZES, bias=True).biases == 2 * 10 + 6 + 10 + 10
    assert held(**SIZES, conv_bias=False).biases == 10


def test_heads_change_the_shapes_and_not_the_total() -> None:
    shapes = {row.name: row.shape for row in held(**SIZES, heads=5).rows}
    assert shapes["mixer.x_proj_weight"] == (5, 2 + 2 * 3, 2)
    assert shapes["mixer.A_log"] == (5, 2, 3)
    assert held(**SIZES, heads=5).total == held(**SIZES).total
    assert held(**SIZES, heads=5).biases == held(**SIZES).biases


def test_inner_norms_are_one_for_the_step_and_one_each_for_b_and_c() -> None:
    assert held(**SIZES, inner_norms=True).total - held(**SIZES).total == 2 + 3 + 3


def test_it_remembers_a_kernel_of_inputs_and_a_state_in_fp32() -> None:
    assert states(**SIZES) == {"conv_state": ((10, 4), "compute"), "recurrent_state": ((10, 3), "fp32")}


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(InputError, match="does not divide inner"):
        model(**SIZES, heads=3)
