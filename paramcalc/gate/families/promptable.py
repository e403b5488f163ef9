"""SAM and SAM-HQ: segments of an image from points, boxes or rough masks."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.recipes import Tree, document, layer_norm, plain_activation, stack, tree
from paramcalc.gate.families.towers import sam, sam_parts
from paramcalc.gate.families.vision import refuse, token

HALVED = 2
"""By how much attention between tokens and pixels is narrower inside a layer, fixed in the reference's code; the last
attention follows `attention_downsample_rate`."""
DEPTH = 3
"""Layers of the networks that make a mask from its token."""


def attention(c: Config, path: str, rate: int, *, cross: bool = True) -> Tree:
    """Attention of a narrower width; `cross`: between tokens and pixels."""
    width, number = c.size("hidden_size"), c.size("num_attention_heads")
    inner = max(1, width // rate)
    return tree(
        kind="attention", path=path, heads=number, head_dim=max(1, inner // number), source=width if cross else None, bias=True,
        names={"o_proj": "out_proj"},
    )  # fmt: skip


def network(path: str, inputs: int, inner: int, outputs: int, depth: int) -> Tree:
    """Dense layers with ReLUs between them, under SAM's names."""
    made: Tree = {"path": path, "linear_in": dense("proj_in", inputs, inner, activation="relu")}
    if depth > 2:
        made["inner"] = {"path": "layers.{}", "repeat": depth - 2, "linear": dense("", inner, inner, activation="relu")}
    return made | {"linear_out": dense("proj_out", inner, outputs)}


def finer(first: str, norm: str, second: str, inputs: int, widths: tuple[int, int]) -> Tree:
    """Two transposed 2×2 convolutions with a norm between them."""
    step: Tree = {"kind": "convolution", "kernel": [2, 2], "stride": [2, 2], "transposed": True}
    return {
        first: step | {"path": first, "inputs": inputs, "outputs": widths[0]},
        norm: layer_norm(norm, size=widths[0]),
        second: step | {"path": second, "inputs": widths[0], "outputs": widths[1]},
    }


