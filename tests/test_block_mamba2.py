"""Mamba-2's mixer, in closed form."""

from __future__ import annotations

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "mamba2", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


SIZES = {"heads": 4, "head_dim": 5, "state": 3, "groups": 2, "kernel": 7}
MIXED = 4 * 5 + 2 * 2 * 3


def test_it_holds_what_the_paper_lists() -> None:
    projections = (4 * 5 + MIXED + 4) * 6 + 6 * 4 * 5
    assert held(**SIZES).weights == projections + MIXED * 7 + 2 * 4 + 4 * 5
    assert held(**SIZES).biases == MIXED + 4  # the convolution's and dt_bias


def test_biases_of_the_two_projections_are_told_apart() -> None:
    plain = held(**SIZES).biases
    assert held(**SIZES, bias=["in"]).biases - plain == 4 * 5 + MIXED + 4
    assert held(**SIZES, bias=["out"]).biases - plain == 6
    assert held(**SIZES, bias=True).biases - plain == 4 * 5 + MIXED + 4 + 6


def test_without_the_gated_norm_its_gain_is_gone() -> None:
    assert held(**SIZES).total - held(**SIZES, norm=False).total == 4 * 5


def test_it_remembers_a_kernel_of_inputs_and_a_state_in_fp32() -> None:
    assert states(**SIZES) == {"conv_state": ((MIXED, 7), "compute"), "recurrent_state": ((4, 5, 3), "fp32")}
