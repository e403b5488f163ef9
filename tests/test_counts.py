"""Counts by theory: closed forms at odd sizes, and what must hold for any sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Called
from hypothesis import given
from hypothesis import strategies as st

import paramcalc
from paramcalc.holdings.conventions import conventions
from paramcalc.holdings.counts import GROUPINGS, grouped
from paramcalc.holdings.explanations import explain


def gpt2(**changes: Any) -> dict[str, Any]:
    return {"family": "gpt2", "vocab_size": 11, "hidden_size": 6, "layers": 2, "heads": 3, "ffn": 10, "context": 7} | changes


def llama(**changes: Any) -> dict[str, Any]:
    return {
        "family": "llama",
        "vocab_size": 11,
        "hidden_size": 6,
        "layers": 2,
        "heads": 3,
        "kv_heads": 1,
        "head_dim": 4,
        "ffn": 10,
    } | changes


def test_gpt2_in_closed_form() -> None:
    h, v, f, n, t = 6, 11, 10, 2, 7
    layer = (h * 3 * h + 3 * h) + (h * h + h) + (h * f + f) + (f * h + h) + 2 * 2 * h
    assert paramcalc.count(gpt2()).total == v * h + t * h + n * layer + 2 * h


def test_llama_in_closed_form() -> None:
    h, v, f, n, q, kv = 6, 11, 10, 2, 3 * 4, 1 * 4
    layer = 2 * h * q + 2 * h * kv + 3 * h * f + 2 * h
    assert paramcalc.count(llama()).total == 2 * v * h + n * layer + h


def test_gpt3_is_174604259328() -> None:
    """Brown et al. 2020, Table 2.1: 96 layers of width 12,288, 2,048 learned positions, tied head."""
    spec = gpt2(vocab_size=50257, hidden_size=12288, layers=96, heads=96, ffn=49152, context=2048)
    counts = paramcalc.count(spec)
    assert (counts.total, counts.biases) == (174_604_259_328, 12_988_416)


def test_tying_removes_exactly_one_table() -> None:
    loose, tied = (paramcalc.count(llama(tie_word_embeddings=flag)) for flag in (False, True))
    assert loose.total - tied.total == 11 * 6
    assert tied.by_component["head"].total == 0
    assert conventions(tied)["total_tied_twice"] == loose.total


sizes = st.fixed_dictionaries(
    {
        "hidden_size": st.integers(1, 9).map(lambda n: 6 * n),
        "layers": st.integers(1, 9),
        "vocab_size": st.integers(1, 99),
        "ffn": st.integers(1, 50),
    }
)


@given(sizes)
def test_parts_sum_to_the_whole_under_every_grouping(changes: dict[str, int]) -> None:
    for counts in (paramcalc.count(gpt2(**changes)), paramcalc.count(llama(**changes))):
        assert counts.embeddings + counts.weights + counts.biases == counts.total
        for by in GROUPINGS:
            assert sum(row["total"] for row in grouped(counts, by)) == counts.total
        assert sum(part.total for part in explain(counts)) == counts.total


@given(sizes)
def test_totals_are_affine_in_depth(changes: dict[str, int]) -> None:
    first, second, third = (paramcalc.count(llama(**changes | {"layers": depth})).total for depth in (1, 2, 3))
    assert second - first == third - second > 0


@given(sizes)
def test_every_printed_formula_evaluates_to_its_number(changes: dict[str, int]) -> None:
    for part in explain(paramcalc.count(gpt2(**changes))):
        for line in part.lines:
            value = eval(line.numbers.replace("×", "*"))
            assert value == line.elements
            assert line.total in (0, value * line.copies)


def test_the_full_form_counts_the_same_and_is_its_own_full_form() -> None:
    model = paramcalc.load(llama())
    again = paramcalc.load(dict(model.document))
    assert paramcalc.count(again)[1:-1] == paramcalc.count(model)[1:-1]
    assert again.document == model.document


@pytest.mark.parametrize(("layers", "experts"), [(10, 8), (100_000, 10_000)])
def test_rows_do_not_grow_with_depth_or_experts(layers: int, experts: int) -> None:
    parts = {
        "layers": {
            "kinds": {"layer": {"attention": {"heads": 3}, "experts": {"count": experts, "visited": 2, "expert": {"size": 10}}}},
            "order": f"{layers} layer",
        }
    }
    assert len(paramcalc.count({"width": 6, "parts": parts}).rows) == 7


def test_active_leaves_out_the_experts_a_token_does_not_visit() -> None:
    parts = {"experts": {"count": 8, "visited": 2, "expert": {"size": 10}}}
    counts = paramcalc.count({"width": 6, "parts": parts})
    expert, router = 3 * 6 * 10, 8 * 6
    assert (counts.total, counts.active) == (8 * expert + router, 2 * expert + router)


def test_active_equals_total_when_every_expert_is_visited() -> None:
    counts = paramcalc.count({"width": 6, "parts": {"experts": {"count": 8, "visited": 8, "expert": {"size": 10}}}})
    assert counts.active == counts.total


def test_active_is_unknown_where_the_number_of_experts_is_open() -> None:
    counts = paramcalc.count({"width": 6, "parts": {"experts": {"count": 8, "visited": None, "expert": {"size": 10}}}})
    assert counts.active is None
    assert any("active is unknown" in warning for warning in counts.to_dict()["warnings"])


def test_a_kind_like_another_changes_only_what_it_says() -> None:
    kinds = {
        "dense": {"norm_1": "norm", "attention": {"heads": 3}, "feed_forward": {"size": 10}},
        "wide": {"like": "dense", "feed_forward": {"size": 20}},
    }
    both = paramcalc.count({"width": 6, "parts": {"layers": {"kinds": kinds, "order": "2 dense, wide"}}})
    dense = paramcalc.count({"width": 6, "parts": {"layers": {"kinds": kinds, "order": "3 dense"}}})
    assert both.total - dense.total == 3 * 6 * 10


def test_what_is_stored_once_counts_once_however_often_it_is_applied() -> None:
    kinds = {"layer": {"stored": 1, "attention": {"heads": 3}}}
    counts = paramcalc.count({"width": 6, "parts": {"layers": {"kinds": kinds, "order": "12 layer"}}})
    assert counts.total == 4 * 6 * 6
    assert {row.applied for row in counts.rows} == {12}


def test_a_config_that_leaves_out_its_number_of_experts_has_its_class_s_own() -> None:
    """Qwen3MoeConfig of transformers 5.23 declares 128."""
    short = {"model_type": "qwen3_moe", "num_hidden_layers": 2}
    assert paramcalc.count(short).total == paramcalc.count(short | {"num_experts": 128}).total
    assert paramcalc.count(short).total != paramcalc.count(short | {"num_experts": 64}).total


def test_what_the_makers_state_stands_beside_the_convention_they_count_by(called: Called, tmp_path: Path) -> None:
    spec = tmp_path / "own.yaml"
    spec.write_text(json.dumps(llama(conventions={"active_without_input_embedding": "0.4K active"})))
    _, shown, _ = called("count", spec, "--conventions")
    assert "its makers: 0.4K active" in " ".join(shown.split())
    assert "its makers" not in called("count", spec)[1]


def test_a_convention_that_nobody_knows_is_refused_with_the_nearest(called: Called, tmp_path: Path) -> None:
    spec = tmp_path / "own.yaml"
    spec.write_text(json.dumps(llama(conventions={"total_tied_twise": "1B"})))
    code, _, complaint = called("count", spec)
    assert code == 3
    assert "conventions.total_tied_twise" in complaint
    assert "did you mean total_tied_twice?" in complaint
