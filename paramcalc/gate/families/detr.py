"""Detectors that find objects by queries: DETR, Table Transformer, Conditional DETR, DAB-DETR, Deformable DETR."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.boxes import BOX, perceptron
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.nesting import whole
from paramcalc.gate.families.pyramid import kept
from paramcalc.gate.families.recipes import (
    POST_NORM,
    PRE_NORM,
    Tree,
    document,
    labels,
    layer_norm,
    learned_activation,
    rate,
    stack,
    tree,
    under,
)
from paramcalc.gate.families.timm import frozen, kept_stages, maps
from paramcalc.gate.families.vision import refuse

PLACES = 50
"""Rows and columns of learned positions, fixed in the reference's code."""


FINER = 3
"""Maps of the backbone that make masks finer."""


class Style(NamedTuple):
    """How such a detector differs from DETR by its names and norms."""

    backbone: str = "backbone.model"
    o: str = "o_proj"
    mlp: str = "mlp"
    """The module of the feed-forward network; nothing where its layers stand in the layer itself."""
    pre_norm: bool = False
    unwrapped: bool = True
    """Whether the names of timm's backbone leave out the wrapper's."""


DETR = Style()
TABLE = Style(backbone="backbone.conv_encoder.model", o="out_proj", mlp="", pre_norm=True)
DAB = Style(backbone="backbone.conv_encoder.model", o="out_proj", mlp="", unwrapped=False)


def convolutions(c: Config, style: Style, *, indices: tuple[int, ...] = (1, 2, 3, 4)) -> tuple[Tree, list[int]]:
    """The backbone, and the widths of the maps it gives out: a ResNet of timm's unless the config holds another."""
    about = {"path": style.backbone, "tower": "vision", "cache": False}
    if not c.holds("backbone_config"):
        if c.value("use_timm_backbone") is False or c.value("backbone_kwargs"):
            return plain_resnet(c.part("backbone_config", "resnet"), about)
        c.ignore("dilation", "use_pretrained_backbone")
        parts, widths = maps(c, "backbone", channels=c.optional("num_channels") or 3)
        given = list(indices)
    else:
        part = c.part("backbone_config")
        c.ignore("num_channels", "dilation", "backbone", "use_timm_backbone", "backbone_kwargs", "use_pretrained_backbone")
        if part.model_type != "timm_backbone":
            return plain_resnet(part, about)
        given = kept_stages(part)
        part.ignore("features_only", "output_stride", "use_pretrained_backbone", "freeze_batch_norm_2d")
        parts, widths = maps(part, "backbone", channels=part.size("num_channels"), kept=max(given))
    parts = frozen(parts)
    parts = parts if style.unwrapped else under("_backbone.", parts)
    return {"backbone": about | {"width": widths[0]} | parts}, [widths[index] for index in given]


def plain_resnet(part: Config, about: Tree) -> tuple[Tree, list[int]]:
    """This library's own ResNet, which the reference freezes."""
    if part.model_type != "resnet":
        part.fail("model_type", f"a backbone of the type {part.model_type!r:.40} is not modelled, only timm's and resnet")
        return {}, [1]
    if part.value("out_features") is None and part.value("out_indices") is None:
        part.given = {**part.given, "out_features": ["stage4"]}
    made = whole(part, "backbone")
    widths = [part.size("embedding_size"), *part.sizes("hidden_sizes", least=1)]
    group = about | {"width": made["width"], "trainable": False}
    return {"backbone": group | frozen(made["parts"])}, [widths[index] for index in kept(part, len(widths) - 1)]


