"""Compressed convolutional attention, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.counts import count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError

ALL = (6 + 3) * 4


def model(**fields: object) -> Architecture:
    sizes = {"heads": 6, "kv_heads": 3, "head_dim": 4, "kernels": [2, 5]} | fields
    return architecture_from({"name": "x", "width": 7, "parts": {"attention": {"kind": "cca", **sizes}}})


def test_it_holds_projections_two_convolutions_and_a_scale_for_each_kv_head() -> None:
    counts = count_architecture(model())
    assert counts.weights == (6 * 4 + 2 * 3 * 4) * 7 + 7 * 6 * 4 + ALL * 2 + ALL * 4 * 5 + 3
    assert counts.biases == 2 * ALL


def test_biases_of_the_projections_come_on_top() -> None:
    assert count_architecture(model(bias=True)).biases == 2 * ALL + 6 * 4 + 2 * 3 * 4 + 7


def test_it_remembers_keys_and_values_and_what_the_convolutions_reach() -> None:
    rows = {row.name: (row.shape, row.per) for row in caches(model())}
    assert rows["key"] == rows["value"] == ((3, 4), "token")
    assert rows["conv_state"] == ((ALL, 1 + 4), "sequence")
    assert rows["value_state"] == ((3 * 4 // 2,), "sequence")


def test_kv_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InputError, match="does not divide heads"):
        model(kv_heads=4)
