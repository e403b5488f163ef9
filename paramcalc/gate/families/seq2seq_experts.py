"""Encoder-decoders with experts in some of their layers: NLLB-MoE and the Switch Transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import PRE, attend, before, lm_head, own_table, seq2seq_head, shared
from paramcalc.gate.families.recipes import (
    MOST_LAYERS,
    PRE_NORM,
    Tree,
    document,
    layer_norm,
    plain_activation,
    rate,
    stack,
    tree,
)
from paramcalc.gate.families.t5 import CROSSED, assembled, half
from paramcalc.gate.families.t5 import layer as t5_layer
from paramcalc.model.order import order_of


def order(c: Config, layers: int, sparse: Callable[[int], bool]) -> str:
    """Where the layers with experts stand."""
    if layers > MOST_LAYERS:
        c.fail("num_hidden_layers", f"more than {MOST_LAYERS:,} layers")
    return order_of(["sparse" if sparse(index) else "dense" for index in range(min(layers, MOST_LAYERS))])


def networks(
    c: Config,
    path: str,
    size: int,
    up: str,
    down: str,
    *,
    activation: str,
    visited: int,
    bias: bool,
    router: Tree | None = None,
    **drop: Any,
) -> Tree:
    """The feed-forward network of a dense layer, and the experts of a sparse one, each stored apart."""
    dense = tree(
        kind="feed_forward",
        path=path,
        size=size,
        gated=False,
        bias=bias or None,
        activation=activation,
        names={"up_proj": up, "down_proj": down},
        **drop,
    )
    count, where = c.size("num_experts"), "experts.expert_{}"
    sparse = tree(
        kind="experts",
        path=path,
        count=count,
        visited=min(visited, count),
        expert=tree(size=size, gated=False, bias=bias or None, activation=activation, dropout=drop.get("activation_dropout")),
        router=(router or {}) | ({"bias": True} if c.flag("router_bias") else {}),
        stacked=False,
        loop=True if router else None,
        names={
            "router": "router.classifier",
            "experts.{}.up_proj": f"{where}.{up}",
            "experts.{}.down_proj": f"{where}.{down}",
        },
    )
    return {"dense": dense, "sparse": sparse}


def nllb_moe(c: Config) -> Tree:
    """NLLB-MoE (NLLB Team 2022): every few layers have experts, of which a token visits two, as the code has it."""
    halves = {side: nllb_half(c, side) for side in ("encoder", "decoder")}
    task = c.task("generation")
    c.ignore("expert_capacity")
    return shared(c, halves, seq2seq_head(c, task, lm_head(c, "encoder.embedding")), base="model")


def nllb_half(c: Config, side: str) -> Tree:
    style = PRE._replace(position="sinusoidal", cross="cross_attention")
    number = c.size(f"{side}_attention_heads")
    made = networks(
        c,
        "ffn",
        c.size(f"{side}_ffn_dim"),
        "fc1",
        "fc2",
        activation=plain_activation(c),
        visited=2,
        bias=True,
        dropout=rate(c, "activation_dropout"),
        activation_dropout=rate(c, "activation_dropout"),
    )
    parts = {"norm_1": layer_norm("self_attn_layer_norm"), "attention": attend(c, style, number, "self_attn")}
    if side == "decoder":
        parts["norm_cross"] = layer_norm("cross_attention_layer_norm")
        parts["cross_attention"] = attend(c, style, number, "cross_attention", source=c.size("hidden_size"))
    flow = CROSSED if side == "decoder" else PRE_NORM
    kinds = {kind: parts | {"norm_2": layer_norm("ff_layer_norm"), "feed_forward": feed, "flow": flow} for kind, feed in made.items()}
    step = c.zero_or(f"{side}_sparse_step")
    where = order(c, c.size(f"{side}_layers"), lambda index: step > 0 and (index + 1) % step == 0)
    about: Tree = {"path": side} | ({"tokens": "source", "cache": False} if side == "encoder" else {})
    return about | before(c, style, own_table(c)) | {"layers": stack("layers.{}", kinds, where), "norm": layer_norm("layer_norm")}


def switch_transformers(c: Config) -> Tree:
    """Switch Transformers (Fedus et al. 2022): T5 whose every other or so layer has experts, of which a token visits one."""
    made = networks(
        c,
        "layer.{}.mlp",
        c.size("d_ff"),
        "wi",
        "wo",
        activation=plain_activation(c, "dense_act_fn", "relu"),
        visited=1,
        bias=False,
        router={"wide": True, "held_wide": True, "normalized": False} | ({"jitter": True} if c.number("router_jitter_noise") else {}),
        dropout=rate(c, "dropout_rate"),
        activation_dropout=rate(c, "dropout_rate"),
    )
    count = c.size("num_hidden_layers")
    depths = {"encoder": count, "decoder": c.optional("num_decoder_layers") or count}
    table = {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"}
    halves = {}
    for side, depth in depths.items():
        step = sparse_step(c, side, depth)
        cross = side == "decoder"
        kinds = {kind: t5_layer(c, "SelfAttention", cross=cross, own_table=False, feed=feed) for kind, feed in made.items()}
        where = order(c, depth, lambda index, step=step: step == 1 or (step > 0 and index % step == 1))  # type: ignore[misc]
        used = {kind: layer for kind, layer in kinds.items() if kind in where}
        halves[side] = half(c, side, table, used, where, shared_table=True, name="SelfAttention")
    c.ignore("expert_capacity", "router_jitter_noise", "add_router_probs")
    return switch_headed(c, halves)


def sparse_step(c: Config, side: str, layers: int) -> int:
    """Every how many layers there are experts: stated, or so many that as many layers as asked for have them."""
    stated = c.optional(f"{side}_sparse_step", least=0)
    if stated is not None:
        return stated
    number = c.zero_or(f"num_sparse_{side}_layers")
    return layers // number if number else layers


def switch_headed(c: Config, halves: Tree) -> Tree:
    """Tied as T5 is where ties are on; else a table for each half beside one that nothing reads."""
    head = tree(kind="head", path="lm_head", outputs=c.size("vocab_size"))
    task = c.task("generation")
    if task == "encoder" and c.flag("is_decoder"):
        c.fail("is_decoder", "an encoder alone cannot be a decoder")
    if c.flag("tie_word_embeddings", True):
        halves["encoder"]["embedding"] = {"vocabulary": c.size("vocab_size"), "path": "/shared"}
        halves["decoder"]["embedding"] = halves["decoder"]["embedding"] | {"tied": "encoder.embedding"}
        return assembled(c, halves["encoder"], halves["decoder"], head | {"tied": "encoder.embedding"})
    spare = {"spare": {"kind": "embedding", "vocabulary": c.size("vocab_size"), "path": "shared"}}
    if task == "encoder":
        return document(c, {"encoder": halves["encoder"], **spare}, flow=["encoder"])
    top = seq2seq_head(c, task, {"head": head})
    return document(c, halves | spare | top, flow=[" ".join(["encoder", "decoder", *top])])


FAMILIES = {"nllb-moe": nllb_moe, "switch_transformers": switch_transformers}
