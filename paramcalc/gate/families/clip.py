"""Pairs of an image encoder and a text encoder: CLIP, SigLIP and their kin."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.nesting import nested, tower, whole
from paramcalc.gate.families.recipes import Tree, document, layer_norm, stack, tree, under
from paramcalc.gate.families.vision import (
    CLIP,
    attention,
    classifier,
    encoder_layer,
    feed_forward,
    first,
    image,
    mean,
    patch_embedding,
    patches,
    refuse,
    token,
)

TORCH_ATTENTION = {"qkv_proj.weight": "in_proj_weight", "qkv_proj.bias": "in_proj_bias", "o_proj": "out_proj"}
"""The names inside torch's own multi-head attention."""


def layers(c: Config) -> Tree:
    layer = encoder_layer(CLIP, attention(c, CLIP), feed_forward(c, CLIP))
    return stack("encoder.layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")


def text_encoder(c: Config, *, headed: bool = False) -> Tree:
    """The text side of CLIP (Radford et al. 2021); SigLIP's (Zhai et al. 2023) ends in a projection of its own."""
    parts: Tree = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embeddings.token_embedding"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "embeddings.position_embedding", "index": "kept"},
        "layers": layers(c),
        "norm": layer_norm("final_layer_norm"),
        "pool": {"kind": "pooling", "type": "last" if headed else "end"},
    }
    if headed:
        outputs = c.optional("projection_size") or c.size("hidden_size")
        parts["head"] = {"kind": "dense", "path": "head", "outputs": outputs}
    return document(c, projected(c, parts, "text"), cache=False)


def vision_encoder(c: Config, *, prefix: str = "", before: str = "pre_layrnorm") -> Tree:
    """The image side of CLIP: a class token, a norm `before` the layers, and no bias on the patches."""
    c.ignore("vocab_size")  # LLaVA writes the text's there
    rows = patches(c) + 1
    parts = {
        "patches": patch_embedding(c, "embeddings.patch_embedding", bias=False),
        "cls_token": token("embeddings.class_embedding", c.size("hidden_size")) | {"joins": True},
        "position": {"rows": rows, "path": "embeddings.position_embedding", "index": "kept"},
        "embedding_norm": layer_norm(before),
        "layers": layers(c),
        "pool": first(),
        "norm": layer_norm("post_layernorm"),
    }
    return document(c, projected(c, under(prefix, parts), "visual"), tokens=rows, cache=False, image=image(c))


def projected(c: Config, parts: Tree, side: str) -> Tree:
    """The `...WithProjection` classes put the encoder under a name of its own and add the way into the shared space."""
    task = c.task("base")
    if task == "projection":
        model = "vision_model." if side == "visual" else "text_model."
        head = {"kind": "dense", "path": f"{side}_projection", "outputs": c.size("projection_dim"), "bias": False}
        return under(model, parts) | {"projection": head}
    if task != "base":
        refuse(c)
    return parts


def flattened(c: Config) -> Tree:
    """A dense layer on patches that come as rows of numbers."""
    inputs = c.size("num_channels") * c.size("patch_size") ** 2
    return {"kind": "dense", "path": "embeddings.patch_embedding", "inputs": inputs, "component": "embedding"}


def siglip_vision(
    c: Config,
    *,
    flat: bool = False,
    placed: bool = True,
    headed: bool = True,
    pooled: bool = False,
    prefix: str = "",
    after: Tree | None = None,
) -> Tree:
    """The image side of SigLIP: no class token; a probe that attends to all patches makes the one vector.

    SigLIP 2 (Tschannen et al. 2025) keeps the aspect ratio: its patches come `flat`. `placed`: whether there is a table of
    positions; `headed`: whether `vision_use_head` is asked; `pooled`: whether the probe is there anyway; `after`: what
    follows the last norm.
    """
    rows = c.size("num_patches") if flat else patches(c) if placed else None
    parts: Tree = {"patches": flattened(c) if flat else patch_embedding(c, "embeddings.patch_embedding")}
    if placed:
        parts["position"] = {"rows": rows, "path": "embeddings.position_embedding", "index": "kept"}
    parts |= {"layers": layers(c), "norm": layer_norm("post_layernorm")}
    if pooled or (headed and c.flag("vision_use_head", True)):
        parts["attention_pooling"] = attention_pooling(c)
    if c.task("base") != "base":
        refuse(c)
    if c.architecture().endswith("VisionTransformer"):  # the inner class of the one with a prefix
        prefix = ""
    return document(c, under(prefix, parts | (after or {})), tokens=rows, cache=False, image=None if flat else image(c))


