"""Differences of two models: figures by kind and component, tensors by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import paramcalc
from paramcalc.costs.weight_changes import byte_changes
from paramcalc.holdings.counts import Counts
from paramcalc.holdings.differences import components, figures_of, grouped_changes, kinds, largest, tensor_changes

SMALL: dict[str, Any] = {
    "family": "llama", "vocab_size": 11, "hidden_size": 6, "layers": 2, "heads": 3, "kv_heads": 1, "intermediate_size": 5,
    "context": 7,
}  # fmt: skip


def counts(**changes: Any) -> Counts:
    return paramcalc.count(SMALL | changes)


def test_a_wider_feed_forward_changes_three_matrices_of_every_layer_and_nothing_else() -> None:
    before, after = counts(), counts(intermediate_size=8)
    grown = 3 * 6 * (8 - 5) * 2
    changes = {change.name: change.change for change in components(figures_of(before), figures_of(after))}
    assert changes == {"embedding": 0, "attention": 0, "feed_forward": grown, "norm": 0, "head": 0}
    tensors = tensor_changes(before, after)
    assert [(each.before, each.after) for each in tensors] == [("2 × [5, 6]", "2 × [8, 6]")] * 2 + [("2 × [6, 5]", "2 × [6, 8]")]
    assert sum(each.parameters.change or 0 for each in tensors) == grown


def test_a_tie_takes_the_head_away_and_says_so() -> None:
    changes = tensor_changes(counts(), counts(tie_word_embeddings=True))
    assert [(each.name, each.before, each.after) for each in changes] == [("lm_head.weight", "[11, 6]", "[11, 6] tied")]
    assert changes[0].parameters.change == -11 * 6


def test_tensors_of_one_side_only_are_added_or_removed() -> None:
    changes = {each.name: each for each in tensor_changes(counts(), counts(attention_bias=True))}
    added = changes["model.layers.{}.self_attn.q_proj.bias"]
    assert (added.before, added.after, added.parameters.before, added.parameters.after) == ("", "2 × [6]", None, 12)
    back = {each.name: each for each in tensor_changes(counts(attention_bias=True), counts())}
    assert back[added.name].parameters.change == -12


def test_what_is_stored_alike_is_no_change_of_a_tensor() -> None:
    """One more expert visited by a token: other active parameters, the same tensors."""
    sparse = {"family": "mixtral", "num_experts": 4}
    before, after = (counts(**sparse, num_experts_per_tok=visited) for visited in (2, 3))
    assert not tensor_changes(before, after)
    (active,) = [change for change in kinds(figures_of(before), figures_of(after)) if change.change]
    assert (active.name, active.change) == ("active", 2 * 3 * 6 * 5)


def test_what_grew_the_most_is_named_and_nothing_where_nothing_grew() -> None:
    before, after = figures_of(counts()), figures_of(counts(vocab_size=12, intermediate_size=9))
    share = largest(components(before, after))
    assert share is not None
    assert share[:2] == ("feed_forward", 3 * 6 * 4 * 2)
    assert largest(components(after, before)) is None


@pytest.mark.parametrize("by", ["component", "layer", "kind"])
@given(wider=st.integers(1, 9), deeper=st.integers(1, 4), words=st.integers(1, 20))
def test_changes_by_any_key_sum_to_the_change_of_the_total(by: str, wider: int, deeper: int, words: int) -> None:
    before, after = counts(), counts(intermediate_size=wider, layers=deeper, vocab_size=words)
    assert sum(change.change or 0 for change in grouped_changes(before, after, by)) == after.total - before.total
    assert sum(each.parameters.change or 0 for each in tensor_changes(before, after)) == after.total - before.total


def test_equal_models_have_no_changes() -> None:
    same = figures_of(counts()), figures_of(counts())
    assert not tensor_changes(counts(), counts())
    assert all(change.change == 0 for change in (*kinds(*same), *components(*same)))


def test_a_change_in_bytes_is_that_of_parameters_times_the_size_of_the_format() -> None:
    before, after = counts(), counts(vocab_size=13)
    changes = {change.name: change.change for change in byte_changes(before.architecture, after.architecture)}
    grown = 2 * 6 * 2  # two words more in the table and in the head, which int8 and int4 leave in bf16
    assert changes == {"fp32": 4 * grown, "bf16": 2 * grown, "int8": 2 * grown, "int4": 2 * grown}
