"""Pieces of transformers over patches under timm's names."""

from __future__ import annotations

from typing import Any

from paramcalc.gate.families.recipes import Tree, tree
from paramcalc.gate.networks.pieces import vector

ACTIVATIONS = {"gelu_tanh": "gelu_pytorch_tanh", "quick_gelu": "quick_gelu", "silu": "silu", "SiLU": "silu", "relu": "relu"}


def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """Height and width from one number for both, or two."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def normed(name: str, path: str, size: int) -> Tree:
    """A norm by the name that timm has for it."""
    return {"kind": "norm", "type": "rms" if name.lower().startswith("rms") else "layer", "path": path, "size": size}


def patches(inputs: int, width: int, patch: int | tuple[int, ...], *, bias: bool = True, path: str = "patch_embed.proj") -> Tree:
    """A convolution over patches that do not overlap."""
    sides = list(pair(patch))
    about = tree(path=path, inputs=inputs, outputs=width, kernel=sides, stride=sides, bias=bias or False)
    return {"kind": "convolution", "component": "embedding"} | about


def grid(image: int | tuple[int, ...], patch: int | tuple[int, ...]) -> int:
    """How many whole patches an image has."""
    (height, width), (rows, columns) = pair(image), pair(patch)
    return (height // max(1, rows)) * (width // max(1, columns))


def prefixed(parts: Tree, width: int, *, class_token: bool, registers: int, positions: int, tables: bool = True) -> Tree:
    """Patches, with tokens in front of them, and a table of positions where there is one."""
    if class_token:
        parts["cls_token"] = vector("cls_token", 1, 1, width)
    if registers:
        parts["reg_token"] = vector("reg_token", 1, registers, width)
    if tables:
        parts["position"] = {"rows": positions, "size": width, "bare": True, "path": "pos_embed"}
    return parts


def attention(path: str, width: int, heads: int, **fields: Any) -> Tree:
    """Attention over all tokens through one matrix for queries, keys and values, unless told otherwise."""
    about = {"kind": "attention", "path": path, "heads": max(1, heads), "head_dim": max(1, width // max(1, heads)), "fused": "qkv"}
    return tree(**(about | {"names": {"qkv_proj": "qkv", "o_proj": "proj"}} | fields))


def feed_forward(path: str, size: int, *, activation: str = "gelu", form: str = "Mlp", bias: bool = True) -> Tree:
    """Plain, gated (`SwiGLU`, Shazeer 2020), or gated through one matrix of both halves (`GluMlp`, of twice the size)."""
    about: Tree = {"kind": "feed_forward", "path": path, "size": size, "bias": bias}
    if form == "Mlp":
        return about | {"gated": False, "activation": ACTIVATIONS.get(activation, "gelu"), "names": {"up_proj": "fc1", "down_proj": "fc2"}}
    if form == "SwiGLU":
        return about | {"gated": True, "activation": "silu", "names": {"gate_proj": "fc1_g", "up_proj": "fc1_x", "down_proj": "fc2"}}
    names = {"gate_up_proj": "fc1", "down_proj": "fc2"}
    return about | {"size": max(1, size // 2), "gated": True, "fused": True, "activation": "silu", "names": names}


def pooled(width: int, heads: int, ratio: float, norm: str, activation: str = "gelu") -> Tree:
    """Attention of one learned query to all tokens (SigLIP, Zhai et al. 2023), with a feed-forward network behind it."""
    about = attention("", width, heads, bias=True, fused="kv", source=width, names={"q_proj": "q", "kv_proj": "kv", "o_proj": "proj"})
    return {
        "path": "attn_pool",
        "width": width,
        "latent": vector("latent", 1, 1, width),
        "attention": about,
        "norm": normed(norm, "norm", width),
        "feed_forward": feed_forward("mlp", int(width * ratio), activation=activation),
    }
