"""Decoders that mix attention with linear attention: Qwen3-Next and Qwen3.5, OLMo Hybrid, Kimi Linear, Ling 3, MiniMax-01."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import image_text
from paramcalc.gate.families.latent import latent
from paramcalc.gate.families.llama import LLAMA, OLMO2, PLAIN, UNBIASED, Layout, attention, decoder, layer
from paramcalc.gate.families.mixtures import FIRST_DENSE, OF_ITS_SIZE, ONE_SHARED, PLAINLY, SPARSE, mixture, stepped
from paramcalc.gate.families.recipes import Tree, decoder_parts, depth, document, layered, per_layer, rate, rms, tree

MIXERS = {"linear_attention": "linear", "full_attention": "global"}


def mixers(c: Config, period: int = 4, key: str = "full_attention_interval") -> list[str]:
    """What mixes tokens in each layer: as listed, else attention in the layer that ends each period."""
    period = c.optional(key) or period
    return per_layer(c, "layer_types", MIXERS, lambda index: "linear" if (index + 1) % period else "global")


def delta_net(c: Config, *, fused: str | None, names: Tree) -> Tree:
    return tree(
        kind="gated_delta_net",
        path="linear_attn",
        key_heads=c.size("linear_num_key_heads"),
        value_heads=c.size("linear_num_value_heads"),
        key_dim=c.size("linear_key_head_dim"),
        value_dim=c.size("linear_value_head_dim"),
        kernel=c.size("linear_conv_kernel_dim"),
        fused=fused,
        names=names,
    )


NEXT = {"qkvz_proj": "in_proj_qkvz", "ba_proj": "in_proj_ba"}
SPLIT = {"qkv_proj": "in_proj_qkv", "z_proj": "in_proj_z", "b_proj": "in_proj_b", "a_proj": "in_proj_a"}


def qwen_mixer(c: Config, word: str, *, fused: str, names: Tree) -> Tree:
    """Gated DeltaNet, or attention with an output gate beside its queries."""
    if word == "linear":
        return delta_net(c, fused=fused, names=names)
    return attention(c, gate=True, qk_norm="head")


def some_sparse(c: Config) -> list[str]:
    """Experts in every `decoder_sparse_step`-th layer, if there are any."""
    return stepped(c) if c.zero_or("num_experts") else ["dense"] * depth(c)


QWEN = partial(PLAINLY, sees=mixers, qa_base="transformer")
QWEN_EXPERTS: Callable[[Config], Tree] = partial(mixture, **ONE_SHARED, shared_name="shared_expert", shared_fields={"gate": True})
QWEN3_NEXT = partial(QWEN, attend=partial(qwen_mixer, fused="qkvz", names=NEXT), experts=QWEN_EXPERTS, feeds=some_sparse)
QWEN3_5 = partial(QWEN, attend=partial(qwen_mixer, fused="qkv", names=SPLIT))
QWEN3_5_MOE = partial(QWEN3_5, experts=QWEN_EXPERTS)
QWEN_IMAGES = partial(image_text, bridge=None, vision=("visual",), narrows=True)


def olmo_mixers(c: Config) -> list[str]:
    """Attention in every fourth layer, or in the last where that is none."""
    last = depth(c) - 1
    usual = per_layer(c, "layer_types", MIXERS, lambda index: "global" if index % 4 == 3 or (last < 3 and index == last) else "linear")
    if len(set(usual)) < 2:
        c.fail("layer_types", "holds both linear_attention and full_attention in OLMo Hybrid")
    return usual


def olmo_delta_net(c: Config) -> Tree:
    """Its dims left out come from the attention's heads and from three quarters of the width."""
    heads, width = c.size("num_attention_heads"), c.size("hidden_size")
    key_heads = c.optional("linear_num_key_heads") or heads
    key_dim = c.optional("linear_key_head_dim") or max(1, int(0.75 * width / key_heads))
    return tree(
        kind="gated_delta_net",
        path="linear_attn",
        key_heads=key_heads,
        value_heads=c.optional("linear_num_value_heads") or heads,
        key_dim=key_dim,
        value_dim=c.optional("linear_value_head_dim") or 2 * key_dim,
        kernel=c.size("linear_conv_kernel_dim"),
        names={"z_proj": "g_proj", "norm": "o_norm", "out_proj": "o_proj"},
    )


def olmo_hybrid(c: Config) -> Tree:
    """OLMo Hybrid (Ai2 2026): norms before the blocks in its linear layers, and behind them in the others."""

    def build(word: str) -> Tree:
        if word == "linear":
            return layer(LLAMA, rms, olmo_delta_net(c), PLAIN(c))
        return layer(OLMO2, rms, attention(c, qk_norm="full"), PLAIN(c))

    return document(c, decoder_parts(c, layered("layers.{}", [olmo_mixers(c)], build), rms("norm")))


MINIMAX = Layout(LLAMA.norms, ["norm_1", "attention +", "norm_2", "feed_forward +"])
"""The residual is what the norm made."""


