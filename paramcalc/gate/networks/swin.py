"""Swin (Liu et al. 2021) and Swin V2 (Liu et al. 2022): attention within windows, in stages that merge four patches into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from paramcalc.gate.families.recipes import Tree, stack
from paramcalc.gate.networks.options import Options, Pool
from paramcalc.gate.networks.pieces import classes, vector
from paramcalc.gate.networks.tokens import attention, feed_forward, normed, pair, patches

POSITION_MLP = 512
"""Hidden size of the network that turns a distance into V2's bias, fixed in the reference's code."""
NORM = "LayerNorm"


@dataclass(frozen=True, kw_only=True)
class Swin(Options):
    model_cls: Literal["SwinTransformer", "SwinTransformerV2"] = "SwinTransformer"
    img_size: int | tuple[int, int] = 224
    patch_size: int | tuple[int, int] = 4
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int | tuple[int, ...] = 7
    """For all stages, or for each."""
    pretrained_window_sizes: tuple[int, ...] = (0, 0, 0, 0)
    always_partition: bool = False
    """Whether a window may be larger than the map."""
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    global_pool: Pool = "avg"


def layer(o: Swin, width: int, heads: int, window: tuple[int, int]) -> Tree:
    """Pre-norm, and a table of biases by the distance within a window."""
    about: dict[str, Any] = {"chunk": window[0] * window[1], "bias": [*("q" if o.qkv_bias else ""), "o"]}
    rows = (2 * window[0] - 1) * (2 * window[1] - 1)
    return {
        "norm_1": normed(NORM, "norm1", width),
        "relative": vector("attn.relative_position_bias_table", rows, heads, component="position_embedding"),
        "attention": attention("attn", width, heads, **about),
        "norm_2": normed(NORM, "norm2", width),
        "feed_forward": feed_forward("mlp", int(width * o.mlp_ratio)),
        "flow": ["norm_1 attention +", "norm_2 feed_forward +"],
    }


def layer_2(o: Swin, width: int, heads: int, window: tuple[int, int]) -> Tree:
    """Norms behind each block, cosine attention with a scale for each head, biases from a network; keys have no bias."""
    about: Tree = {"kind": "dense", "path": "attn.cpb_mlp.{}", "component": "position_embedding"}
    biases = {f"{name}_bias": vector(f"attn.{name}_bias", width, type="bias", component="attention") for name in "qv"}
    return {
        "logit_scale": vector("attn.logit_scale", heads, 1, 1, component="attention"),
        "relative_up": about | {"inputs": 2, "outputs": POSITION_MLP},
        "relative_down": about | {"inputs": POSITION_MLP, "outputs": heads, "bias": False},
        "attention": attention("attn", width, heads, bias=["o"], chunk=window[0] * window[1]),
        **(biases if o.qkv_bias else {}),
        "norm_1": normed(NORM, "norm1", width),
        "feed_forward": feed_forward("mlp", int(width * o.mlp_ratio)),
        "norm_2": normed(NORM, "norm2", width),
        "flow": ["attention norm_1 +", "feed_forward norm_2 +"],
    }


def merged(width: int, second: bool) -> Tree:
    """Four patches into one of twice the width, normalised before (V2: behind) the matrix."""
    norm = normed(NORM, "downsample.norm", 2 * width if second else 4 * width)
    matrix = {"kind": "dense", "path": "downsample.reduction", "inputs": 4 * width, "outputs": 2 * width, "bias": False}
    return {"merge": matrix, "merge_norm": norm} if second else {"merge_norm": norm, "merge": matrix}


def network(o: Swin) -> Tree:
    second = o.model_cls == "SwinTransformerV2"
    parts: Tree = {"patches": patches(o.in_chans, o.embed_dim, o.patch_size)}
    parts["patches_norm"] = normed(NORM, "patch_embed.norm", o.embed_dim)
    sides = pair(o.patch_size)
    size = tuple(max(1, whole // max(1, side)) for whole, side in zip(pair(o.img_size), sides, strict=True))
    count = len(o.depths)
    windows = o.window_size if isinstance(o.window_size, tuple) and len(o.window_size) == count else (o.window_size,) * count
    width = o.embed_dim
    for index, (number, heads, window) in enumerate(zip(o.depths, o.num_heads, windows, strict=True)):
        group: Tree = {"path": "layers.{}"}
        if index:
            group |= {"down": {"path": "", **merged(width, second)}}
            width, size = 2 * width, tuple((side + 1) // 2 for side in size)
        sees = pair(window) if o.always_partition else tuple(min(side, most) for side, most in zip(size, pair(window), strict=True))
        blocks = (layer_2 if second else layer)(o, width, heads, (sees[0], sees[1]))
        group["blocks"] = stack("blocks.{}", {"layer": blocks}, f"{number} layer")
        parts[f"stage_{index + 1}"] = group | {"width": width, "tokens": size[0] * size[1]}
    parts["norm"] = normed(NORM, "norm", width)
    return parts | classes(o.num_classes, width)


DEFAULT = Swin()
