"""Reformer's attention, in closed form."""

from __future__ import annotations

from paramcalc.holdings.counts import count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(**fields: object) -> Architecture:
    block = {"kind": "reformer_attention", "heads": 3, "head_dim": 5, **fields}
    return architecture_from({"name": "x", "width": 7, "parts": {"attention": block}})


def test_hashed_attention_has_one_matrix_for_queries_and_keys() -> None:
    assert count_architecture(model()).total == 4 * 15 * 7
    assert count_architecture(model(hashed=True)).total == 3 * 15 * 7


def test_it_remembers_the_input_of_each_token() -> None:
    assert [(row.shape, row.per) for row in caches(model())] == [((7,), "token")]
