"""Griffin's recurrent block, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "rg_lru", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


SIZES = {"inner": 10, "heads": 5, "kernel": 4}


def test_it_holds_two_branches_a_convolution_and_block_diagonal_gates() -> None:
    assert held(**SIZES).weights == 2 * 10 * 6 + 6 * 10 + 10 * 4 + 10 + 2 * 5 * 2 * 2
    assert held(**SIZES).biases == 2 * 10 + 6 + 10 + 2 * 5 * 2


def test_it_remembers_the_tokens_before_and_a_state_in_fp32() -> None:
    assert states(**SIZES) == {"conv_state": ((10, 3), "compute"), "recurrent_state": ((10,), "fp32")}


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(InputError, match="does not divide inner"):
        model(**SIZES | {"heads": 3})
