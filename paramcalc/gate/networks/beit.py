"""BEiT (Bao et al. 2022) and BEiT v2 (Peng et al. 2022): vision transformers with biases by distance in each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paramcalc.gate.families.recipes import Tree, stack
from paramcalc.gate.networks.options import Options
from paramcalc.gate.networks.pieces import classes, vector
from paramcalc.gate.networks.tokens import attention, feed_forward, grid, normed, pair, patches, prefixed

NORM = "LayerNorm"
APART = 3
"""Distances from and to the class token, and its own."""


@dataclass(frozen=True, kw_only=True)
class Beit(Options):
    model_cls: Literal["Beit"] = "Beit"
    img_size: int | tuple[int, int] = 224
    patch_size: int | tuple[int, int] = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    qkv_bias: bool = True
    """Keys have none."""
    mlp_ratio: float = 4.0
    init_values: float | None = None
    use_abs_pos_emb: bool = True
    use_rel_pos_bias: bool = False
    use_fc_norm: bool | None = None
    global_pool: Literal["", "avg", "token"] = "avg"
    head_init_scale: float = 0.001


def layer(o: Beit) -> Tree:
    width, (rows, columns) = o.embed_dim, (side // max(1, patch) for side, patch in zip(pair(o.img_size), pair(o.patch_size), strict=True))
    parts: Tree = {"norm_1": normed(NORM, "norm1", width), "attention": attention("attn", width, o.num_heads, bias=["o"])}
    if o.qkv_bias:
        parts |= {f"{name}_bias": vector(f"attn.{name}_bias", width, type="bias", component="attention") for name in "qv"}
    if o.use_rel_pos_bias:
        distances = (2 * rows - 1) * (2 * columns - 1) + APART
        parts["relative"] = vector("attn.relative_position_bias_table", distances, o.num_heads, component="position_embedding")
    scaled = bool(o.init_values)
    parts |= {"scale_1": vector("gamma_1", width)} if scaled else {}
    parts |= {"norm_2": normed(NORM, "norm2", width), "feed_forward": feed_forward("mlp", int(width * o.mlp_ratio))}
    parts |= {"scale_2": vector("gamma_2", width)} if scaled else {}
    return parts | {"flow": [f"norm_1 attention{' scale_1' * scaled} +", f"norm_2 feed_forward{' scale_2' * scaled} +"]}


def network(o: Beit) -> Tree:
    width, rows = o.embed_dim, grid(o.img_size, o.patch_size) + 1
    parts: Tree = {"patches": patches(o.in_chans, width, o.patch_size)}
    parts = prefixed(parts, width, class_token=True, registers=0, positions=rows, tables=o.use_abs_pos_emb)
    parts["blocks"] = stack("blocks.{}", {"layer": layer(o)}, f"{o.depth} layer", width=width, tokens=rows)
    behind = o.global_pool == "avg" if o.use_fc_norm is None else o.use_fc_norm
    parts["norm"] = normed(NORM, "fc_norm" if behind else "norm", width)
    return parts | classes(o.num_classes, width, "head")


DEFAULT = Beit()
