"""DeBERTa's attention and what stands around it, in closed form."""

from __future__ import annotations

from typing import Any

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.model.tree import architecture_from

B, S, H, A = 2, 5, 6, 3
"""Batch, length, width, heads."""


def held(**part: object) -> Counts:
    return count_architecture(architecture_from({"name": "x", "width": H, "parts": {"part": part}}))


def kept(**parts: dict[str, Any]) -> int:
    """Bytes that fp32 training keeps of a stream that comes out of a table and of these parts."""
    tree = {"name": "x", "width": H, "parts": {"embedding": {"vocabulary": 7}, **parts}}
    return plan_training(paramcalc.load(tree), TrainingJob(precision="fp32", batch_size=B, seq_len=S)).saved_for_backward


def test_apart_or_fused_it_holds_four_matrices_and_the_fused_one_no_bias_of_keys() -> None:
    assert held(kind="disentangled_attention", heads=A).total == 4 * (H * H + H)
    fused = held(kind="disentangled_attention", heads=A, fused=True)
    assert (fused.total, fused.biases) == (4 * H * H + 3 * H, 3 * H)


def test_each_direction_has_a_projection_unless_it_shares_that_of_content() -> None:
    fields = {"kind": "disentangled_attention", "heads": A, "relative": True}
    plain = held(**fields).total
    assert held(**fields, directions=["c2p", "p2c"]).total - plain == 2 * (H * H + H)
    assert held(**fields, directions=["c2p", "p2c"], shared=True).total == plain
    first = held(**fields, fused=True, directions=["c2p", "p2c"]).total - held(**fields, fused=True).total
    assert first == 2 * H * H + H


def test_talking_heads_mix_heads_twice() -> None:
    fields = {"kind": "disentangled_attention", "heads": A, "fused": True}
    assert held(**fields, talking=True).total - held(**fields).total == 2 * A * A


def test_a_table_of_distances_is_an_embedding_with_a_norm() -> None:
    table = held(kind="relative_table", rows=14, normed=True)
    assert (table.embeddings, table.total) == (14 * H, 14 * H + 2 * H)


def test_a_convolution_over_neighbours_holds_kernels_and_a_bias() -> None:
    assert held(kind="masked_convolution", kernel=3, groups=2).total == H * H // 2 * 3 + H


def test_a_mask_of_padding_is_kept_for_each_token() -> None:
    assert held(kind="padding_mask").total == 0
    assert kept(padding={"kind": "padding_mask"}) == 4 * B * S


def test_each_direction_keeps_scores_of_all_distances_and_an_index() -> None:
    """Beside the table's rows as keys or queries for each sequence, and the number that divides: span r on both sides."""
    r = 4
    fields = {"kind": "disentangled_attention", "heads": A, "relative": True, "shared": True}
    layers = {"path": "", "kinds": {"layer": {"attention": fields}}, "order": "layer"}
    table = {"kind": "relative_table", "rows": 2 * r}

    def of(*directions: str) -> int:
        kinds = {"layer": {"attention": fields | {"directions": list(directions)}}}
        return kept(table=table, layers=layers | {"kinds": kinds})

    one = 4 * B * 2 * r * H + 4 * B * A * S * 2 * r + 8 * S * S + 4
    assert of("c2p") - of() == one
    assert of("c2p", "p2c") - of("c2p") == one + 4 * B * S * H  # keys as they were before they were divided