def prompts(c: Config) -> Tree:
    """Points become one of a few vectors, rough masks go through strided convolutions."""
    width, channels = c.size("hidden_size"), c.size("mask_input_channels")
    if channels % 4:
        c.fail("mask_input_channels", f"({channels}) is no multiple of 4")
    small = max(1, channels // 4)
    step: Tree = {"kind": "convolution", "kernel": [2, 2], "stride": [2, 2]}
    one = {"kind": "embedding", "vocabulary": 1, "size": width}
    points = c.size("num_point_embeddings")
    return {
        "path": "prompt_encoder",
        "width": width,
        "cache": False,
        "convolution_1": step | {"path": "mask_embed.conv1", "inputs": 1, "outputs": small},
        "norm_1": layer_norm("mask_embed.layer_norm1", size=small),
        "convolution_2": step | {"path": "mask_embed.conv2", "inputs": small, "outputs": channels},
        "norm_2": layer_norm("mask_embed.layer_norm2", size=channels),
        "convolution_3": {"kind": "convolution", "path": "mask_embed.conv3", "inputs": channels, "outputs": width, "kernel": [1, 1]},
        "no_mask": one | {"path": "no_mask_embed"},
        "points": one | {"path": "point_embed.{}", "stored": points},
        "no_point": one | {"path": "not_a_point_embed"},
    }


def two_ways(c: Config) -> Tree:
    """Layers in which tokens look at pixels, and pixels back at tokens."""
    layer = {
        "attention": attention(c, "self_attn", 1, cross=False),
        "norm_1": layer_norm("layer_norm1"),
        "cross_attention": attention(c, "cross_attn_token_to_image", HALVED),
        "norm_2": layer_norm("layer_norm2"),
        "feed_forward": {
            "path": "mlp", "size": c.size("mlp_dim"), "gated": False, "bias": True, "activation": plain_activation(c, default="relu"),
            "names": {"up_proj": "lin1", "down_proj": "lin2"},
        },
        "norm_3": layer_norm("layer_norm3"),
        "back_attention": attention(c, "cross_attn_image_to_token", HALVED),
        "norm_4": layer_norm("layer_norm4"),
        "flow": ["attention + norm_1", "cross_attention + norm_2", "feed_forward + norm_3", "back_attention + norm_4"],
    }  # fmt: skip
    return {
        "layers": stack("transformer.layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "last_attention": attention(c, "transformer.final_attn_token_to_image", c.size("attention_downsample_rate")),
        "last_norm": layer_norm("transformer.layer_norm_final_attn"),
    }


def decoder(c: Config, *, fine: bool) -> Tree:
    """A token for each mask and one for how good they are; SAM-HQ (Ke et al. 2023) has one more, over early features too."""
    width, count = c.size("hidden_size"), c.size("num_multimask_outputs") + 1
    quarter, eighth = max(1, width // 4), max(1, width // 8)
    made: Tree = {
        "path": "mask_decoder",
        "width": width,
        "cache": False,
        "quality_token": {"kind": "embedding", "vocabulary": 1, "path": "iou_token"},
        "mask_tokens": {"kind": "embedding", "vocabulary": count, "path": "mask_tokens"},
        **two_ways(c),
        **finer("upscale_conv1", "upscale_layer_norm", "upscale_conv2", width, (quarter, eighth)),
        "masks": {"repeat": count} | network("output_hypernetworks_mlps.{}", width, width, eighth, DEPTH),
        "quality": network("iou_prediction_head", width, c.size("iou_head_hidden_dim"), count, c.size("iou_head_depth")),
    }
    if not fine:
        return made
    side = {"kind": "convolution", "kernel": [3, 3]}
    return made | {
        "fine_token": {"kind": "embedding", "vocabulary": 1, "path": "hq_token"},
        "fine_mask": network("hq_mask_mlp", width, width, eighth, DEPTH),
        **finer("compress_vit_conv1", "compress_vit_norm", "compress_vit_conv2", c.size("vit_dim"), (width, eighth)),
        **finer("encoder_conv1", "encoder_norm", "encoder_conv2", width, (quarter, eighth)),
        "mask_conv1": side | {"path": "mask_conv1", "inputs": eighth, "outputs": quarter},
        "mask_norm": layer_norm("mask_norm", size=quarter),
        "mask_conv2": side | {"path": "mask_conv2", "inputs": quarter, "outputs": eighth},
    }


def segment(c: Config, *, fine: bool = False) -> Tree:
    """SAM (Kirillov et al. 2023): an image encoder, prompts, and a small decoder of masks."""
    vision = c.part("vision_config")
    if c.architecture().endswith("VisionModel"):
        return sam(vision, prefix="vision_encoder.") | {"model_type": c.model_type}
    if c.task("base") not in ("base", "mask_generation"):
        refuse(c)
    grid = max(1, vision.size("image_size") // vision.size("patch_size")) ** 2
    width, features = vision.size("hidden_size"), vision.size("num_pos_feats")
    place = token("shared_image_embedding.positional_embedding", 2, features) | {"component": "position_embedding"}
    parts: Tree = {"places": place}
    if not c.flag("tie_word_embeddings", True):
        parts["prompt_places"] = place | {"path": "prompt_encoder.shared_embedding.positional_embedding"}
    tower = {"path": "vision_encoder", "width": width, "tokens": grid, "tower": "vision", "cache": False}
    parts["vision"] = tower | sam_parts(vision)
    parts["prompts"] = prompts(c.part("prompt_encoder_config"))
    parts["decoder"] = decoder(c.part("mask_decoder_config"), fine=fine)
    return document(c, parts, width=width, cache=False)


FAMILIES = {
    "sam": segment,
    "sam_hq": partial(segment, fine=True),
    "sam_hq_vision_model": partial(sam, prefix="vision_encoder."),
}
