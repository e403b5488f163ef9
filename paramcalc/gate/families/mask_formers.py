"""Segmentation by queries that each find a mask and its class: MaskFormer, Mask2Former."""

from __future__ import annotations

from collections.abc import Callable
from math import log2

from paramcalc.gate.config import Config
from paramcalc.gate.families.clip import TORCH_ATTENTION
from paramcalc.gate.families.deformable import sampled
from paramcalc.gate.families.detr import DETR, attention, crossing
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.maps import convolution
from paramcalc.gate.families.nesting import nested, told
from paramcalc.gate.families.recipes import POST_NORM, Tree, document, labels, layer_norm, rate, stack, tree, under
from paramcalc.gate.families.segmenters import widths
from paramcalc.gate.families.vision import refuse, token

LEVELS, PLACES = 3, 4
"""Maps that Mask2Former's encoder reads, and places that a head reads of each, fixed in the reference's code."""
MOST_LEVELS = 32


def normed(name: str, path: str, inputs: int, outputs: int, side: int = 1, *, bias: bool = False) -> Tree:
    """A convolution and its group norm."""
    norm = {"kind": "norm", "type": "group", "path": path, "size": outputs}
    return {name: convolution(path, inputs, outputs, side, bias=bias), f"{name}_norm": norm}


def encoder(c: Config) -> tuple[Tree, list[int]]:
    """The backbone under its name, and the widths of its maps; MaskFormer reads a Swin as one of its own."""
    part = c.part("backbone_config", "swin")
    if c.model_type == "maskformer" and part.model_type == "swin":
        part.model_type = "maskformer-swin"
        told(part, out_features=[f"stage{index}" for index in (1, 2, 3, 4)], out_indices=None)
    maps = widths(part)
    return nested(part, "backbone", "pixel_level_module.encoder", task="backbone"), maps


def mask_embedder(path: str, width: int, outputs: int) -> Tree:
    """Three dense layers from a query to what its mask is told by."""
    sizes = [width, width, width, outputs]
    layers = {f"layer_{index}": dense(f"{path}.{{}}.{{}}", sizes[index], sizes[index + 1]) for index in range(3)}
    return {"mask_embedder": {"path": "", "tower": "head", **layers}}


def classified(c: Config, parts: Tree, width: int, masks: Tree) -> Tree:
    """The model alone, or with what says each query's class."""
    if c.architecture().endswith(("ForInstanceSegmentation", "ForUniversalSegmentation")):
        parts = under("model.", parts) | {"classes": dense("class_predictor", width, labels(c) + 1, component="head")} | masks
    elif c.task("base") != "base":
        refuse(c)
    return document(c, parts, width=width, cache=False)


def maskformer(c: Config) -> Tree:
    """MaskFormer (Cheng et al. 2021): a feature pyramid for pixels, DETR's decoder for queries."""
    words, fine, size = c.part("decoder_config", "detr"), c.size("fpn_feature_size"), c.size("mask_feature_size")
    words.ignore("backbone_config")
    width = words.size("hidden_size")
    parts, maps = encoder(c)
    pixels = normed("stem", "fpn.stem.{}", maps[-1], fine, 3)
    for index, read in enumerate(reversed(maps[:-1]), 1):
        pixels |= normed(f"lateral_{index}", "fpn.layers.{}.proj.{}", read, fine)
        pixels |= normed(f"fine_{index}", "fpn.layers.{}.block.{}", fine, fine, 3)
    parts["pixels"] = {"path": "pixel_level_module.decoder", **pixels, "masks": convolution("mask_projection", fine, size, 3)}
    own = {"attention": attention(words, DETR, "decoder", "self_attn")}
    cross = {"cross_attention": attention(words, DETR, "decoder", "encoder_attn", source=width)}
    layers = {"layer": crossing(words, DETR, own, cross)}
    decoder: Tree = {"path": "transformer_module", "width": width, "tokens": words.size("num_queries")}
    decoder["queries"] = {"kind": "embedding", "vocabulary": words.size("num_queries"), "path": "queries_embedder"}
    if maps[-1] != width:
        decoder["input"] = convolution("input_projection", maps[-1], width, component="projection")
    decoder["layers"] = stack("decoder.layers.{}", layers, f"{words.size('decoder_layers')} layer")
    parts["decoder"] = decoder | {"norm": layer_norm("decoder.layernorm")}
    return classified(c, parts, width, mask_embedder("mask_embedder", width, size))


