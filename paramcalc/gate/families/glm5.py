"""GLM-5.3 Flash's language model."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.latent import dsa_indexers, indexer
from paramcalc.gate.families.linear import delta_attention
from paramcalc.gate.families.llama import PLAIN, decoder
from paramcalc.gate.families.mixtures import DEEPSEEK, sparse_after
from paramcalc.gate.families.recipes import Tree, per_layer, rate, tree

MIXERS = {"linear_attention": "linear", "indexed_attention": "indexed", "full_attention": "indexed"}
DENSE_FIRST = 3
"""Layers without experts where `mlp_layer_types` does not say which."""


def mixers(c: Config) -> list[str]:
    """Every fourth layer indexed, the others linear, unless listed; an indexed one may share an earlier one's choice."""
    words = per_layer(c, "layer_types", MIXERS, lambda index: "indexed" if index % 4 == 3 else "linear")
    return [f"{word}_{seen}" if word == "indexed" else word for word, seen in zip(words, dsa_indexers(c), strict=False)]


def glm5_next(c: Config) -> Tree:
    """GLM-5.3 Flash (Z.ai 2026): Kimi's delta attention, and latent attention without positions to what an indexer of
    pooled keys chooses; parallel residual streams, which their mean brings back to one."""
    sub = c.part("linear_attn_config")
    heads = sub.optional("num_heads") or c.size("linear_num_heads")
    head_dim = sub.optional("head_dim") or c.size("linear_head_dim")
    kernel = sub.optional("short_conv_kernel_size") or c.size("linear_conv_kernel_dim")
    streams = c.size("hc_mult")

    def attend(c: Config, word: str) -> Tree:
        if word == "linear":
            return delta_attention(heads, head_dim, kernel, gate_rank=head_dim)
        return tree(
            kind="mla", path="self_attn", heads=c.size("num_attention_heads"), q_rank=c.size("q_lora_rank"),
            kv_rank=c.size("kv_lora_rank"), nope_dim=c.size("qk_nope_head_dim"), rope_dim=c.zero_or("qk_rope_head_dim"),
            v_dim=c.size("v_head_dim"), bias=c.flag("attention_bias") or None, dropout=rate(c, "attention_dropout"),
        )  # fmt: skip

    def beside(c: Config, word: str, _: str) -> Tree:
        around = {name: tree(kind="hyper_connection", path=name, streams=streams) for name in ("attn_hc", "ffn_hc")}
        if not word.endswith("full"):
            return around
        chooser = indexer(c)["indexer"] | {"pool": c.size("index_kpool")}
        chooser["names"] |= {"pool_position": "index_kpool_compress_ape", "pool_gate": "index_kpool_compress_gate"}
        return {"indexer": chooser} | around

    feeds = partial(sparse_after, DENSE_FIRST, words="mlp_layer_types")
    return decoder(c, attend=attend, feed=PLAIN, experts=DEEPSEEK, feeds=feeds, sees=mixers, beside=beside)


FAMILIES = {"glm5_next_text": glm5_next}
