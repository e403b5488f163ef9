"""Experts found by product keys, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError


def held(**fields: object) -> Counts:
    part = {"kind": "product_keys", "count": 17, "visited": 3, **fields}
    return count_architecture(architecture_from({"name": "x", "width": 5, "parts": {"experts": part}}))


def test_two_sets_of_keys_name_every_expert() -> None:
    """Four keys each, since 4² is the largest square in 17; two tables of one row an expert."""
    counts = held()
    assert counts.total == 2 * 4 * 5 + 2 * 17 * 5
    assert counts.embeddings == 2 * 17 * 5


def test_a_token_reads_the_rows_of_those_it_visits() -> None:
    assert held().active == 2 * 4 * 5 + 2 * 3 * 5


def test_no_more_are_visited_than_there_are() -> None:
    with pytest.raises(InputError, match="visited"):
        held(visited=18)
