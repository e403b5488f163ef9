"""Encoders of videos: ViViT, VideoMAE, TimeSformer, V-JEPA 2, VideoPrism."""

from __future__ import annotations

from typing import NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, layer_norm, stack, tree, under
from paramcalc.gate.families.vision import (
    BERT,
    CLIP,
    VIT,
    Words,
    attention,
    classifier,
    encoder_layer,
    feed_forward,
    pair,
    patch_embedding,
    patches,
    refuse,
    token,
)
from paramcalc.gate.families.vit import pooler

JEPA = Words("norm1", "attention", "norm2", "mlp", "query", "key", "value", "proj")


WIDENING = 4
"""Of the networks in V-JEPA 2's pooler, whatever `mlp_ratio` says, fixed in the reference's code."""


class Tubelets(NamedTuple):
    """A video cut into boxes that do not overlap."""

    convolution: Tree
    within: int
    """Boxes in one step of time."""
    steps: int


def tubelets(c: Config, sides: tuple[int, int, int], image: str = "image_size", frames: str = "num_frames") -> Tubelets:
    """Boxes of time, height and width: a convolution over all three."""
    (height, width), inputs = pair(c, image), c.size("in_chans" if c.has("in_chans") else "num_channels")
    depth, rows, columns = sides
    step: Tree = {"kind": "convolution", "inputs": inputs, "kernel": list(sides), "stride": list(sides), "component": "embedding"}
    return Tubelets(step, max(1, (height // rows) * (width // columns)), max(1, c.size(frames) // depth))


def box(c: Config) -> tuple[int, int, int]:
    """A tubelet's size as three numbers."""
    sides = c.sizes("tubelet_size", least=1)
    if len(sides) != 3:
        c.fail("tubelet_size", f"expected time, height and width, got {len(sides)} numbers")
        return 1, 1, 1
    return sides[0], sides[1], sides[2]


def classified(c: Config, parts: Tree, base: str, head: Tree, tokens: int) -> Tree:
    """The encoder alone, or under a name of its own with the `head` of its class."""
    task = c.task("base")
    if task not in ("base", "video_classification"):
        refuse(c)
    if task == "video_classification":
        parts = under(f"{base}.", parts) | head | tree(head=classifier(c, "classifier", c.size("hidden_size")))
    return document(c, parts, tokens=tokens, cache=False)


def vivit(c: Config) -> Tree:
    """ViViT (Arnab et al. 2021), its first model: all boxes of a video attend to one another."""
    place, width = tubelets(c, box(c)), c.size("hidden_size")
    rows = place.within * place.steps + 1
    bias = True if c.flag("qkv_bias", True) else ["o"]
    layer = encoder_layer(VIT, attention(c, VIT, bias=bias), feed_forward(c, VIT))
    parts: Tree = {
        "patches": place.convolution | {"path": "embeddings.patch_embeddings.projection"},
        "cls_token": token("embeddings.cls_token", 1, 1, width),
        "position": {"rows": rows, "bare": True, "path": "embeddings.position_embeddings"},
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layernorm"),
    }
    if c.task("base") == "base":
        parts["pooler"] = pooler(c)
    return classified(c, parts, "vivit", {}, rows)


def mae_layers(c: Config, path: str, number: str, side: str = "") -> Tree:
    """The layers of VideoMAE's encoder, or of its decoder (`side`)."""
    heads, width, size = c.size(f"{side}num_attention_heads"), c.size(f"{side}hidden_size"), c.size(f"{side}intermediate_size")
    bias = ["q", "v", "o"] if c.flag("qv_bias", True) else ["o"]
    attend = attention(c, BERT, heads=heads, head_dim=max(1, width // heads), bias=bias)
    return stack(path, {"layer": encoder_layer(BERT, attend, feed_forward(c, BERT, size=size))}, f"{c.size(number)} layer")


def videomae(c: Config) -> Tree:
    """VideoMAE (Tong et al. 2022): fixed sinusoids for positions; a small decoder rebuilds what was masked."""
    (rows, columns), depth = pair(c, "patch_size"), c.size("tubelet_size")
    place, task = tubelets(c, (depth, rows, columns)), c.task("base")
    parts: Tree = {
        "patches": place.convolution | {"path": "embeddings.patch_embeddings.projection"},
        "layers": mae_layers(c, "encoder.layer.{}", "num_hidden_layers"),
    }
    pooled = c.flag("use_mean_pooling", True)
    if not pooled:
        parts["norm"] = layer_norm("layernorm")
    tokens = place.within * place.steps
    if task != "pretraining":
        return classified(c, parts, "videomae", {"head_norm": layer_norm("fc_norm")} if pooled else {}, tokens)
    width, small = c.size("hidden_size"), c.size("decoder_hidden_size")
    outputs = c.size("num_channels") * depth * rows * columns
    parts = under("videomae.", parts)
    parts["project"] = {"kind": "dense", "path": "encoder_to_decoder", "inputs": width, "outputs": small, "bias": False}
    parts["mask_token"] = token("mask_token", 1, 1, small)
    parts["decoder"] = {
        "path": "decoder",
        "width": small,
        "layers": mae_layers(c, "decoder_layers.{}", "decoder_num_hidden_layers", "decoder_"),
        "norm": layer_norm("norm"),
        "head": {"kind": "dense", "path": "head", "inputs": small, "outputs": outputs, "component": "head"},
    }
    return document(c, parts, tokens=tokens, cache=False)


def timesformer(c: Config) -> Tree:
    """TimeSformer (Bertasius et al. 2021): along time and within a frame by turns, unless `attention_type` says otherwise."""
    width, rows = c.size("hidden_size"), patches(c) + 1
    kind = c.choice("attention_type", ("divided_space_time", "space_only", "joint_space_time"), "divided_space_time")
    bias = True if c.flag("qkv_bias", True) else ["o"]
    about = {"bias": bias, "fused": "qkv", "names": {"qkv_proj": "attention.qkv", "o_proj": "output.dense"}}
    layer = encoder_layer(BERT, attention(c, BERT, **about), feed_forward(c, BERT))
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "cls_token": token("embeddings.cls_token", 1, 1, width),
        "position": {"rows": rows, "bare": True, "path": "embeddings.position_embeddings"},
    }
    if kind != "space_only":
        times = token("embeddings.time_embeddings", 1, c.size("num_frames"), width)
        parts["time"] = times | {"component": "position_embedding"}
    if kind == "divided_space_time":
        before = {"norm_0": layer_norm("temporal_layernorm"), "time": attention(c, BERT, path="temporal_attention", **about)}
        before |= {"mix": {"kind": "dense", "path": "temporal_dense", "component": "attention"}}
        layer = before | layer | {"flow": ["norm_0 time mix +", *PRE_NORM]}
    parts["layers"] = stack("encoder.layer.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    parts["norm"] = layer_norm("layernorm")
    return classified(c, parts, "timesformer", {}, rows * c.size("num_frames"))


def jepa_layers(c: Config, number: int, width: int, heads: int, ratio: float) -> Tree:
    bias = True if c.flag("qkv_bias", True) else ["o"]
    attend = attention(c, JEPA, heads=heads, head_dim=max(1, width // heads), bias=bias, rotary=True)
    return stack("layer.{}", {"layer": encoder_layer(JEPA, attend, feed_forward(c, JEPA, size=int(width * ratio)))}, f"{number} layer")


def vjepa2(c: Config) -> Tree:
    """V-JEPA 2 (Assran et al. 2025): an encoder with rotary positions in three directions, and the predictor of its training."""
    (rows, columns), width, small = pair(c, "patch_size"), c.size("hidden_size"), c.size("pred_hidden_size")
    place = tubelets(c, (c.size("tubelet_size"), rows, columns), "crop_size", "frames_per_clip")
    tokens = place.within * place.steps
    masks = token("embeddings.mask_tokens", c.size("pred_num_mask_tokens"), 1, 1, small)
    predicting = jepa_layers(
        c, c.size("pred_num_hidden_layers"), small, c.size("pred_num_attention_heads"), c.number("pred_mlp_ratio", 4.0)
    )
    parts: Tree = {
        "encoder": {
            "path": "encoder",
            "patches": place.convolution | {"path": "embeddings.patch_embeddings.proj"},
            "layers": jepa_layers(c, c.size("num_hidden_layers"), width, c.size("num_attention_heads"), c.number("mlp_ratio", 4.0)),
            "norm": layer_norm("layernorm"),
        },
        "predictor": {
            "path": "predictor",
            "width": small,
            "project": {"kind": "dense", "path": "embeddings.predictor_embeddings", "inputs": width, "outputs": small},
            "mask_tokens": masks,
            "layers": predicting,
            "norm": layer_norm("layernorm"),
            "output": {"kind": "dense", "path": "proj", "inputs": small, "outputs": width},
        },
    }
    return classified(c, parts, "vjepa2", {"pooler": attentive(c)}, tokens)


def attentive(c: Config) -> Tree:
    """Layers over all patches, then a learned query that attends to them; that attention has no output projection."""
    width = c.size("hidden_size")
    feed = feed_forward(c, CLIP, size=WIDENING * width)
    cross = attention(c, CLIP, path="cross_attn", source=width, output=False, bias=["q", "k", "v"], names=None)
    return {
        "path": "pooler",
        "layers": stack(
            "self_attention_layers.{}", {"layer": encoder_layer(CLIP, attention(c, CLIP), feed)}, f"{c.size('num_pooler_layers')} layer"
        ),
        "query": token("query_tokens", 1, 1, width),
        "cross_layer": {"path": "cross_attention_layer"} | encoder_layer(CLIP, cross, feed),
    }


def prism_layers(c: Config, path: str, number: str, **fields: int) -> Tree:
    bias = True if c.flag("qkv_bias", True) else ["o"]
    block = encoder_layer(VIT, attention(c, VIT, bias=bias), feed_forward(c, VIT))
    return stack(path, {"layer": block}, f"{c.size(number)} layer", **fields)


def prism(c: Config) -> Tree:
    """VideoPrism (Zhao et al. 2024): layers within a frame, then layers along time, as in ViViT's second model."""
    width, frames, place = c.size("hidden_size"), c.size("num_frames"), tubelets(c, box(c))
    about = {"component": "position_embedding"}
    parts: Tree = {
        "patches": place.convolution | {"path": "spatial_embeddings.patch_embeddings.projection"},
        "position": token("spatial_embeddings.position_embeddings", 1, place.within, width) | about,
        "spatial_layers": prism_layers(c, "spatial_layers.{}", "num_spatial_layers", tokens=place.within),
        "spatial_norm": layer_norm("layernorm1"),
        "time": token("temporal_embeddings.position_embeddings", 1, frames, width) | about,
        "temporal_layers": prism_layers(c, "temporal_layers.{}", "num_temporal_layers", tokens=frames),
        "norm": layer_norm("layernorm2"),
    }
    top: Tree = prism_pooling(c)
    if c.serves == "video" or c.architecture().endswith("VideoModel"):
        more = {"auxiliary_layers": prism_layers(c, "auxiliary_layers.{}", "num_auxiliary_layers")}
        return document(c, under("vision_model.", parts) | more | top, tokens=place.within * frames, cache=False)
    return classified(c, parts, "vision_model", top, place.within * frames)


def prism_pooling(c: Config) -> Tree:
    """A learned query that attends to all patches, with a scale for each dim of a head, and a norm."""
    heads, width = c.size("num_attention_heads"), c.size("hidden_size")
    head_dim = max(1, c.size("intermediate_size") // heads)
    bias = True if c.flag("qkv_bias", True) else ["o"]
    pooling = {
        "path": "head",
        "query": token("pooling_attention_query", 1, 1, width),
        "scale": token("per_dim_scale", head_dim) | {"component": "attention"},
        "attention": attention(c, VIT, path="", head_dim=head_dim, bias=bias),
    }
    return {"attention_pooling": pooling, "pooled_norm": layer_norm("head_layernorm")}


def prism_text(c: Config) -> Tree:
    """VideoPrism's text side: fixed sinusoids, and a class token at the end."""
    parts: Tree = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embeddings.token_embedding"},
        "cls_token": token("embeddings.cls_emb", 1, 1, c.size("hidden_size")),
        "layers": prism_layers(c, "layers.{}", "num_hidden_layers"),
        "norm": layer_norm("layernorm"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


FAMILIES = {
    "timesformer": timesformer,
    "videomae": videomae,
    "videoprism_text_model": prism_text,
    "videoprism_vision_model": prism,
    "vivit": vivit,
    "vjepa2": vjepa2,
}
