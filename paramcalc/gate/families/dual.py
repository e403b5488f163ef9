"""Pairs of an encoder of text and one of images or videos that are of other families than CLIP's: ALIGN, AltCLIP and more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import Style, encoder, layer, pooler
from paramcalc.gate.families.clip import clip, layers, text_encoder, vision_encoder
from paramcalc.gate.families.mobile import efficientnet
from paramcalc.gate.families.nesting import nested, told, tower, whole
from paramcalc.gate.families.recipes import POST_NORM, Tree, document, layer_norm, stack, tree, under
from paramcalc.gate.families.vision import CLIP, attention, encoder_layer, feed_forward, refuse, token
from paramcalc.gate.families.vit import dinov2

BERT = Style(base="", cross=False)
PARTS = {"Text": "text_config", "Vision": "vision_config", "Video": "vision_config"}


def dense(path: str, inputs: int, outputs: int, **fields: Any) -> Tree:
    return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, **fields)


def bert_text(c: Config, *, pooled: bool) -> Tree:
    """BERT without a head; with a pooler where it stands alone or the class around it asks for one."""
    parts = encoder(c, BERT, layer(c, BERT))
    if pooled:
        parts |= pooler("pooler.dense")
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def chinese_text(c: Config) -> Tree:
    """Chinese CLIP's text side (Yang et al. 2022), which has no pooler inside of the pair."""
    return bert_text(c, pooled=c.serves is None or c.architecture().endswith("TextModel"))


def roberta_text(c: Config) -> Tree:
    """AltCLIP's text side (Chen et al. 2022): XLM-RoBERTa, a norm, and a projection of the first token."""
    parts = under("roberta.", encoder(c, BERT, layer(c, BERT), path="encoder.layers.{}"))
    parts["norm"] = layer_norm("pre_LN")
    parts["transformation"] = dense("transformation", c.size("hidden_size"), c.size("project_dim"))
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def placeless_text(c: Config) -> Tree:
    """TIPS v2's text side: CLIP's with fixed sinusoids for positions."""
    parts: Tree = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embeddings.token_embedding"},
        "layers": layers(c),
        "norm": layer_norm("final_layer_norm"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def pair(c: Config, projections: Callable[[Config, Config, int], Tree], *, scale: str = "logit_scale", video: bool = False) -> Tree:
    """Both encoders, their `projections` into the shared space, and the `scale` of the scores."""
    text, vision, named = c.part("text_config"), c.part("vision_config"), c.architecture()
    for word, key in PARTS.items():
        if any(f"{word}{kind}" in named for kind in ("Model", "Backbone")):  # such a class takes its part of the config alone
            part = text if key == "text_config" else vision
            told(part, architectures=[named])
            return whole(part, "video" if word == "Video" else part.task("base"))
    if c.task("base") != "base":
        refuse(c)
    parts = nested(text, "text", "text_model") | (
        tower(vision, "vision", "video_model", task="video") if video else tower(vision, "vision", "vision_model")
    )
    parts |= projections(text, vision, c.optional("projection_dim") or 1)
    parts |= {"logit_scale": token(scale)} if scale else {}
    return document(c, parts, width=parts["text"]["width"], context=text.optional("max_position_embeddings"), cache=False)


def both(text: Config, vision: Config, size: int, *, key: str = "hidden_size") -> Tree:
    return {
        "vision_projection": dense("visual_projection", vision.size("hidden_size"), size, bias=False),
        "text_projection": dense("text_projection", text.size(key), size, bias=False),
    }


def one(text: Config, _: Config, size: int) -> Tree:
    """ALIGN (Jia et al. 2021): the text alone goes through a projection."""
    return {"text_projection": dense("text_projection", text.size("hidden_size"), size)}


def none(*_: Any) -> Tree:
    return {}


def clipseg(c: Config) -> Tree:
    """CLIPSeg (Lüddecke & Ecker 2022): CLIP; the class that segments has a small decoder of some of its layers' patches."""
    if not c.architecture().endswith("ForImageSegmentation"):
        return clip(c)
    c.serves = "base"
    inner, vision = clip(c), c.part("vision_config")
    shared, width, small, side = c.size("projection_dim"), vision.size("hidden_size"), c.size("reduce_dim"), vision.size("patch_size")
    depth = len(c.sizes("extract_layers"))
    heads, size = c.size("decoder_num_attention_heads"), c.size("decoder_intermediate_size")
    attend = attention(vision, CLIP, heads=heads, head_dim=max(1, small // heads))
    block = encoder_layer(CLIP, attend, feed_forward(vision, CLIP, size=size, activation="relu")) | {"flow": POST_NORM}
    decoder: Tree = {
        "path": "decoder",
        "width": small,
        "film_mul": dense("film_mul", shared, small),
        "film_add": dense("film_add", shared, small),
        "reduce": {"path": "reduces.{}", "repeat": max(1, depth), "dense": dense("", width, small)},
        "layers": stack("layers.{}", {"layer": block}, f"{max(1, depth)} layer"),
        **upscaling(c, small, side),
    }
    return inner | {"parts": under("clip.", inner["parts"]) | {"decoder": decoder}}


def upscaling(c: Config, small: int, side: int) -> Tree:
    """From patches to pixels: one transposed convolution, or a convolution and two of them."""
    step = {"kind": "convolution", "path": "transposed_convolution", "inputs": small, "outputs": 1, "transposed": True}
    if not c.flag("use_complex_transposed_convolution"):
        return {"upscale": step | {"kernel": [side] * 2, "stride": [side] * 2}}
    step |= {"path": "transposed_convolution.{}", "kernel": [max(1, side // 4)] * 2, "stride": [max(1, side // 4)] * 2}
    return {
        "convolution": {"kind": "convolution", "path": "transposed_convolution.{}", "inputs": small, "outputs": small, "kernel": [3, 3]},
        "upscale_1": step | {"outputs": max(1, small // 2)},
        "upscale_2": step | {"inputs": max(1, small // 2)},
    }


def efficient_tower(c: Config) -> Tree:
    """ALIGN's image side: EfficientNet, whose last maps are pooled."""
    return efficientnet(c, topped=False)


FAMILIES = {
    "align": partial(pair, projections=one, scale="temperature"),
    "align_text_model": partial(bert_text, pooled=True),
    "align_vision_model": efficient_tower,
    "altclip": partial(pair, projections=partial(both, key="project_dim")),
    "altclip_text_model": roberta_text,
    "altclip_vision_model": vision_encoder,
    "chinese_clip": partial(pair, projections=both),
    "chinese_clip_text_model": chinese_text,
    "chinese_clip_vision_model": vision_encoder,
    "clipseg": clipseg,
    "clipseg_text_model": text_encoder,
    "clipseg_vision_model": vision_encoder,
    "tipsv2": partial(pair, projections=none, scale="temperature"),
    "tipsv2_text_model": placeless_text,
    "tipsv2_vision_model": partial(dinov2, registers=True),
    "videoprism": partial(pair, projections=none, scale="", video=True),
}
