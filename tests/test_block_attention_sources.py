"""What attention remembers of a source, in closed form."""

from __future__ import annotations

from paramcalc.holdings.counts import count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(**fields: object) -> Architecture:
    attention = {"heads": 6, "kv_heads": 2, "head_dim": 5, **fields}
    return architecture_from({"name": "x", "width": 7, "parts": {"attention": attention}})


def remembered(**fields: object) -> list[tuple[str, tuple[int, ...], str]]:
    return [(row.name, tuple(map(int, row.shape)), row.per) for row in caches(model(**fields))]


def test_a_source_of_fixed_length_is_remembered_for_the_whole_sequence() -> None:
    assert remembered(source=7, source_tokens=11) == [("key", (11, 2, 5), "sequence"), ("value", (11, 2, 5), "sequence")]


def test_a_source_of_any_length_is_remembered_per_source_token() -> None:
    assert {per for _, _, per in remembered(source=7)} == {"source"}


def test_merged_attention_remembers_its_own_tokens_and_the_source() -> None:
    assert [(name, per) for name, _, per in remembered(merged=True)] == [
        ("key", "token"),
        ("value", "token"),
        ("source_key", "source"),
        ("source_value", "source"),
    ]


def test_merged_attention_holds_no_more_than_attention() -> None:
    assert count_architecture(model(merged=True)).total == count_architecture(model()).total == 7 * 5 * (6 + 2 + 2 + 6)
