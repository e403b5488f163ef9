"""ZAYA1 and HRM: convolutional attention with routers that think, and two stacks that take turns."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import attention, feed_forward
from paramcalc.gate.families.recipes import (
    PRE_NORM,
    Tree,
    decoder_parts,
    depth,
    document,
    layered,
    per_layer,
    plain_activation,
    rate,
    rms,
    stack,
    tree,
)

MIXERS = {"hybrid": "global", "hybrid_sliding": "local"}


def vectors(path: str, width: int, *names: str) -> Tree:
    """Scales and shifts of the stream, bare vectors."""
    return {
        name: tree(kind="tensor", path=f"{path}{name}", shape=[width], type="bias" if name.endswith("bias") else None) for name in names
    }


def zaya_attention(c: Config, sight: str) -> Tree:
    names = {name: f"qkv_proj.{name}" for name in ("q_proj", "k_proj", "v_proj_current", "v_proj_delayed")}
    names |= {"conv_depthwise": "qkv_proj.conv_qk_depthwise", "conv_grouped": "qkv_proj.conv_qk_grouped", "temp": "qk_norm.temp"}
    return tree(
        kind="cca",
        path="self_attn",
        heads=c.size("num_attention_heads"),
        kv_heads=c.size("num_key_value_heads"),
        head_dim=c.size("head_dim"),
        kernels=[c.size("cca_time0"), c.size("cca_time1")],
        bias=c.flag("attention_bias") or None,
        window=c.size("sliding_window") if sight == "local" else None,
        rotary=True,
        dropout=rate(c, "attention_dropout"),
        names=names,
    )


def zaya_router(c: Config, place: str) -> Tree:
    """A network of its own on a latent, which looks at the last layer's; one more choice than experts: to skip them."""
    size = c.size("router_hidden_size")

    def dense(path: str, inputs: int | None, outputs: int, *, bias: bool = True) -> Tree:
        return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, bias=bias, component="router")

    parts: Tree = {
        "down": dense("down_proj", None, size),
        "norm": rms("router_mlp.norm", size=size),
        "hidden_1": dense("router_mlp.fc1", size, size),
        "hidden_2": dense("router_mlp.fc2", size, size),
        "out": dense("router_mlp.out_proj", size, c.size("num_experts") + 1, bias=False),
    }
    if place == "later":
        parts["scale"] = tree(kind="tensor", path="router_states_scale", shape=[size], component="router")
    return {"kind": "group", "path": "mlp.gate"} | parts


def zaya(c: Config) -> Tree:
    """ZAYA1 (Zyphra 2025)."""
    c.warn("a token may skip the experts: active parameters are not known")
    width = c.size("hidden_size")
    expert = {"size": c.size("moe_intermediate_size"), "activation": plain_activation(c, "hidden_act", "silu")}
    experts = {"kind": "experts", "path": "mlp", "count": c.size("num_experts"), "visited": None, "router": None, "expert": expert}
    scaling = ("hidden_states_scale", "hidden_states_bias", "residual_scale", "residual_bias")

    def build(sight: str, place: str) -> Tree:
        return {
            "norm_1": rms("input_layernorm"),
            "attention": zaya_attention(c, sight),
            "scaling_1": {"path": "post_attention_residual_scale", **vectors("", width, *scaling)},
            "norm_2": rms("post_attention_layernorm"),
            "router": zaya_router(c, place),
            "feed_forward": experts,
            "scaling_2": {"path": "post_mlp_residual_scale", **vectors("", width, *scaling)},
            "flow": PRE_NORM,
        }

    sights = per_layer(c, "layer_types", MIXERS, lambda _: "global")
    layers = layered("layers.{}", [sights, ["first", *["later"] * (depth(c) - 1)]], build)
    extra = vectors("input_hidden_states_", width, "scale", "bias")
    parts = decoder_parts(c, layers, rms("norm"), extra={f"input_{name}": part for name, part in extra.items()}, tie=True)
    if c.flag("lm_head_bias") and "head" in parts:
        parts["head"]["bias"] = True
    return document(c, parts)


def hrm(c: Config) -> Tree:
    """HRM (Wang et al. 2025) for text: in each of `H_cycles` turns the low stack runs `L_cycles` times, the high one once.

    Every run keeps keys and values of its own. Norms have no gains, and the low stack's first state is not trained. What
    the class writes as `num_hidden_layers` counts the runs; `num_layers_per_stack` is the depth.
    """
    number = c.optional("num_layers_per_stack") or c.size("num_hidden_layers")
    c.ignore("num_hidden_layers")
    turns, runs = c.size("H_cycles"), c.size("L_cycles")
    attend = attention(c, gate_proj="full")
    shift = tree(kind="tensor", path="self_attn.gate_proj.bias", shape=[attend["heads"] * attend["head_dim"]], type="bias")
    layer = {
        "norm_1": rms("input_layernorm", scale=False),
        "attention": attend,
        **({"gate_shift": shift | {"component": "attention"}} if attend.get("bias") else {}),
        "norm_2": rms("post_attention_layernorm", scale=False),
        "feed_forward": feed_forward(c),
        "flow": PRE_NORM,
    }

    def module(path: str, times: int) -> Tree:
        inner = stack("layers.{}", {"layer": layer}, f"{number} layer")
        return {"kind": "group", "path": path, "repeat": times, "stored": 1, "layers": inner}

    first = tree(kind="tensor", path="z_L_init", shape=[c.size("hidden_size")], trainable=False)
    parts = decoder_parts(c, module("L_module", turns * runs), None, extra={"state": first})
    high = module("H_module", turns)
    high["path"] = parts["layers"]["path"].replace("L_module", "H_module")
    ordered = {name: part for name, part in parts.items() if name not in ("layers", "head")}
    ordered |= {"low": parts["layers"], "high": high} | {name: part for name, part in parts.items() if name == "head"}
    return document(c, ordered)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"zaya": zaya, "hrm_text": hrm}
