"""Zamba and Zamba 2: Mamba layers, some of which also pass an attention block whose weights they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.hybrid import attention, gated
from paramcalc.gate.families.recipes import Tree, decoder_parts, depth, document, layered, per_layer, rms, tree
from paramcalc.gate.families.recurrent import step_rank

LAYERS = {"linear_attention": "plain", "mamba": "plain", "hybrid": "hybrid"}


def shared_block(c: Config, path: str, feed: Tree, **fields: Any) -> Tree:
    """The shared block: norm, attention and network in one chain. It reads the stream beside the embeddings, and so
    works on twice the width, and leaves the stream as it is."""
    width, inputs = c.size("hidden_size"), c.optional("attention_hidden_size") or 2 * c.size("hidden_size")
    head_dim = c.optional("head_dim") or max(1, 2 * width // c.size("num_attention_heads"))
    return tree(path=path, **fields) | {
        "norm_1": rms("input_layernorm", size=inputs),
        "attention": attention(c, head_dim=head_dim, inputs=inputs),
        "norm_2": rms("pre_ff_layernorm"),
        "feed_forward": feed,
        "flow": ["norm_1 attention norm_2 feed_forward"],
    }


def layers(c: Config, words: list[str], mixer: Callable[[str], Tree], name: str, shared: Tree, beside: Tree) -> Tree:
    """Plain layers, and hybrid ones: the shared block, a projection of its own, and a plain layer on the sum of both."""

    def build(word: str) -> Tree:
        if word == "plain":
            return {"norm_1": rms("input_layernorm"), name: mixer("mamba"), "flow": [f"norm_1 {name} +"]}
        width = c.size("hidden_size")
        return {
            "shared": shared,
            "projection": tree(kind="dense", path="linear", inputs=width, outputs=width, bias=False),
            "norm_1": rms("mamba_decoder.input_layernorm"),
            name: mixer("mamba_decoder.mamba"),
            **beside,
            "flow": [f"shared projection + norm_1 {name} +"],
        }

    return layered("layers.{}", [words], build)


def zamba(c: Config) -> Tree:
    """Zamba (Glorioso et al. 2024): one attention block for all hybrid layers, each with a copy where nothing is tied."""
    period, offset = c.size("attn_layer_period"), c.optional("attn_layer_offset", least=0) or 0
    usual = {2: "hybrid"} | {index: "hybrid" for index in range(3, depth(c)) if (index - 3) % period == offset}
    words = per_layer(c, "layer_types", LAYERS, lambda index: usual.get(index, "plain"), other="plain")

    def mixer(path: str) -> Tree:
        return tree(
            kind="mamba",
            path=path,
            inner=c.size("mamba_expand") * c.size("hidden_size"),
            state=c.size("mamba_d_state"),
            kernel=c.size("mamba_d_conv"),
            rank=step_rank(c, "mamba_dt_rank"),
            heads=c.size("n_mamba_heads"),
            bias=c.flag("mamba_proj_bias") or None,
            conv_bias=c.flag("mamba_conv_bias", True),
            activation=c.text("hidden_mamba_act", "silu"),
        )

    stored = 1 if c.flag("tie_word_embeddings", True) else None
    shared = shared_block(c, "shared_transf", gated(c), **tree(stored=stored))
    stack = layers(c, words, mixer, "mamba", shared, {})
    return document(c, decoder_parts(c, stack, rms("final_layernorm"), tie=True))


def adapters(c: Config, hybrids: int, blocks: int, tied: bool) -> Tree:
    """Zamba 2's low-rank maps beside a shared block's projections, one for each hybrid layer that uses it.

    A block makes them for all layers of its turn, which `hybrid_layer_ids` counts; a copy that is not tied makes them again.
    """
    rank, width = c.size("adapter_rank"), c.size("hidden_size")
    inputs = c.optional("attention_hidden_size") or 2 * width
    listed = len(c.sizes("hybrid_layer_ids")) or hybrids
    made = sum(len(range(layer % blocks, listed, blocks)) for layer in range(min(blocks, hybrids) if tied else hybrids))
    if not made:
        return {}
    stored = None if made == hybrids else made
    places = {"gate_up": ("feed_forward.gate_up_proj", width, 2 * (c.optional("intermediate_size") or 4 * width), "feed_forward")}
    if c.flag("use_shared_attention_adapter"):
        places |= {letter: (f"self_attn.linear_{letter}", inputs, inputs, "attention") for letter in "qkv"}
    found: Tree = {}
    for name, (path, reads, writes, component) in places.items():
        common = tree(kind="dense", path=f"shared_transformer.{path}_adapter_list.{{}}.{{}}", bias=False, stored=stored)
        common["component"] = component
        found[f"{name}_adapter_in"] = common | {"inputs": reads, "outputs": rank}
        found[f"{name}_adapter_out"] = common | {"inputs": rank, "outputs": writes}
    return found


def zamba2_layers(c: Config) -> list[str]:
    """Plain and hybrid layers as stated, else those of the published model, which has 54."""
    usual = ["plain"] + (["plain"] * 5 + ["hybrid"]) * 7 + ["plain"] * 4 + ["hybrid"] + ["plain"] * 3 + ["hybrid"] + ["plain"] * 2
    count = depth(c)
    if c.listed("layer_types") is None and count != len(usual):
        c.fail("layer_types", f"missing; without it there are {len(usual)} layers, but num_hidden_layers is {count}")
    return per_layer(c, "layer_types", LAYERS, lambda index: usual[index] if index < len(usual) else "plain", other="plain")


def zamba2(c: Config) -> Tree:
    """Zamba 2 (Glorioso et al. 2024): `num_mem_blocks` shared blocks that hybrid layers use in turn."""
    words, width, tied = zamba2_layers(c), c.size("hidden_size"), c.flag("tie_word_embeddings", True)
    inner, heads, blocks = c.size("mamba_expand") * width, c.size("n_mamba_heads"), c.size("num_mem_blocks")
    hybrids = words.count("hybrid")
    if heads and inner % heads:
        c.fail("n_mamba_heads", f"({heads}) does not divide the {inner} channels of the mixer")
    bias = c.flag("add_bias_linear") or None
    c.ignore("use_conv_bias", "mamba_headdim", "kv_channels", "num_query_groups")

    def mixer(path: str) -> Tree:
        return tree(
            kind="mamba2",
            path=path,
            heads=heads,
            head_dim=max(1, inner // heads),
            state=c.size("mamba_d_state"),
            groups=c.size("mamba_ngroups"),
            kernel=c.size("mamba_d_conv"),
            bias=bias,
            chunk=c.optional("chunk_size"),
        )

    feed = gated(c, size=c.optional("intermediate_size") or 4 * width, fused=True, bias=bias)
    stored = min(blocks, hybrids) if tied and hybrids else None
    shared = shared_block(c, "shared_transformer", feed, **tree(stored=stored))
    if c.flag("use_mem_rope"):
        shared["attention"]["rotary"] = True
    stack = layers(c, words, mixer, "mamba2", shared, adapters(c, hybrids, blocks, tied) if hybrids else {})
    return document(c, decoder_parts(c, stack, rms("final_layernorm"), tie=True))


FAMILIES = {"zamba": zamba, "zamba2": zamba2}
