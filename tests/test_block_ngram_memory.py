"""Tables of hashed n-grams, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.counts import count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError


def model(**fields: object) -> Architecture:
    sizes = {"vocabulary": 11, "size": 8, "tables": 2, "ngram": 3, "kernel": 4, "streams": 5} | fields
    return architecture_from({"name": "x", "width": 6, "parts": {"memory": {"kind": "ngram_memory", **sizes}}})


def test_it_holds_a_table_two_maps_three_norms_and_a_filter_for_each_channel_of_each_stream() -> None:
    counts = count_architecture(model())
    assert counts.embeddings == 11 * 8 // 2
    assert counts.weights == 5 * 6 * 8 + 6 * 8 + 3 * 5 * 6 + 5 * 6 * 4


def test_it_remembers_what_the_dilated_convolution_reaches() -> None:
    assert [(row.shape, row.per) for row in caches(model())] == [((5 * 6, 3 * 3), "sequence")]
    assert caches(model(kernel=1)) == []


def test_tables_that_do_not_divide_the_size_are_refused() -> None:
    with pytest.raises(InputError, match="does not divide size"):
        model(tables=3)