def attention_pooling(c: Config) -> Tree:
    """A learned query that attends to all patches, then a feed-forward network."""
    names = {name: f"attention.{path}" for name, path in TORCH_ATTENTION.items()}
    return {
        "path": "head",
        "attention": {"kind": "probe_attention", "path": "", "heads": c.size("num_attention_heads"), "names": names},
        "norm": layer_norm("layernorm"),
        "feed_forward": feed_forward(c, CLIP),
        "flow": ["attention", "norm feed_forward +"],
    }


def clip(c: Config, *, biased: bool = False, projections: bool = True) -> Tree:
    """Both encoders, each with its projection into the shared space, and the scale (and SigLIP's bias) of the scores."""
    text, vision, task = c.part("text_config"), c.part("vision_config"), c.task("base")
    for part, name in ((text, "Text"), (vision, "Vision")):
        if f"{name}Model" in c.architecture():  # such a class takes its part of the config alone
            return whole(part, task)
    parts = tower(vision, "vision", "vision_model")
    width = parts["vision"]["width"]
    if task == "image_classification":
        return classifying(c, parts, width)
    if task != "base":
        refuse(c)
    parts = nested(text, "text", "text_model") | parts
    parts["contrast"] = contrast(c, parts["text"]["width"], width, biased, projections)
    return document(c, parts, width=parts["text"]["width"], context=text.optional("max_position_embeddings"), cache=False)


def classifying(c: Config, parts: Tree, width: int) -> Tree:
    """The image side alone, without what makes one vector for a pair, and classes told from the mean of all patches."""
    vision = parts["vision"]
    used = [name for name, part in vision.items() if isinstance(part, dict) and name not in ("pool", "attention_pooling")]
    if "pool" in vision:
        used.remove("norm")
    parts = {"vision": vision | {"flow": used}, "pool": mean()} | tree(head=classifier(c, "classifier", width))
    about = {key: vision[key] for key in ("tokens", "image") if key in vision}
    return document(c, parts, width=width, cache=False, **about)


def contrast(c: Config, text: int, vision: int, biased: bool, projections: bool) -> Tree:
    """Both vectors in a shared space, and the scale (and SigLIP's bias) of their similarities."""
    names = {"image_proj": "visual_projection", "text_proj": "text_projection"}
    shared = {"size": c.size("projection_dim"), "image": vision, "text": text, "names": names} if projections else {}
    return {"path": "", "loss": "sigmoid" if biased else "softmax"} | shared


def any_two(c: Config) -> Tree:
    """An image encoder and a text encoder of any families, as CLIP joins its own (LiT, Zhai et al. 2022)."""
    if c.architecture() in ("", "VisionTextDualEncoderModel"):
        c.serves = "base"
    return clip(c)


SIGLIP: dict[str, Any] = {"biased": True, "projections": False}

FAMILIES = {
    "clip": clip,
    "clip_text_model": text_encoder,
    "clip_vision_model": vision_encoder,
    "git_vision_model": partial(vision_encoder, prefix="vision_model."),
    "idefics_vision": vision_encoder,
    "kosmos_2_vision_model": partial(vision_encoder, prefix="model."),
    "metaclip_2": clip,
    "metaclip_2_text_model": text_encoder,
    "metaclip_2_vision_model": vision_encoder,
    "siglip": partial(clip, **SIGLIP),
    "siglip2": partial(clip, **SIGLIP),
    "siglip2_text_model": partial(text_encoder, headed=True),
    "siglip2_vision_model": partial(siglip_vision, flat=True),
    "siglip_text_model": partial(text_encoder, headed=True),
    "siglip_vision_model": siglip_vision,
    "vision-text-dual-encoder": any_two,
}