def minimax_mixer(c: Config, word: str) -> Tree:
    """Lightning attention, or attention."""
    attend = UNBIASED(c, dropout=rate(c, "attention_dropout"))
    if word == "global":
        return attend
    sizes = {key: attend[key] for key in ("heads", "head_dim")}
    chunk, activation = c.optional("block_size"), c.text("hidden_act", "silu")
    names = {"gate_proj": "output_gate"}
    return tree(kind="lightning_attention", path="self_attn", **sizes, chunk=chunk, activation=activation, names=names)


def minimax_mixers(c: Config) -> list[str]:
    return per_layer(c, "layer_types", MIXERS, lambda index: "linear" if index % 2 else "global")


def delta_attention(heads: int, head_dim: int, kernel: int, **fields: object) -> Tree:
    """Kimi's delta attention; the reference keeps the decay in a module of its own."""
    inside = ("dt_bias", "A_log", "f_proj", "f_a_proj", "f_b_proj")
    names = {name: f"forget_gate.{name}" for name in inside}
    return tree(kind="kimi_delta_attention", path="self_attn", heads=heads, head_dim=head_dim, kernel=kernel, **fields, names=names)


def experts_beside_one(c: Config) -> Tree:
    """Experts with shared ones; where more are visited than there are, what is active is not known."""
    made = mixture(c, shared="n_shared_experts")
    if made["visited"] and made["visited"] > made["count"]:
        c.warn(f"a token visits {made['visited']} of {made['count']} experts: active parameters are not known")
        made["visited"] = None
    return made


def kimi_layers(c: Config, sub: Config) -> list[str]:
    """Linear layers but for every fourth after the first, unless listed here or, counted from 1, in `linear_attn_config`."""
    full = set(sub.sizes("full_attn_layers"))
    listed = sub.listed("kda_layers") is not None and bool(full)
    default = (lambda index: "global" if index + 1 in full else "linear") if listed else _every_fourth
    return per_layer(c, "layer_types", MIXERS, default)


def _every_fourth(index: int) -> str:
    return "global" if index and index % 4 == 0 else "linear"


def kimi_linear(c: Config) -> Tree:
    """Kimi Linear (Kimi Team 2025). Its head is never tied."""
    sub = c.part("linear_attn_config")
    first = c.optional("first_k_dense_replace", least=0)
    heads = sub.optional("num_heads") or c.size("linear_num_heads")
    head_dim = sub.optional("head_dim") or c.size("linear_head_dim")
    kernel = sub.optional("short_conv_kernel_size") or c.size("linear_conv_kernel_dim")

    def mixer(c: Config, word: str) -> Tree:
        if word == "global":
            return latent(c, rotary=False)
        return delta_attention(heads, head_dim, kernel, gate_rank=head_dim, decay_axes=4)

    def feeds(c: Config) -> list[str]:
        dense = 1 if first is None else first
        return per_layer(c, "mlp_layer_types", SPARSE, lambda index: "dense" if index < dense else "sparse", other="dense")

    return PLAINLY(c, attend=mixer, sees=lambda c: kimi_layers(c, sub), experts=experts_beside_one, feeds=feeds, tie=None)


def bailing_mixer(c: Config, word: str) -> Tree:
    """Delta attention with full gates, or latent attention with one gate a head.

    The class moves `head_dim` to `linear_head_dim` and puts the rotary dims in its place, so that a config it has
    written states both.
    """
    if word == "linear":
        return delta_attention(
            c.optional("linear_num_heads") or c.size("num_attention_heads"),
            c.optional("linear_head_dim") or c.size("head_dim"),
            c.optional("linear_conv_kernel_dim") or c.size("short_conv_kernel_size"),
            decay="bounded" if c.flag("kda_safe_gate", True) else "softplus",
        )
    made = latent(c, gate_proj="head", gate_wide=True, names={"gate_proj": "g_proj"})
    return {key: value for key, value in made.items() if key != "q_rank"}


def bailing_hybrid(c: Config) -> Tree:
    """Ling 3 (Inclusion AI 2026). Its head is never tied; the layers that predict further tokens are left out."""

    return PLAINLY(
        c,
        attend=bailing_mixer,
        sees=partial(mixers, key="layer_group_size"),
        experts=experts_beside_one,
        feeds=partial(FIRST_DENSE, words="mlp_layer_types"),
        tie=None,
    )


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "qwen3_next": QWEN3_NEXT,
    "qwen3_5_text": QWEN3_5,
    "qwen3_5_moe_text": QWEN3_5_MOE,
    "qwen3_5": QWEN_IMAGES,
    "qwen3_5_moe": QWEN_IMAGES,
    "olmo_hybrid": olmo_hybrid,
    "minimax": partial(decoder, layout=MINIMAX, attend=minimax_mixer, experts=OF_ITS_SIZE, sees=minimax_mixers),
    "kimi_linear": kimi_linear,
    "bailing_hybrid": bailing_hybrid,
}
