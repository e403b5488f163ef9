"""Liquid's LFM models: gated short convolutions with attention in some layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import Layout, attention, decoder
from paramcalc.gate.families.mixtures import mixture, sparse_after
from paramcalc.gate.families.recipes import PRE_NORM, SANDWICH, Tree, depth, per_layer, tree

LFM2 = Layout(("operator_norm", "ffn_norm"), PRE_NORM)
LFM3 = Layout(("operator_norm", "post_operator_norm", "ffn_norm", "post_ffn_norm"), SANDWICH)
MIXERS = {"conv": "conv", "full_attention": "global", "sliding_attention": "local"}
NAMES = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}


def mixers(c: Config) -> list[str]:
    """As listed, else attention in the layers of `full_attn_idxs`, else everywhere."""
    full = c.sizes("full_attn_idxs") if c.listed("full_attn_idxs") is not None else range(depth(c))
    return per_layer(c, "layer_types", MIXERS, lambda index: "global" if index in full else "conv")


def stated_mixers(c: Config) -> list[str]:
    """As listed; LFM2 MoE has no order of its own."""
    if c.listed("layer_types") is None:
        c.fail("layer_types", "missing")
    return per_layer(c, "layer_types", MIXERS, lambda _: "conv")


def fourth_mixers(c: Config) -> list[str]:
    """As listed, else of every four layers two convolutions around full attention, and a window in the first but once."""

    def usual(index: int) -> str:
        return "global" if index % 4 == 2 else "local" if index % 4 == 0 and index else "conv"

    return per_layer(c, "layer_types", MIXERS, usual)


def mixer(c: Config, word: str, *, attend: Callable[..., Tree]) -> Tree:
    if word == "conv":
        return tree(kind="short_convolution", path="conv", kernel=c.size("conv_L_cache"), bias=c.flag("conv_bias") or None)
    return attend(c, word)


def rounded(c: Config) -> int:
    """The network's size: two thirds of what is stated, times a factor, rounded up to a multiple."""
    size = c.optional("block_ff_dim") or c.size("intermediate_size")
    if not c.flag("block_auto_adjust_ff_dim", True):
        return size
    size, multiple = int(2 * size / 3), c.size("block_multiple_of")
    if c.value("block_ffn_dim_multiplier") is None:
        return max(1, size)
    return max(1, -(-int(c.number("block_ffn_dim_multiplier") * size) // multiple) * multiple)


def feed(c: Config, size: Callable[[Config], int] = lambda c: c.size("intermediate_size")) -> Tree:
    return tree(kind="feed_forward", path="feed_forward", size=size(c), names=NAMES)


def lfm(c: Config, **options: Any) -> Tree:
    c.also("tie_word_embeddings", "tie_embedding")
    c.ignore("block_dim", "block_norm_eps", "block_use_swiglu", "block_use_xavier_init", "conv_dim", "conv_dim_out")
    c.ignore("conv_use_xavier_init", "block_ff_dim", "block_mlp_init_scale", "block_out_init_scale", "use_pos_enc")
    return decoder(c, final="embedding_norm", tie=True, **options)


ATTEND = partial(
    attention,
    bias=False,
    qk_norm="head",
    rounded=True,
    names={"o_proj": "out_proj", "q_norm": "q_layernorm", "k_norm": "k_layernorm"},
)


def lfm3(c: Config) -> Tree:
    gate = "head" if c.flag("use_attention_gate", True) else None
    attend = partial(attention, qk_norm="head", gate_proj=gate, names={"gate_proj": "g_proj"} if gate else None)
    layout = LFM3 if c.flag("use_sandwich_norm", True) else LFM2
    return lfm(c, attend=partial(mixer, attend=attend), feed=feed, sees=fourth_mixers, layout=layout)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "lfm2": partial(lfm, attend=partial(mixer, attend=ATTEND), feed=partial(feed, size=rounded), sees=mixers, layout=LFM2),
    "lfm2_moe": partial(
        lfm,
        attend=partial(mixer, attend=ATTEND),
        feed=feed,
        experts=partial(mixture, path="feed_forward"),
        feeds=partial(sparse_after, "num_dense_layers"),
        sees=stated_mixers,
        layout=LFM2,
    ),
    "lfm3": lfm3,
}
