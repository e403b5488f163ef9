"""Inkling: short convolutions around every block, and position biases that each token mixes for itself."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.mixtures import SPARSE, mixture
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
    window_size,
)

MIXERS = {"hybrid": "global", "hybrid_sliding": "local"}


def sights(c: Config) -> list[str]:
    """As listed, else windows in the layers of `local_layer_ids`, else but for each layer that ends a period of six."""
    local = c.sizes("local_layer_ids") if c.listed("local_layer_ids") is not None else None

    def usual(index: int) -> str:
        return "local" if (index in local if local is not None else (index + 1) % 6) else "global"

    return per_layer(c, "layer_types", MIXERS, usual, other="global")


def heads(c: Config, sight: str) -> tuple[int, int, int]:
    """Heads, KV heads and head_dim; windowed layers have their own."""
    prefix = "swa_" if sight == "local" else ""
    return c.size(f"{prefix}num_attention_heads"), c.size(f"{prefix}num_key_value_heads"), c.size(f"{prefix}head_dim")


def convolution(c: Config, path: str, channels: int | None = None, dynamic: int | None = None) -> Tree:
    """The reference computes it, and keeps its state, in fp32."""
    return tree(
        kind="causal_convolution", path=path, channels=channels, kernel=c.size("conv_kernel_size"), heads=dynamic, state_dtype="fp32"
    )


def attention(c: Config, sight: str, **fields: object) -> Tree:
    number, kv_heads, head_dim = heads(c, sight)
    return tree(
        kind="attention",
        path="self_attn",
        heads=number,
        kv_heads=kv_heads,
        head_dim=head_dim,
        window=window_size(c) if sight == "local" else None,
        dropout=rate(c, "attention_dropout"),
    ) | tree(**fields)


def beside_attention(c: Config, sight: str, *, dynamic: bool = False) -> Tree:
    """The convolutions of keys and values, and the biases: profiles over distance, mixed by each token for each head."""
    number, kv_heads, head_dim = heads(c, sight)
    size, reach = c.size("d_rel"), c.size("sliding_window") if sight == "local" else c.size("rel_extent")
    taps = kv_heads if dynamic else None
    return {
        "key_convolution": convolution(c, "self_attn.k_sconv", kv_heads * head_dim, taps),
        "value_convolution": convolution(c, "self_attn.v_sconv", kv_heads * head_dim, taps),
        "bias_mix": tree(kind="dense", path="self_attn.r_proj", outputs=number * size, bias=False, component="attention"),
        "bias_profiles": tree(kind="tensor", path="self_attn.rel_logits_proj.proj", shape=[size, reach], component="attention"),
    }


def experts(c: Config, activation: str, size: int) -> Tree:
    """Experts beside shared ones, which the router scores too; each shared expert's matrices are stacked."""
    count, shared, width = c.size("num_experts"), c.zero_or("n_shared_experts"), c.size("hidden_size")
    expert = {"size": size, "activation": activation}
    visited = c.optional("num_experts_per_tok")
    parts: Tree = {
        "router": tree(kind="dense", path="mlp.gate", outputs=count + shared, bias=False, component="router"),
        "router_scale": tree(kind="tensor", path="mlp.gate.global_scale", shape=[1], component="router"),
        "feed_forward": {"kind": "experts", "path": "mlp", "count": count, "visited": visited, "expert": expert, "router": None},
    }
    for name, shape in (("gate", [shared, size, width]), ("up", [shared, size, width]), ("down", [shared, width, size])):
        if shared:
            path = f"mlp.shared_experts.{name}_proj"
            parts[f"shared_{name}"] = tree(kind="tensor", path=path, shape=shape, component="shared_experts")
    return parts


def dense(activation: str, size: int) -> Tree:
    """A gated network whose output one number scales."""
    return {
        "feed_forward": tree(kind="feed_forward", path="mlp", size=size, activation=activation),
        "scale": tree(kind="tensor", path="mlp.global_scale", shape=[1], component="feed_forward"),
    }


def whole(c: Config, layers: Tree, **extra: Tree) -> Tree:
    """The decoder; its token table has a norm, its head is never tied."""
    before = {"embedding_norm": rms("embed_tokens.embed_norm")} | extra
    return document(c, decoder_parts(c, layers, rms("norm"), extra=before, tie=None))


def inkling(c: Config) -> Tree:
    """Inkling (Thinking Machines 2026). Layers that predict further tokens are left out by the reference.

    Checkpoints with `dense_intermediate_size` call the experts' size `intermediate_size`.
    """
    activation = plain_activation(c, "hidden_act", "silu")
    inner = c.optional("dense_intermediate_size")
    size, expert = (inner, c.size("intermediate_size")) if inner else (c.size("intermediate_size"), c.size("moe_intermediate_size"))
    first = c.optional("dense_mlp_idx", least=0) or 0
    feeds = per_layer(c, "mlp_layer_types", SPARSE, lambda index: "dense" if index < first else "sparse", other="dense")

    def build(sight: str, feed: str) -> Tree:
        return {
            "norm_1": rms("input_layernorm"),
            "attention": attention(c, sight, qk_norm="head"),
            **beside_attention(c, sight),
            "convolution_1": convolution(c, "attn_sconv"),
            "norm_2": rms("post_attention_layernorm"),
            **(experts(c, activation, expert) if feed == "sparse" else dense(activation, size)),
            "convolution_2": convolution(c, "mlp_sconv"),
            "flow": ["norm_1 attention convolution_1 +", "norm_2 feed_forward convolution_2 +"],
        }

    return whole(c, layered("layers.{}", [sights(c), feeds], build))


def inkling2(c: Config) -> Tree:
    """Inkling 2 (Thinking Machines 2026): each block attends over what earlier ones gave, by a query of its own."""
    width = c.size("hidden_size")
    plain_activation(c, "hidden_act", "silu")

    def query(path: str, number: int = 1) -> Tree:
        return tree(kind="tensor", path=f"{path}.query", shape=[width] if number == 1 else [number, width])

    def build(sight: str, place: str) -> Tree:
        number, _, head_dim = heads(c, sight)
        full = sight == "global"
        norms = {f"norm_{letter}": rms(f"{letter}_input_layernorm") for letter in "qkv"} if full else {"norm_1": rms("input_layernorm")}
        clips = {"query_clip": ("q_l2_clip", head_dim), "bias_clip": ("rel_l2_clip", c.size("d_rel"))}
        return {
            **({"attention_input": query("attention_input", 3 if full else 1)} if place == "later" else {}),
            **norms,
            "attention": attention(c, sight, gate_proj="full"),
            **beside_attention(c, sight, dynamic=full),
            "sinks": tree(kind="dense", path="self_attn.sink_proj", outputs=number, bias=False, component="attention"),
            **{
                name: tree(kind="tensor", path=f"self_attn.{path}.scale", shape=[number, size], component="norm")
                for name, (path, size) in clips.items()
            },
            "convolution_1": convolution(c, "post_attention_convolution"),
            "network_input": query("mlp_input"),
            "norm_2": rms("post_attention_layernorm"),
            "feed_forward": mixture(c),
            "convolution_2": convolution(c, "post_mlp_convolution"),
            "flow": [f"{'norm_q' if full else 'norm_1'} attention convolution_1 +", "norm_2 feed_forward convolution_2 +"],
        }

    places = ["first", *["later"] * (depth(c) - 1)]
    return whole(c, layered("layers.{}", [sights(c), places], build), final_input=query("final_input"))


FAMILIES: dict[str, Callable[[Config], Tree]] = {"inkling_text": inkling, "inkling2_text": inkling2}
