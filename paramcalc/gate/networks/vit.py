"""Vision transformers (Dosovitskiy et al. 2021) and DeiT: also the encoders of CLIP, SigLIP, DINOv2, AIMv2, BEiT-3, RADIO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paramcalc.gate.families.recipes import Tree, stack
from paramcalc.gate.networks.options import Options
from paramcalc.gate.networks.pieces import classes, vector
from paramcalc.gate.networks.tokens import attention, feed_forward, grid, normed, patches, pooled, prefixed

Norm = Literal["LayerNorm", "RmsNorm", "rmsnorm"]


@dataclass(frozen=True, kw_only=True)
class VisionTransformer(Options):
    model_cls: Literal["VisionTransformer", "VisionTransformerDistilled"] = "VisionTransformer"
    """The distilled one has a token and a head more (Touvron et al. 2021)."""
    img_size: int | tuple[int, int] = 224
    patch_size: int | tuple[int, int] = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    qk_norm: bool = False
    scale_attn_norm: bool = False
    scale_mlp_norm: bool = False
    """Norms before the last projection of attention and of the feed-forward network (Wang et al. 2022)."""
    proj_bias: bool = True
    init_values: float | None = None
    """Where there is one, a gain at the end of each branch (Touvron et al. 2021b)."""
    class_token: bool = True
    pos_embed: Literal["", "none", "learn"] = "learn"
    no_embed_class: bool = False
    """Whether only patches have positions."""
    reg_tokens: int = 0
    pre_norm: bool = False
    final_norm: bool = True
    fc_norm: bool | None = None
    """Whether the final norm stands behind pooling; else so where all tokens are pooled."""
    global_pool: Literal["", "avg", "avgmax", "max", "token", "map"] = "token"
    pool_include_prefix: bool = False
    norm_layer: Norm = "LayerNorm"
    embed_norm_layer: Norm | None = None
    act_layer: str = "GELU"
    mlp_layer: Literal["Mlp", "SwiGLU", "GluMlp(act_layer=SiLU, gate_last=False)"] = "Mlp"
    block_fn: Literal["Block", "ResPostBlock", "ParallelScalingBlock", "ParallelThingsBlock"] = "Block"


def attending(o: VisionTransformer, path: str) -> Tree:
    bias = [name for name, has in (("q", o.qkv_bias), ("o", o.proj_bias)) if has]
    norms = {"qk_norm": "head", "qk_norm_type": "layer", "qk_norm_bias": True} if o.qk_norm else {}
    if o.norm_layer != "LayerNorm":
        norms = {"qk_norm": "head"} if o.qk_norm else {}
    return {"attention": attention(path, o.embed_dim, o.num_heads, bias=bias, **norms)} | (
        {"attention_norm": normed(o.norm_layer, f"{path}.norm", o.embed_dim)} if o.scale_attn_norm else {}
    )


def widening(o: VisionTransformer, path: str) -> Tree:
    size = int(o.embed_dim * o.mlp_ratio)
    feed = feed_forward(path, size, activation=o.act_layer, form=o.mlp_layer.partition("(")[0], bias=o.proj_bias)
    return {"feed_forward": feed} | ({"inner_norm": normed(o.norm_layer, f"{path}.norm", size)} if o.scale_mlp_norm else {})


def scale(o: VisionTransformer, path: str) -> Tree:
    return {"scale": vector(f"{path}.gamma", o.embed_dim)} if o.init_values else {}


def layer(o: VisionTransformer) -> Tree:
    """A pre-norm layer, or one whose norms close its branches."""
    last = o.block_fn == "ResPostBlock"
    gain, marked = ({} if last else scale(o, "ls1")), " scale_1" if o.init_values and not last else ""
    parts: Tree = {"norm_1": normed(o.norm_layer, "norm1", o.embed_dim)} | attending(o, "attn")
    parts |= {"scale_1": gain["scale"]} if gain else {}
    parts |= {"norm_2": normed(o.norm_layer, "norm2", o.embed_dim)} | widening(o, "mlp")
    parts |= {"scale_2": scale(o, "ls2")["scale"]} if gain else {}
    if last:
        return parts | {"flow": ["attention norm_1 +", "feed_forward norm_2 +"]}
    return parts | {"flow": [f"norm_1 attention{marked} +", f"norm_2 feed_forward{marked.replace('1', '2')} +"]}


def scaling_layer(o: VisionTransformer) -> Tree:
    """ViT-22B's (Dehghani et al. 2023): one matrix into both branches, which read the same norm."""
    width, size = o.embed_dim, int(o.embed_dim * o.mlp_ratio)
    into = {"kind": "dense", "path": "in_proj", "inputs": width, "outputs": size + 3 * width, "bias": o.qkv_bias}
    parts: Tree = {"norm": normed(o.norm_layer, "in_norm", width), "into": into | {"component": "attention"}}
    if not o.qkv_bias:
        parts["inner_bias"] = vector("mlp_bias", size, type="bias", component="feed_forward")
    if o.qk_norm:
        parts |= {f"{name}_norm": normed(o.norm_layer, f"{name}_norm", width // max(1, o.num_heads)) for name in "qk"}
    for name, read, component in (("attn", width, "attention"), ("mlp", size, "feed_forward")):
        about = {"kind": "dense", "path": f"{name}_out_proj", "inputs": read, "outputs": width, "bias": o.proj_bias}
        parts[f"{component}_out"] = about | {"component": component}
    return parts | scale(o, "ls")


def twofold_layer(o: VisionTransformer) -> Tree:
    """Two attentions side by side, then two feed-forward networks (Touvron et al. 2022)."""
    first = {"norm": normed(o.norm_layer, "norm", o.embed_dim)} | attending(o, "attn") | scale(o, "ls")
    second = {"norm": normed(o.norm_layer, "norm", o.embed_dim)} | widening(o, "mlp") | scale(o, "ls")
    return {"attentions": {"path": "attns.{}", "repeat": 2} | first, "networks": {"path": "ffns.{}", "repeat": 2} | second}


LAYERS = {"ParallelScalingBlock": scaling_layer, "ParallelThingsBlock": twofold_layer}


def network(o: VisionTransformer) -> Tree:
    width, distilled = o.embed_dim, o.model_cls == "VisionTransformerDistilled"
    tokens = (1 if o.class_token else 0) + o.reg_tokens + (1 if distilled else 0)
    rows = grid(o.img_size, o.patch_size)
    parts: Tree = {"patches": patches(o.in_chans, width, o.patch_size, bias=not o.pre_norm)}
    if o.embed_norm_layer:
        parts["patches_norm"] = normed(o.embed_norm_layer, "patch_embed.norm", width)
    placed = rows + (0 if o.no_embed_class and not distilled else tokens)
    positions = o.pos_embed == "learn" or distilled
    parts = prefixed(parts, width, class_token=o.class_token, registers=o.reg_tokens, positions=placed, tables=positions)
    if distilled:
        parts["dist_token"] = vector("dist_token", 1, 1, width)
    if o.pre_norm:
        parts["norm_pre"] = normed(o.norm_layer, "norm_pre", width)
    kinds = {"layer": LAYERS.get(o.block_fn, layer)(o)}
    parts["blocks"] = stack("blocks.{}", kinds, f"{o.depth} layer", width=width, tokens=max(1, rows + tokens))
    behind = o.global_pool in ("avg", "avgmax", "max") if o.fc_norm is None else o.fc_norm
    if o.final_norm and not behind:
        parts["norm"] = normed(o.norm_layer, "norm", width)
    if o.global_pool == "map":
        parts["pool"] = pooled(width, o.num_heads, o.mlp_ratio, o.norm_layer, o.act_layer)
    if o.final_norm and behind:
        parts["fc_norm"] = normed(o.norm_layer, "fc_norm", width)
    parts |= classes(o.num_classes, width, "head")
    return parts | ({"head_dist": classes(o.num_classes, width, "head_dist")["head"]} if distilled and o.num_classes else {})


DEFAULT = VisionTransformer()
