"""Attention and mixing in other forms than the usual: fp32, batch 2, length 5, width 12."""

from __future__ import annotations

from typing import Any

import pytest

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.words.errors import UsageError

B, S, H = 2, 5, 12


def plan(length: int = S, precision: str = "fp32", **part: Any) -> int:
    parts = {"embedding": {"vocabulary": 7}, "mixer": part}
    options = TrainingJob(precision=precision, attention="eager", batch_size=B, seq_len=length)
    return plan_training(paramcalc.load({"name": "x", "width": H, "parts": parts}), options).saved_for_backward


def test_a_fourier_transform_keeps_nothing_and_takes_fp32_alone() -> None:
    assert plan(kind="fourier") == 0
    with pytest.raises(UsageError, match="fp32"):
        plan(kind="fourier", precision="bf16")
    with pytest.raises(UsageError, match="matrices"):
        plan(kind="fourier", matrices=True)


def test_blocks_of_longer_sequences_are_refused() -> None:
    attention = {"kind": "attention", "heads": 3, "sparse_from": 8}
    assert plan(7, **attention) == plan(7, kind="attention", heads=3)
    with pytest.raises(UsageError, match="block-sparse"):
        plan(8, **attention)


def test_differential_attention_keeps_two_attentions_of_half_the_values_and_what_is_subtracted() -> None:
    """Beside one attention: a second softmax; both results side by side, twice as wide, in place of one; what is normed with a
    statistic for each pair of heads; two exponentials and the scale. The values of each half are laid out once for each product."""
    heads, size = 6, 4
    fields = {"kind": "attention", "heads": heads}
    more = plan(**fields, differential=True) - plan(**fields)
    scores, wide = size * B * heads * S * S, size * B * S * H
    operands = 3 * wide  # queries, keys and values of the second attention, laid out again
    assert more == scores + operands + 2 * wide + wide + size * B * S * heads // 2 + 3 * size
