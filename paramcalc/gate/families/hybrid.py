"""Decoders that mix state spaces with attention: Jamba, Bamba, Falcon-H1, Granite 4, Nemotron-H."""

from __future__ import annotations

from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import (
    Tree,
    decoder_parts,
    depth,
    document,
    layered,
    per_layer,
    plain_activation,
    rate,
    rms,
    tree,
)
from paramcalc.gate.families.recurrent import auto, step_rank

MIXERS = {"linear_attention": "mamba2", "mamba": "mamba2", "full_attention": "attention", "attention": "attention"}
"""The reference's words for what mixes tokens in a layer (`mamba` and `attention` are its older ones), and ours."""


def attention(c: Config, *, own_dim: bool = True, **fields: Any) -> Tree:
    """Attention with split projections; the dim of a head is stated, else width / heads rounded down."""
    heads, width = c.size("num_attention_heads"), c.size("hidden_size")
    return tree(
        kind="attention",
        path="self_attn",
        heads=heads,
        kv_heads=c.optional("num_key_value_heads"),
        head_dim=(c.optional("head_dim") if own_dim else None) or max(1, width // heads),
        dropout=rate(c, "attention_dropout"),
    ) | tree(**fields)


def gated(c: Config, path: str = "feed_forward", **fields: Any) -> Tree:
    return tree(
        kind="feed_forward", path=path, size=c.size("intermediate_size"), activation=plain_activation(c, "hidden_act", "silu")
    ) | tree(**fields)


def mamba2(c: Config, inner: int, *, path: str = "mamba", **fields: Any) -> Tree:
    """Mamba-2's mixer from the keys that start with `mamba_`, with `inner` channels."""
    heads = c.size("mamba_n_heads")
    head_dim = auto(c, "mamba_d_head", max(1, inner // heads))
    if heads * head_dim != inner and not c.root.problems:
        c.fail("mamba_n_heads", f"({heads}) times mamba_d_head ({head_dim}) is not the mixer's {inner} channels")
    bias = c.flag("mamba_proj_bias")
    return tree(
        kind="mamba2",
        path=path,
        heads=heads,
        head_dim=head_dim,
        state=c.size("mamba_d_state"),
        groups=c.size("mamba_n_groups"),
        kernel=c.size("mamba_d_conv"),
        bias=bias or None,
        conv_bias=c.flag("mamba_conv_bias", True),
        activation=c.text("hidden_act", "silu"),
        chunk=c.optional("mamba_chunk_size"),
    ) | tree(**fields)


def layer(mixers: Tree, feed: Tree, second: str = "pre_ff_layernorm") -> Tree:
    """A pre-norm layer around one mixer, or several side by side."""
    mix = " | ".join(mixers)
    flow = [f"norm_1 {mix} +" if len(mixers) == 1 else f"norm_1 ({mix}) +"]
    after = " | ".join(feed)
    flow += [f"norm_2 {after} +" if len(feed) == 1 else f"norm_2 ({after}) +"]
    return {"norm_1": rms("input_layernorm"), **mixers, "norm_2": rms(second), **feed, "flow": flow}


def jamba(c: Config) -> Tree:
    """Jamba (Lieber et al. 2024): an attention layer in every period of Mamba layers, experts in every other layer."""
    width, layers = c.size("hidden_size"), depth(c)
    many = c.size("num_experts")

    def stands(what: str, index: int) -> bool:
        return index % c.size(f"{what}_layer_period") == (c.optional(f"{what}_layer_offset", least=0) or 0)

    for what in ("attn", "expert"):
        if not c.root.problems and (c.optional(f"{what}_layer_offset", least=0) or 0) >= c.size(f"{what}_layer_period"):
            c.fail(f"{what}_layer_offset", f"must be smaller than {what}_layer_period")
    mixers = ["attention" if stands("attn", index) else "mamba" for index in range(layers)]
    feeds = ["sparse" if many > 1 and stands("expert", index) else "dense" for index in range(layers)]

    def mamba() -> Tree:
        return tree(
            kind="mamba",
            path="mamba",
            inner=c.size("mamba_expand") * width,
            state=c.size("mamba_d_state"),
            kernel=c.size("mamba_d_conv"),
            rank=step_rank(c, "mamba_dt_rank"),
            bias=c.flag("mamba_proj_bias") or None,
            conv_bias=c.flag("mamba_conv_bias", True),
            inner_norms=True,
            activation=c.text("hidden_act", "silu"),
            names={"dt_norm": "dt_layernorm", "b_norm": "b_layernorm", "c_norm": "c_layernorm"},
        )

    def build(mixer: str, feed: str) -> Tree:
        expert = {"size": c.size("intermediate_size")}
        experts = tree(kind="experts", path="feed_forward", count=many, visited=c.size("num_experts_per_tok"), expert=expert)
        return layer(
            {mixer: mamba() if mixer == "mamba" else attention(c)},
            {"experts": experts} if feed == "sparse" else {"feed_forward": gated(c)},
        )

    stack = layered("layers.{}", [mixers, feeds], build)
    return document(c, decoder_parts(c, stack, rms("final_layernorm")))


def bamba(c: Config) -> Tree:
    """Bamba (IBM et al. 2024): Mamba-2, with attention in the layers of `attn_layer_indices`."""
    attending = set(c.sizes("attn_layer_indices"))
    mixers = ["attention" if index in attending else "mamba2" for index in range(depth(c))]

    def build(mixer: str) -> Tree:
        block = (
            mamba2(c, c.size("mamba_expand") * c.size("hidden_size"))
            if mixer == "mamba2"
            else attention(c, bias=c.flag("attention_bias") or None, rotary=True)
        )
        return layer({mixer: block}, {"feed_forward": gated(c, bias=c.flag("mlp_bias") or None)})

    return document(c, decoder_parts(c, layered("layers.{}", [mixers], build), rms("final_layernorm")))


def falcon_h1(c: Config) -> Tree:
    """Falcon-H1 (Zuo et al. 2025): Mamba-2 and attention side by side in every layer."""
    inner = c.optional("mamba_d_ssm") or c.size("mamba_expand") * c.size("hidden_size")
    c.ignore("mamba_expand")
    enters, leaves = c.flag("mamba_proj_bias"), c.flag("projectors_bias")
    bias = enters if enters == leaves else ["in"] if enters else ["out"]
    gate: Tree = {"norm": c.flag("mamba_rms_norm"), "norm_first": c.flag("mamba_norm_before_gate", True) or None}
    mixers = {
        "mamba2": mamba2(c, inner, scaled=True, **gate) | tree(bias=bias),
        "attention": attention(c, bias=c.flag("attention_bias") or None, rotary=True, scaled=True),
    }
    feed = {"feed_forward": gated(c, bias=c.flag("mlp_bias") or None, scaled=True)}
    stack = layered("layers.{}", [["layer"] * depth(c)], lambda _: layer(mixers, feed))
    return document(c, decoder_parts(c, stack, rms("final_layernorm")))


def granite_hybrid(c: Config) -> Tree:
    """Granite 4 (IBM 2025): Mamba-2 or attention, then experts beside a network that every token visits."""
    experts = c.zero_or("num_experts")
    shared = c.zero_or("shared_intermediate_size")
    activation = plain_activation(c, "hidden_act", "silu")
    feed: Tree = {}
    if experts:
        expert = {"size": c.size("intermediate_size"), "activation": activation}
        feed["experts"] = tree(path="block_sparse_moe", count=experts, visited=c.size("num_experts_per_tok"), expert=expert)
    if shared:
        feed["feed_forward"] = tree(
            path="shared_mlp",
            size=shared,
            fused=True,
            activation=activation,
            component="shared_experts" if experts else None,
            names={"gate_up_proj": "input_linear", "down_proj": "output_linear"},
        )
    rotary = c.text("position_embedding_type") == "rope" or None

    def build(mixer: str) -> Tree:
        block = (
            mamba2(c, c.size("mamba_expand") * c.size("hidden_size"))
            if mixer == "mamba2"
            else attention(c, bias=c.flag("attention_bias") or None, rotary=rotary)
        )
        return layer({mixer: block}, feed, "post_attention_layernorm")

    mixers = per_layer(c, "layer_types", MIXERS, lambda _: "mamba2")
    return document(c, decoder_parts(c, layered("layers.{}", [mixers], build), rms("norm")))


NEMOTRON = {**MIXERS, "moe": "experts", "mlp": "feed_forward"}
PATTERN = {"M": "mamba2", "*": "attention", "-": "feed_forward", "E": "experts"}
"""The letters of `hybrid_override_pattern`."""


def nemotron_layers(c: Config) -> list[str]:
    """What each layer is: from the list, else from the older pattern of letters, else one of each."""
    pattern = c.text("hybrid_override_pattern")
    stated = c.listed("layer_types")
    c.ignore("num_hidden_layers")
    if stated is None and pattern:
        if unknown := [letter for letter in pattern if letter not in PATTERN]:
            c.fail("hybrid_override_pattern", f"expected the letters {' '.join(PATTERN)}; got {unknown[0]!r}")
        return [PATTERN.get(letter, "mamba2") for letter in pattern]
    words = ["linear_attention", "moe", "full_attention", "mlp"] if stated is None else stated
    if not words or (unknown := [word for word in words if not isinstance(word, str) or word not in NEMOTRON]):
        c.fail("layer_types", f"expected {', '.join(NEMOTRON)}; got {unknown[0] if words else words!r:.60}")
        return ["mamba2"]
    return [NEMOTRON[word] for word in words]


def nemotron_block(c: Config, word: str) -> Tree:
    """The parts of a layer of Nemotron-H: one block and, around latent experts, their projections."""
    activation = plain_activation(c, "mlp_hidden_act", "relu2")
    bias = c.flag("mlp_bias") or None
    if word == "attention":
        return {word: attention(c, path="mixer")}
    if word == "feed_forward":
        return {word: tree(path="mixer", size=c.size("intermediate_size"), gated=False, bias=bias, activation=activation)}
    if word == "experts":
        return nemotron_experts(c, activation, bias)
    mixer = tree(
        path="mixer",
        heads=c.size("mamba_num_heads"),
        head_dim=c.size("mamba_head_dim"),
        state=c.size("ssm_state_size"),
        groups=c.size("n_groups"),
        kernel=c.size("conv_kernel"),
        bias=c.flag("use_bias") or None,
        conv_bias=c.flag("use_conv_bias", True),
        activation=c.text("mamba_hidden_act", "silu"),
        chunk=c.optional("chunk_size"),
    )
    return {word: mixer}


def nemotron_experts(c: Config, activation: str, bias: bool | None) -> Tree:
    """Experts without gates, on the stream or on a latent of it, beside shared ones on the stream."""
    latent = c.optional("moe_latent_size")
    experts = tree(
        path="mixer",
        count=c.size("num_experts"),
        visited=c.size("num_experts_per_tok"),
        inputs=latent,
        expert={"size": c.size("moe_intermediate_size"), "gated": False, "activation": activation},
        shared=tree(size=c.size("moe_shared_expert_intermediate_size"), gated=False, bias=bias, activation=activation),
        names={"router": "gate", "shared_expert": "shared_experts"},
    )
    if not latent:
        return {"experts": experts}
    down = tree(kind="dense", path="mixer.fc1_latent_proj", outputs=latent, bias=bool(bias), component="experts")
    up = tree(kind="dense", path="mixer.fc2_latent_proj", inputs=latent, bias=bool(bias), component="experts")
    return {"latent_in": down, "experts": experts, "latent_out": up}


def nemotron_h(c: Config) -> Tree:
    """Nemotron-H (NVIDIA 2025): every layer is one norm and one block. Its head is never tied, and the reference leaves
    the layers that predict further tokens out."""
    c.also("n_groups", "mamba_n_groups")
    c.also("conv_kernel", "mamba_d_conv")
    c.also("use_conv_bias", "mamba_conv_bias")

    def build(word: str) -> Tree:
        parts = nemotron_block(c, word)
        return {"norm_1": rms("norm", narrow=True), **parts, "flow": [f"norm_1 {' '.join(parts)} +"]}

    stack = layered("layers.{}", [nemotron_layers(c)], build)
    return document(c, decoder_parts(c, stack, rms("norm_f"), embed="embeddings", tie=None))


FAMILIES: dict[str, Any] = {
    "jamba": jamba,
    "bamba": bamba,
    "falcon_h1": falcon_h1,
    "granitemoehybrid": granite_hybrid,
    "nemotron_h": nemotron_h,
}
