"""Convolutions, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.inventory import inventory
from paramcalc.model.rows import Row
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError


def rows(**fields: object) -> list[Row]:
    return inventory(architecture_from({"name": "x", "width": 6, "parts": {"stem": {"kind": "convolution", **fields}}}))


def test_kernels_are_stored_outputs_first() -> None:
    weight, bias = rows(inputs=3, kernel=[5, 7])
    assert (weight.name, weight.shape) == ("stem.weight", (6, 3, 5, 7))
    assert (bias.shape, bias.kind) == ((6,), "bias")


def test_a_single_number_is_a_kernel_over_one_axis() -> None:
    assert [row.shape for row in rows(kernel=4, outputs=10, bias=False)] == [(10, 6, 4)]


def test_groups_divide_the_inputs_that_a_kernel_sees() -> None:
    assert [row.shape for row in rows(kernel=4, groups=6, bias=False)] == [(6, 1, 4)]


def test_a_transposed_convolution_is_stored_inputs_first() -> None:
    assert [row.shape for row in rows(kernel=[2, 2], outputs=9, groups=3, transposed=True)] == [(6, 3, 2, 2), (9,)]


def test_groups_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InputError, match="does not divide inputs"):
        rows(inputs=10, kernel=3, groups=4)