def positions(c: Config) -> Tree:
    """Tables of rows and columns, where positions are learned."""
    if c.choice("position_embedding_type", ("sine", "learned"), "sine") == "sine":
        return {}
    about = {"kind": "embedding", "vocabulary": PLACES, "size": max(1, c.size("d_model") // 2), "component": "position_embedding"}
    return {name: about | {"path": f"position_embedding.{name}_embeddings"} for name in ("row", "column")}


def attention(c: Config, style: Style, side: str, path: str, **fields: Any) -> Tree:
    number, width = c.size(f"{side}_attention_heads"), c.size("hidden_size")
    names = {"o_proj": style.o} if style.o != "o_proj" else None
    about = tree(path=path, heads=number, head_dim=max(1, width // number), bias=True, dropout=rate(c, "attention_dropout"), names=names)
    return {"kind": "attention"} | about | fields


def network(c: Config, style: Style, side: str) -> Tree:
    activation = c.text("activation_function", "relu")
    feed = {
        "kind": "feed_forward", "path": style.mlp, "size": c.size(f"{side}_ffn_dim"), "gated": False, "bias": True,
        "activation": activation, "names": {"up_proj": "fc1", "down_proj": "fc2"},
    }  # fmt: skip
    return {"feed_forward": feed} | learned_activation(activation, f"{style.mlp}.activation_fn" if style.mlp else "activation_fn")


def reading(c: Config, style: Style, attend: Tree | None = None) -> Tree:
    """The encoder over the map's pixels."""
    layer = {
        "norm_1": layer_norm("self_attn_layer_norm"),
        "attention": attend or attention(c, style, "encoder", "self_attn"),
        "norm_2": layer_norm("final_layer_norm"),
        **network(c, style, "encoder"),
        "flow": PRE_NORM if style.pre_norm else POST_NORM,
    }
    made: Tree = {"layers": stack("encoder.layers.{}", {"layer": layer}, f"{c.size('encoder_layers')} layer", cache=False)}
    return made | ({"encoder_norm": layer_norm("encoder.layernorm")} if style.pre_norm else {})


def crossing(c: Config, style: Style, own: Tree, cross: Tree) -> Tree:
    """A decoder's layer: queries attend to each other, then to the pixels. `own` and `cross` hold these attentions."""
    if style.pre_norm:
        flow = ["norm_1 attention +", "norm_cross cross_attention +", "norm_2 feed_forward +"]
    else:
        flow = ["attention + norm_1", "cross_attention + norm_cross", "feed_forward + norm_2"]
    return {
        **own,
        "norm_1": layer_norm("self_attn_layer_norm"),
        **cross,
        "norm_cross": layer_norm("encoder_attn_layer_norm"),
        **network(c, style, "decoder"),
        "norm_2": layer_norm("final_layer_norm"),
        "flow": flow,
    }


def decoding(c: Config, layers: Tree, more: Tree | None = None) -> Tree:
    """The decoder over queries."""
    return {"decoder": {"path": "decoder", "cache": False, "tokens": c.size("num_queries"), "layers": layers, **(more or {})}}


def queries(c: Config, width: int, path: str = "query_position_embeddings") -> Tree:
    return {"queries": {"kind": "embedding", "vocabulary": c.size("num_queries"), "size": width, "path": path}}


def projection(c: Config, inputs: int) -> Tree:
    about = {"kind": "convolution", "path": "input_projection", "inputs": inputs, "kernel": [1, 1], "component": "projection"}
    return {"input": about | {"outputs": c.size("hidden_size")}}


def found(c: Config, parts: Tree, heads: Callable[[], Tree], widths: list[int] | None = None) -> Tree:
    """The model alone, or with what says which object each query found and where, and, of maps of these `widths`, its mask."""
    named = c.architecture()
    if named.endswith("ForObjectDetection"):
        parts = under("model.", parts) | heads()
    elif named.endswith("ForSegmentation") and widths:
        parts = under(f"{c.model_type}.", under("model.", parts) | heads()) | masks(c, widths)
    elif c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def masks(c: Config, widths: list[int]) -> Tree:
    """DETR's masks: how much each query attends to each pixel, made finer by the backbone's maps."""
    width, number = c.size("hidden_size"), c.size("encoder_attention_heads")
    about = {"path": "bbox_attention", "tower": "head"}
    maps = about | {name: dense(f"{name}_proj", width, width, component="attention") for name in ("q", "k")}
    if len(widths) < FINER:
        c.fail("backbone_config", f"expected {FINER} maps or more to make masks from")
        widths = [1] * FINER
    read, parts = width + number, {"path": "mask_head", "tower": "head"}

    def block(path: str, inputs: int, outputs: int) -> Tree:
        conv = {"kind": "convolution", "path": "conv", "inputs": inputs, "outputs": outputs, "kernel": [3, 3]}
        return {"path": path, "convolution": conv, "norm": {"kind": "norm", "type": "group", "path": "norm", "size": outputs}}

    made: Tree = {"convolution_1": block("conv1", read, read), "convolution_2": block("conv2", read, max(1, width // 2))}
    for index, size in enumerate([*reversed(widths)][-FINER:], 1):
        inner, outputs = max(1, width // 2**index), max(1, width // 2 ** (index + 1))
        adapt = {"kind": "convolution", "path": "fpn_stages.{}.fpn_adapter", "inputs": size, "outputs": inner, "kernel": [1, 1]}
        made |= {f"adapt_{index}": adapt, f"refine_{index}": block("fpn_stages.{}.refine", inner, outputs)}
    last = {"kind": "convolution", "path": "output_conv", "inputs": max(1, width // 2 ** (FINER + 1)), "outputs": 1, "kernel": [3, 3]}
    return {"masks": parts | made | {"output": last}, "maps": maps}


def detr(c: Config, style: Style = DETR) -> Tree:
    """DETR (Carion et al. 2020), and the Table Transformer (Smock et al. 2022), which is pre-norm."""
    width = c.size("hidden_size")
    backbone, widths = convolutions(c, style)
    own = {"attention": attention(c, style, "decoder", "self_attn")}
    cross = {"cross_attention": attention(c, style, "decoder", "encoder_attn", source=width)}
    layer = crossing(c, style, own, cross)
    parts = backbone | projection(c, widths[-1]) | queries(c, width) | positions(c) | reading(c, style)
    layers = stack("layers.{}", {"layer": layer}, f"{c.size('decoder_layers')} layer")
    parts |= decoding(c, layers, {"norm": layer_norm("layernorm")})
    c.ignore("num_channels")

    def heads() -> Tree:
        return {
            "classes": dense("class_labels_classifier", width, labels(c) + 1, component="head"),
            "boxes": perceptron("bbox_predictor", width, width, BOX) | {"tower": "head"},
        }

    return found(c, parts, heads, widths if style is DETR else None)


def placed_attention(c: Config, path: str, words: Callable[[str], str], output: str, sorts: tuple[str, ...], **fields: Any) -> Tree:
    """Attention whose queries and keys are made from contents and from places apart; `sorts` are those of places."""
    width = c.size("hidden_size")
    names = {f"{letter}_proj": words(name) for letter, name in (("q", "query_content"), ("k", "key_content"), ("v", "value"))}
    attend = attention(c, DETR, "decoder", path, names=names | {"o_proj": output}, **fields)
    parts = {sort: dense(f"{path}.{words(sort)}", width, width, component="attention") for sort in sorts}
    prefix = "cross_" if "source" in fields else ""
    return {f"{prefix}attention": attend} | {f"{prefix}{sort}": part for sort, part in parts.items()}


def conditional_words(name: str) -> str:
    short = {"query_content": "q_content", "key_content": "k_content", "value": "v", "query_pos": "q_pos", "key_pos": "k_pos"}
    return f"{short.get(name, 'q_pos_sine')}_proj"


def conditional(c: Config) -> Tree:
    """Conditional DETR (Meng et al. 2021): where to look is said apart from what to look for; the first layer knows more."""
    width, style = c.size("hidden_size"), DETR
    backbone, widths = convolutions(c, style)
    own = placed_attention(c, "self_attn", conditional_words, "o_proj", ("query_pos", "key_pos"))
    cross = partial(placed_attention, c, "encoder_attn", conditional_words, "o_proj", source=width)
    kinds = {
        "first": crossing(c, style, own, cross(sorts=("query_pos", "key_pos", "query_pos_sine"))),
        "layer": crossing(c, style, own, cross(sorts=("key_pos", "query_pos_sine"))),
    }
    number = c.size("decoder_layers")
    layers = stack("layers.{}", kinds, f"first, {number - 1} layer" if number > 1 else "first")
    parts = backbone | projection(c, widths[-1]) | queries(c, width) | positions(c) | reading(c, style)
    more = {
        "norm": layer_norm("layernorm"),
        "query_scale": perceptron("query_scale", width, width, width, 2),
        "reference": perceptron("ref_point_head", width, width, 2, 2),
    }
    parts |= decoding(c, layers, more)
    c.ignore("num_channels")

    def heads() -> Tree:
        return {
            "classes": dense("class_labels_classifier", width, labels(c), component="head"),
            "boxes": perceptron("bbox_predictor", width, width, BOX) | {"tower": "head"},
        }

    return found(c, parts, heads, widths)


def dab_layer(c: Config, first: bool) -> Tree:
    """DAB-DETR's decoder layer, each of whose halves is a module with its norm."""
    width = c.size("hidden_size")
    own = placed_attention(c, "self_attn", lambda name: f"self_attn_{name}_proj", "self_attn.output_proj", ("query_pos", "key_pos"))
    sorts = ("query_pos", "key_pos", "query_pos_sine") if first or c.flag("keep_query_pos") else ("key_pos", "query_pos_sine")
    cross = placed_attention(
        c, "cross_attn", lambda name: f"cross_attn_{name}_proj", "cross_attn.output_proj", sorts, source=width
    )  # fmt: skip
    norms = {"norm_1": "self_attn.self_attn_layer_norm", "norm_cross": "cross_attn.cross_attn_layer_norm", "norm_2": "mlp.final_layer_norm"}
    made = crossing(c, DAB, own, cross) | network(c, DETR, "decoder")
    return made | {name: layer_norm(path) for name, path in norms.items()}


def dab(c: Config) -> Tree:
    """DAB-DETR (Liu et al. 2022): queries are boxes, which each layer moves."""
    width, sides = c.size("hidden_size"), c.size("query_dim")
    backbone, widths = convolutions(c, DAB)
    number = c.size("decoder_layers")
    kinds = {"first": dab_layer(c, True), "layer": dab_layer(c, False)}
    if c.flag("keep_query_pos"):
        layers = stack("layers.{}", {"layer": kinds["layer"]}, f"{number} layer")
    else:
        layers = stack("layers.{}", kinds, f"first, {number - 1} layer" if number > 1 else "first")
    parts = backbone | queries(c, sides, "query_refpoint_embeddings") | projection(c, widths[-1])
    parts |= {"query_scale": perceptron("encoder.query_scale", width, width, width, 2)} | reading(c, DAB)
    if c.flag("normalize_before"):
        parts["encoder_norm"] = layer_norm("encoder.norm")
    if patterns := c.zero_or("num_patterns"):
        parts["patterns"] = {"kind": "embedding", "vocabulary": patterns, "path": "patterns"}
    more = {
        "norm": layer_norm("layernorm"),
        "query_scale": perceptron("query_scale", width, width, width, 2),
        "reference": perceptron("ref_point_head", max(1, sides // 2) * width, width, width, 2),
        "anchor": perceptron("ref_anchor_head", width, width, 2, 2),
    }
    if c.architecture().endswith("ForObjectDetection"):
        more["boxes"] = perceptron("bbox_embed", width, width, BOX) | {"tower": "head"}
    parts |= decoding(c, layers, more)

    def heads() -> Tree:
        made = {"classes": dense("class_embed", width, labels(c), component="head")}
        if not c.flag("tie_word_embeddings", True):
            made["boxes"] = perceptron("bbox_predictor", width, width, BOX) | {"tower": "head"}
        return made

    return found(c, parts, heads)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "conditional_detr": conditional,
    "dab-detr": dab,
    "detr": detr,
    "table-transformer": partial(detr, style=TABLE),
}
