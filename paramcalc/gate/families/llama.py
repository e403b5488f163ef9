"""Decoders with the tensors of Llama: RMS norm before each block, rotary positions, gated feed-forward."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import PRE_NORM, Tree, decoder_parts, document, heads, rms, stack, tree


def attention(c: Config, **fields: Any) -> Tree:
    """Split projections, rotary; biases where `attention_bias` says so."""
    bias = c.flag("attention_bias") or None
    return tree(kind="attention", path="self_attn", **heads(c), bias=bias, rotary=True) | tree(**fields)


def gated_feed_forward(c: Config, **fields: Any) -> Tree:
    return tree(
        kind="feed_forward",
        path="mlp",
        size=c.size("intermediate_size"),
        bias=c.flag("mlp_bias") or None,
        activation=c.text("hidden_act", "silu"),
    ) | tree(**fields)


def layer(attention: Tree, feed_forward: Tree, **norms: Any) -> Tree:
    return {
        "norm_1": rms("input_layernorm", **norms),
        "attention": attention,
        "norm_2": rms("post_attention_layernorm", **norms),
        "feed_forward": feed_forward,
        "flow": PRE_NORM,
    }


def llama(c: Config, *, qkv_bias: bool | None = None, qk_norm: str | None = None, windowed: bool = False, tie: bool = False) -> Tree:
    """Llama (Touvron et al. 2023) and those that differ by a bias, a norm of queries and keys, or a window."""
    attend = attention(c, qk_norm=qk_norm)
    if qkv_bias:
        attend["bias"] = ["q", "k", "v"]
    if windowed:
        attend |= tree(window=c.optional("sliding_window"))
    layers = stack("layers.{}", {"layer": layer(attend, gated_feed_forward(c))}, f"{c.size('num_hidden_layers')} layer")
    return document(c, decoder_parts(c, layers, rms("norm"), tie=tie))


FAMILIES = {
    "llama": llama,
    "mistral": partial(llama, windowed=True),
}