def pixel_decoder(c: Config, maps: list[int]) -> Tree:
    """Deformable attention over the coarse maps, then a pyramid up to the finest one that is asked for."""
    width, size = c.size("feature_size"), c.size("mask_feature_size")
    strides, finest = c.sizes("feature_strides", least=1) or [1], c.size("common_stride")
    activation, heads = c.text("activation_function", "relu"), c.size("num_attention_heads")
    feed = {"path": "", "size": c.size("encoder_feedforward_dim"), "gated": False, "bias": True, "activation": activation}
    layer = {
        "attention": {"kind": "group", **sampled("self_attn", width, heads, LEVELS * PLACES)},
        "norm_1": layer_norm("self_attn_layer_norm"),
        "feed_forward": feed | {"names": {"up_proj": "fc1", "down_proj": "fc2"}},
        "norm_2": layer_norm("final_layer_norm"),
        "flow": POST_NORM,
    }
    parts: Tree = {"path": "pixel_level_module.decoder", "width": width, "levels": token("level_embed", LEVELS, width)}
    for index, read in enumerate(reversed(maps[-LEVELS:]), 1):
        parts |= normed(f"input_{index}", "input_projections.{}.{}", read, width, bias=True)
    parts["layers"] = stack("encoder.layers.{}", {"layer": layer}, f"{c.size('encoder_layers')} layer")
    parts["masks"] = convolution("mask_projection", width, size)
    finer = int(log2(min(strides[-LEVELS:])) - log2(finest))
    for index, read in enumerate(maps[: max(0, min(finer, MOST_LEVELS))], 1):
        parts |= normed(f"lateral_{index}", f"adapter_{index}.{{}}", read, width)
        parts |= normed(f"fine_{index}", f"layer_{index}.{{}}", width, width, 3)
    return parts


def mask2former(c: Config) -> Tree:
    """Mask2Former (Cheng et al. 2022): queries attend to the pixels of their masks."""
    width, read, activation = c.size("hidden_size"), c.size("feature_size"), c.text("activation_function", "relu")
    heads = c.size("num_attention_heads")
    about = tree(heads=heads, head_dim=max(1, width // heads), bias=True, dropout=rate(c, "dropout"))
    feed = {"path": "", "size": c.size("dim_feedforward"), "gated": False, "bias": True, "activation": activation}
    layer = {
        "attention": {"path": "self_attn", **about, "names": {"o_proj": "out_proj"}},
        "norm_1": layer_norm("self_attn_layer_norm"),
        "cross_attention": {"kind": "attention", "path": "cross_attn", **about, "fused": "qkv", "names": TORCH_ATTENTION},
        "norm_cross": layer_norm("cross_attn_layer_norm"),
        "feed_forward": feed | {"names": {"up_proj": "fc1", "down_proj": "fc2"}},
        "norm_2": layer_norm("final_layer_norm"),
    }
    layers = c.size("num_hidden_layers")
    parts, maps = encoder(c)
    parts["pixels"] = pixel_decoder(c, maps)
    queries = {"kind": "embedding", "vocabulary": c.size("num_queries")}
    decoder: Tree = {"path": "transformer_module", "width": width, "tokens": c.size("num_queries")}
    decoder |= {"queries": queries | {"path": "queries_embedder"}, "features": queries | {"path": "queries_features"}}
    if read != width or c.flag("enforce_input_projection"):
        into = convolution("input_projections.{}", read, width, component="projection")
        decoder["inputs"] = {"kind": "group", "path": "", "repeat": LEVELS, "projection": into}
    if layers > 1:
        decoder["layers"] = stack("decoder.layers.{}", {"layer": layer}, f"{layers - 1} layer")
    decoder["norm"] = layer_norm("decoder.layernorm")
    decoder |= mask_embedder("decoder.mask_predictor.mask_embedder", width, c.size("mask_feature_size"))
    decoder["levels"] = {"kind": "embedding", "vocabulary": LEVELS, "path": "level_embed"}
    return classified(c, parts | {"decoder": decoder}, width, {})


FAMILIES: dict[str, Callable[[Config], Tree]] = {"mask2former": mask2former, "maskformer": maskformer}
