"""Layers stand in an order of kinds whose cost is that of its text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramcalc.model.order import order_of, parse_order


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("12 layer", {"layer": 12}),
        ("layer", {"layer": 1}),
        ("3 dense, 58 sparse", {"dense": 3, "sparse": 58}),
        ("8 (5 local, global), 2 local", {"local": 42, "global": 8}),
        ("2 (a, 3 (b, 2 c))", {"a": 2, "b": 6, "c": 12}),
        ("100000 (7 mamba, attention)", {"mamba": 700000, "attention": 100000}),
    ],
)
def test_an_order_counts_its_kinds(text: str, counts: dict[str, int]) -> None:
    assert parse_order(text).counts() == counts


@pytest.mark.parametrize(
    "text", ["", "3", "3 dense,, 2 sparse", "(a", "a)", "0 a", "3 dense 4 sparse", "-1 a", "2 ()", "a; b", "99999999999 a", "(" * 20]
)
def test_a_malformed_order_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_order(text)


@given(st.lists(st.sampled_from(["local", "global", "dense"]), min_size=1, max_size=60))
def test_the_text_of_a_list_reads_back_as_the_list(kinds: list[str]) -> None:
    runs = parse_order(order_of(kinds)).runs()
    assert [kind for kind, count in runs for _ in range(count)] == kinds


def test_a_periodic_list_is_written_by_its_period() -> None:
    assert order_of((["local"] * 5 + ["global"]) * 4 + ["local"] * 2) == "4 (5 local, global), 2 local"
    assert order_of(["layer"] * 96) == "96 layer"


def test_an_order_prints_as_it_was_written() -> None:
    assert str(parse_order("8 (5 local, global), 2 local")) == "8 (5 local, global), 2 local"
