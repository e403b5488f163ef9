"""Detection by words: Grounding DINO and MM Grounding DINO."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.boxes import BOX, perceptron
from paramcalc.gate.families.deformable import maps, sampled
from paramcalc.gate.families.dual import bert_text, dense
from paramcalc.gate.families.nesting import nested, rooted
from paramcalc.gate.families.recipes import Tree, document, layer_norm, stack, tree, under
from paramcalc.gate.families.segmenters import widths
from paramcalc.gate.families.vision import refuse, token


def attending(path: str, width: int, heads: int) -> Tree:
    """Attention under BERT's names."""
    names = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "out_proj"}
    return {"kind": "attention", "path": path, "heads": heads, "head_dim": max(1, width // heads), "bias": True, "names": names}


def network(c: Config, size: int) -> Tree:
    activation = c.text("activation_function", "relu")
    about = tree(kind="feed_forward", size=size, gated=False, bias=True, activation=activation)
    return about | {"path": "", "names": {"up_proj": "fc1", "down_proj": "fc2"}}


def encoding(c: Config, width: int) -> Tree:
    """A layer of the encoder: maps and words attend to each other, then words to words and pixels to a few pixels."""
    size, heads = c.size("encoder_ffn_dim"), c.size("encoder_attention_heads")
    half, places = max(1, size // 2), c.size("num_feature_levels") * c.size("encoder_n_points")
    fusion: Tree = {"path": "fusion_layer"}
    for name in ("vision", "text"):
        fusion[f"{name}_scale"] = token(f"{name}_param", width)
        fusion[f"{name}_norm"] = layer_norm(f"layer_norm_{name}")
        fusion[f"{name}_query"] = dense(f"attn.{name}_proj", width, half, component="attention")
        fusion[f"{name}_value"] = dense(f"attn.values_{name}_proj", width, half, component="attention")
        fusion[f"{name}_output"] = dense(f"attn.out_{name}_proj", half, width, component="attention")
    words = {
        "path": "text_enhancer_layer",
        "attention": attending("self_attn", width, max(1, heads // 2)),
        "norm_1": layer_norm("layer_norm_before"),
        "feed_forward": network(c, half),
        "norm_2": layer_norm("layer_norm_after"),
    }
    pixels = {
        "path": "deformable_layer",
        "attention": {"kind": "group", **sampled("self_attn", width, heads, places)},
        "norm_1": layer_norm("self_attn_layer_norm"),
        "feed_forward": network(c, size),
        "norm_2": layer_norm("final_layer_norm"),
    }
    return {"fusion": fusion, "words": words, "pixels": pixels}


def decoding(c: Config, width: int) -> Tree:
    """A layer of the decoder: queries attend to each other, to the words, and to a few pixels."""
    heads, places = c.size("decoder_attention_heads"), c.size("num_feature_levels") * c.size("decoder_n_points")
    return {
        "attention": attending("self_attn", width, heads),
        "norm_1": layer_norm("self_attn_layer_norm"),
        "text_attention": attending("encoder_attn_text", width, heads) | {"source": width},
        "text_norm": layer_norm("encoder_attn_text_layer_norm"),
        "pixel_attention": {"kind": "group", **sampled("encoder_attn", width, heads, places)},
        "pixel_norm": layer_norm("encoder_attn_layer_norm"),
        "feed_forward": network(c, c.size("decoder_ffn_dim")),
        "norm_2": layer_norm("final_layer_norm"),
    }


def sides(c: Config, width: int, levels: int) -> Tree:
    """Both backbones, and what carries their features into the width."""
    part, text = c.part("backbone_config", "swin"), c.part("text_config", "bert")
    read = widths(part)
    parts = nested(part, "backbone", "backbone.conv_encoder.model", task="backbone", tower="vision", cache=False)
    text.serves = "base"
    words = bert_text(text, pooled=False)
    about = {"path": "text_backbone", "width": words["width"], "cache": False, "tower": "text"}
    parts["text"] = about | rooted(words["parts"], "text_backbone")
    inputs = maps(c, read, levels)
    parts |= {name: step | {"path": "input_proj_vision.{}.{}"} for name, step in inputs.items()}
    return parts | {"text_projection": dense("text_projection", text.size("hidden_size"), width)}


def shift(path: str) -> Tree:
    """One number that is added to how much a query and a word are alike."""
    return token(path) | {"type": "bias"}


def grounding_dino(c: Config) -> Tree:
    """Grounding DINO (Liu et al. 2023), and MM Grounding DINO (Zhao et al. 2024)."""
    width, levels, number = c.size("hidden_size"), c.size("num_feature_levels"), c.size("num_queries")
    staged = c.flag("two_stage", True) or c.model_type == "mm-grounding-dino"  # which knows no other way
    layers, dims = c.size("decoder_layers"), c.size("query_dim")
    parts = sides(c, width, levels)
    parts["levels"] = token("level_embed", levels, width)
    if c.flag("embedding_init_target", True) or not staged:
        parts["queries"] = {"kind": "embedding", "vocabulary": number, "size": width, "path": "query_position_embeddings"}
    encoder = stack("encoder.layers.{}", {"layer": encoding(c, width)}, f"{c.size('encoder_layers')} layer", cache=False)
    decoder: Tree = {"path": "decoder", "cache": False, "tokens": number}
    decoder["layers"] = stack("layers.{}", {"layer": decoding(c, width)}, f"{layers} layer")
    decoder["norm"] = layer_norm("layer_norm")
    decoder["reference"] = perceptron("reference_points_head", max(1, dims // 2) * width, width, width, 2)
    if c.architecture().endswith("ForObjectDetection"):
        shared = {"stored": 1} if c.flag("decoder_bbox_embed_share", True) and layers > 1 else {}
        decoder["boxes"] = perceptron("bbox_embed.{}", width, width, BOX) | {"tower": "head", "repeat": layers} | shared
        if c.model_type == "mm-grounding-dino":
            decoder["classes"] = {"path": "class_embed.{}", "tower": "head", "repeat": layers, "shift": shift("bias"), **shared}
    elif c.task("base") != "base":
        refuse(c)
    parts |= {"encoder": encoder, "decoder": decoder}
    if staged:
        parts |= {"proposals": dense("enc_output", width, width), "proposals_norm": layer_norm("enc_output_norm")}
        if c.model_type == "mm-grounding-dino":
            parts["proposed_classes"] = shift("encoder_output_class_embed.bias")
        parts["proposed_boxes"] = perceptron("encoder_output_bbox_embed", width, width, BOX)
    else:
        parts["places"] = {"kind": "embedding", "vocabulary": number, "size": BOX, "path": "reference_points"}
    parts = under("model.", {name: rooted(part, "model") for name, part in parts.items()}) if "boxes" in decoder else parts
    return document(c, parts, width=width, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"grounding-dino": grounding_dino, "mm-grounding-dino": grounding_dino}
