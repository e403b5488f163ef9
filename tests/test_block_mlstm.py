"""The matrix LSTM, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "mlstm", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


SIZES = {"heads": 2, "keys": 10, "values": 14}


@pytest.mark.parametrize("fused", [False, True])
def test_fusing_changes_the_matrices_and_not_the_total(fused: bool) -> None:
    counts = held(**SIZES, fused=fused)
    assert counts.weights == (2 * 10 + 2 * 14 + 2 * 2) * 6 + 14 + 6 * 14
    assert counts.biases == 2 * 2
    assert held(**SIZES, fused=fused, bias=True).biases == 2 * 10 + 2 * 14 + 2 * 2 + 14 + 6


def test_it_remembers_a_matrix_a_vector_and_a_number_for_each_head() -> None:
    shapes = [shape for shape, _ in states(**SIZES).values()]
    assert shapes == [(2, 5, 7), (2, 5), (2, 1)]


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InputError, match="does not divide keys"):
        model(**SIZES | {"heads": 4})
