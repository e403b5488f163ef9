"""EVA, EVA-02, the Perception Encoder, DINOv3 and RoPE-ViT: vision transformers with rotary positions (Fang et al. 2023, 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.options import Options
from paramcalc.gate.networks.pieces import classes, vector
from paramcalc.gate.networks.tokens import attention, feed_forward, grid, normed, patches, pooled, prefixed
from paramcalc.model.order import order_of


@dataclass(frozen=True, kw_only=True)
class Eva(Options):
    model_cls: Literal["Eva"] = "Eva"
    img_size: int | tuple[int, int] = 224
    patch_size: int | tuple[int, int] = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    num_kv_heads: int | tuple[int, ...] | None = None
    """For all layers, or for each."""
    qkv_bias: bool = True
    qkv_fused: bool = True
    qk_norm: bool = False
    mlp_ratio: float = 4.0
    swiglu_mlp: bool = False
    swiglu_align_to: int = 0
    """What the size of a gated network is rounded up to a multiple of."""
    scale_mlp: bool = False
    scale_attn_inner: bool = False
    """Norms before the last projection of the feed-forward network and of attention (Wang et al. 2022)."""
    attn_type: Literal["eva", "rope"] = "eva"
    """Where projections have biases, `eva` leaves out that of keys."""
    init_values: float | None = None
    attn_only_layer_scale: bool = False
    class_token: bool = True
    num_reg_tokens: int = 0
    no_embed_class: bool = False
    use_abs_pos_emb: bool = True
    use_rot_pos_emb: bool = False
    rope_type: Literal["cat", "mixed", "dinov3"] = "cat"
    """Frequencies are learned only where they are `mixed` (Heo et al. 2024)."""
    rope_temperature: float = 10000.0
    rope_rotate_half: bool = False
    rope_rescale_coords: float | None = None
    rope_grid_indexing: str = "ij"
    rope_grid_offset: float = 0.0
    ref_feat_shape: int | tuple[int, ...] | None = None
    use_post_norm: bool = False
    use_pre_transformer_norm: bool = False
    use_post_transformer_norm: bool | None = None
    use_fc_norm: bool | None = None
    global_pool: Literal["", "avg", "avgmax", "max", "token", "map"] = "avg"
    attn_pool_num_heads: int | None = None
    attn_pool_mlp_ratio: float | None = None
    norm_layer: Literal["LayerNorm", "RmsNorm", "rmsnorm"] = "LayerNorm"
    head_init_scale: float = 0.001


def attending(o: Eva, kv_heads: int) -> Tree:
    """Attention with its own biases: tensors beside the fused matrix, or those of the projections."""
    width, rope = o.embed_dim, o.attn_type == "rope"
    about: Tree = {"rotary": True} if o.use_rot_pos_emb else {}
    bias = ["q", "k", "v"] if rope else ["q", "v"]
    if o.qkv_fused and not rope:
        bias = []
    about["bias"] = [*(bias if o.qkv_bias else ()), "o"]
    if not o.qkv_fused:
        about |= {"fused": None, "kv_heads": kv_heads or None, "names": {"o_proj": "proj"}}
    if o.qk_norm:
        about |= {"qk_norm": "head"} | ({"qk_norm_type": "layer", "qk_norm_bias": True} if o.norm_layer == "LayerNorm" else {})
    parts: Tree = {"attention": attention("attn", width, o.num_heads, **about)}
    if o.qkv_fused and not rope and o.qkv_bias:
        parts |= {f"{name}_bias": vector(f"attn.{name}_bias", width, type="bias", component="attention") for name in "qv"}
    if o.scale_attn_inner:
        parts["attention_norm"] = normed(o.norm_layer, "attn.norm", width)
    return parts


def widening(o: Eva) -> Tree:
    size, aligned = int(o.embed_dim * o.mlp_ratio), o.swiglu_align_to
    if not o.swiglu_mlp:
        parts: Tree = {"feed_forward": feed_forward("mlp", size)}
    elif o.scale_mlp or (aligned and not o.use_post_norm):
        size += -size % aligned if aligned else 0
        parts = {"feed_forward": feed_forward("mlp", size, form="SwiGLU")}
    else:
        parts = {"feed_forward": feed_forward("mlp", 2 * size, form="GluMlp")}
    return parts | ({"inner_norm": normed(o.norm_layer, "mlp.norm", size)} if o.scale_mlp else {})


def layer(o: Eva, kv_heads: int) -> Tree:
    """A pre-norm layer with gains at the end of its branches, or one whose norms close these."""
    first, second = (normed(o.norm_layer, f"norm{index}", o.embed_dim) for index in (1, 2))
    if o.use_post_norm:
        parts = attending(o, kv_heads) | {"norm_1": first} | widening(o) | {"norm_2": second}
        return parts | {"flow": ["attention norm_1 +", "feed_forward norm_2 +"]}
    scaled = o.init_values is not None
    parts = {"norm_1": first} | attending(o, kv_heads) | ({"scale_1": vector("gamma_1", o.embed_dim)} if scaled else {})
    parts |= {"norm_2": second} | widening(o)
    both = scaled and not o.attn_only_layer_scale
    parts |= {"scale_2": vector("gamma_2", o.embed_dim)} if both else {}
    return parts | {"flow": [f"norm_1 attention{' scale_1' * scaled} +", f"norm_2 feed_forward{' scale_2' * both} +"]}


def layers(o: Eva) -> tuple[Tree, str]:
    """Kinds of layers, by their key and value heads where these differ, and their order."""
    each = o.num_kv_heads
    if not isinstance(each, tuple):
        return {"layer": layer(o, each or 0)}, f"{o.depth} layer"
    if len(each) != o.depth:
        raise ValueError(f"num_kv_heads names {len(each)} layers, but depth is {o.depth}")
    return {f"heads_{heads}": layer(o, heads) for heads in dict.fromkeys(each)}, order_of([f"heads_{heads}" for heads in each])


def network(o: Eva) -> Tree:
    width, rows = o.embed_dim, grid(o.img_size, o.patch_size)
    tokens = (1 if o.class_token else 0) + o.num_reg_tokens
    parts: Tree = {"patches": patches(o.in_chans, width, o.patch_size, bias=not o.use_pre_transformer_norm)}
    placed = rows + (0 if o.no_embed_class else tokens)
    prefix: Tree = {"class_token": o.class_token, "registers": o.num_reg_tokens}
    parts = prefixed(parts, width, **prefix, positions=placed, tables=o.use_abs_pos_emb)
    if o.use_rot_pos_emb and o.rope_type == "mixed":
        frequencies = vector("rope.freqs", 2, o.depth, o.num_heads, width // max(1, o.num_heads) // 2)
        parts["frequencies"] = frequencies | {"component": "position_embedding"}
    if o.use_pre_transformer_norm:
        parts["norm_pre"] = normed(o.norm_layer, "norm_pre", width)
    kinds, order = layers(o)
    parts["blocks"] = {"path": "blocks.{}", "width": width, "tokens": max(1, rows + tokens), "kinds": kinds, "order": order}
    behind = o.use_fc_norm if o.use_fc_norm is not None else o.global_pool == "avg"
    if o.use_post_transformer_norm if o.use_post_transformer_norm is not None else not behind:
        parts["norm"] = normed(o.norm_layer, "norm", width)
    if o.global_pool == "map":
        parts["pool"] = pooled(width, o.attn_pool_num_heads or o.num_heads, o.attn_pool_mlp_ratio or o.mlp_ratio, o.norm_layer)
    if behind:
        parts["fc_norm"] = normed(o.norm_layer, "fc_norm", width)
    return parts | classes(o.num_classes, width, "head")


DEFAULT = Eva()
