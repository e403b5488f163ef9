"""An embedding for each layer, and how a layer takes it in."""

from __future__ import annotations

from typing import Any

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.holdings.counts import count_architecture
from paramcalc.holdings.trainable import Method, adapt
from paramcalc.model.tree import architecture_from

B, S, H, N, D, V = 2, 5, 6, 3, 4, 7
"""Batch, length, width, layers, width of a layer's part, vocabulary."""
TABLE = {"kind": "per_layer_embedding", "vocabulary": V, "layers": N, "size": D}
GATE = {"kind": "per_layer_gate", "size": D, "activation": "relu"}


def model(**parts: Any) -> dict[str, Any]:
    return {"name": "x", "width": H, "parts": {"embedding": {"vocabulary": V}, **parts}}


def test_it_holds_a_table_a_projection_and_a_norm_and_each_layer_a_gate() -> None:
    layers = {"path": "", "kinds": {"layer": {"gate": GATE}}, "order": f"{N} layer"}
    counts = count_architecture(architecture_from(model(table=TABLE, layers=layers)))
    assert counts.total == V * H + V * N * D + N * D * H + D + N * 2 * D * H
    assert counts.embeddings == V * H + V * N * D


def test_all_layers_read_one_kept_tensor() -> None:
    """Each keeps its input, what its ReLU makes and the product; the embeddings of all layers are kept once."""

    def kept(layers: int) -> int:
        stack = {"path": "", "kinds": {"layer": {"gate": GATE}}, "order": f"{layers} layer"}
        plan = plan_training(paramcalc.load(model(table=TABLE, layers=stack)), TrainingJob(precision="fp32", batch_size=B, seq_len=S))
        return plan.saved_for_backward

    one = 4 * B * S * (H + D + D)
    assert kept(3) - kept(2) == one
    statistics, once = N, N * D
    # the projection reads the stream that the first layer reads as well
    assert kept(1) == one + 4 * B * S * (N * D + statistics + N * D + once)


def test_kinds_of_layers_with_the_same_names_and_other_sizes_have_adapters_of_their_own() -> None:
    """Gemma 4's global layers have wider heads: A [r, width] and B [r, outputs] for each."""
    kinds = {name: {"up": {"kind": "dense", "outputs": size, "path": "up"}} for name, size in (("narrow", H), ("wide", 2 * H))}
    layers = {"path": "layers.{}", "kinds": kinds, "order": "2 narrow, wide"}
    method = adapt(architecture_from(model(layers=layers)), Method("lora", 2, "up"))
    assert method.added_total == 2 * (2 * (H + H) + (H + 2 * H))
