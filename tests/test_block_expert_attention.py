"""JetMoE's attention, in closed form."""

from __future__ import annotations

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.holdings.counts import count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from

E, K, A, D, H, B, S = 5, 2, 3, 4, 7, 2, 3
"""Experts, how many a token visits, key heads, dims of one, width, batch, length."""


def model() -> Architecture:
    part = {"kind": "expert_attention", "count": E, "visited": K, "kv_heads": A, "head_dim": D}
    return architecture_from({"name": "x", "width": H, "parts": {"embedding": {"vocabulary": 3}, "mixer": part}})


def test_each_expert_has_a_matrix_for_queries_and_one_for_the_output() -> None:
    counts = count_architecture(model())
    assert counts.total - 3 * H == E * H + 2 * E * A * D * H + H + 2 * A * D * H
    assert counts.total - (counts.active or 0) == 2 * (E - K) * A * D * H


def test_it_remembers_keys_and_values_as_any_attention_does() -> None:
    assert [(row.name, row.shape) for row in caches(model())] == [("key", (A, D)), ("value", (A, D))]


def test_it_keeps_rows_of_experts_on_both_sides_of_attention() -> None:
    """The stream; scores' places and softmax; two orders of rows; rows, queries and, for plain attention, queries, keys and values
    laid out by head, and the softmax; rows again, their weights, what is weighted before and behind; rotary tables."""
    options = TrainingJob(precision="fp32", attention="eager", batch_size=B, seq_len=S)
    kept = plan_training(model(), options).saved_for_backward
    t, rows, size = B * S, B * S * K, A * D
    routed = 8 * rows + 4 * rows + 2 * 8 * rows + 4 * rows * (H + size)
    attended = 3 * 4 * t * K * size + 4 * B * A * K * S * S + 2 * 4 * S * D
    assert kept == 4 * t * H + routed + attended + 4 * rows * (size + 1 + 2 * H)


def test_jetmoes_experts_are_computed_in_pieces() -> None:
    """Two orders of rows, each row of 11 dims' network, joined anew; the bias alone is held more."""
    part = {"kind": "experts", "count": E, "visited": K, "expert": {"size": 11}, "loop": True, "output_bias": True}
    tree = {"name": "x", "width": H, "parts": {"embedding": {"vocabulary": 3}, "mlp": part}}
    kept = plan_training(paramcalc.load(tree), TrainingJob(precision="fp32", batch_size=B, seq_len=S)).saved_for_backward
    rows = B * S * K
    scores = 4 * B * S * E + (8 + 4) * rows + 4 * B * S
    assert kept == 4 * B * S * H + scores + 2 * 8 * rows + 4 * rows * (H + 4 * 11 + H + 1 + H)
