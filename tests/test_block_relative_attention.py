"""XLNet's relative attention, in closed form."""

from __future__ import annotations

from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "relative_attention", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def test_it_holds_five_matrices_three_biases_and_two_segments() -> None:
    assert held(heads=3, head_dim=5).total == 5 * 6 * 3 * 5 + 3 * 3 * 5 + 2 * 3 * 5


def test_what_stands_for_queries_is_a_bias() -> None:
    assert held(heads=3, head_dim=5).biases == 3 * 3 * 5


def test_it_remembers_its_input_of_the_last_tokens() -> None:
    (row,) = caches(model(heads=3, head_dim=5, memory=7))
    assert (row.shape, row.per, row.window) == ((6,), "token", 7)


def test_without_a_memory_it_remembers_nothing() -> None:
    assert not caches(model(heads=3, head_dim=5))
