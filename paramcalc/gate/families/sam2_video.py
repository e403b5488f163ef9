"""SAM 2 on videos (Ravi et al. 2024): the current picture attends to memories of earlier ones and of their masks."""

from __future__ import annotations

from collections.abc import Callable
from math import log2

from paramcalc.gate.config import Config
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.maps import convolution, depthwise
from paramcalc.gate.families.promptable import DEPTH, network
from paramcalc.gate.families.recipes import Tree, layer_norm, stack
from paramcalc.gate.families.sam2 import segment
from paramcalc.gate.families.vision import token

REMEMBERED = 64
"""Channels of what is remembered, where attention reads it; fixed in the reference's code."""
MOST_STEPS = 32


def attention(c: Config, path: str, width: int, source: int | None = None) -> Tree:
    heads = c.size("memory_attention_num_attention_heads")
    inner = max(1, width // c.size("memory_attention_downsample_rate"))
    about = {"kind": "attention", "path": path, "heads": heads, "head_dim": max(1, inner // heads), "bias": True, "rotary": True}
    return about | ({"source": source} if source else {})


def looking_back(c: Config) -> Tree:
    """Layers in which pixels attend to each other, then to the memories."""
    width = c.size("memory_attention_hidden_size")
    feed = {"path": "", "size": c.size("memory_attention_feed_forward_hidden_size"), "gated": False, "bias": True}
    activation = c.text("memory_attention_feed_forward_hidden_act", "relu")
    layer = {
        "norm_1": layer_norm("layer_norm1"),
        "attention": attention(c, "self_attn", width),
        "norm_cross": layer_norm("layer_norm2"),
        "cross_attention": attention(c, "cross_attn_image", width, REMEMBERED),
        "norm_2": layer_norm("layer_norm3"),
        "feed_forward": feed | {"activation": activation, "names": {"up_proj": "linear1", "down_proj": "linear2"}},
        "flow": ["norm_1 attention +", "norm_cross cross_attention +", "norm_2 feed_forward +"],
    }
    layers = stack("layers.{}", {"layer": layer}, f"{c.size('memory_attention_num_layers')} layer")
    return {"path": "memory_attention", "width": width, "cache": False, "layers": layers, "norm": layer_norm("layer_norm")}


def remembering(c: Config) -> Tree:
    """A mask made as coarse as the picture's map, then both in a few ConvNeXt layers, then fewer channels."""
    width, stride, total = c.size("memory_encoder_hidden_size"), c.size("mask_downsampler_stride"), c.size("mask_downsampler_total_stride")
    steps = int(log2(total) // log2(stride)) if stride > 1 else 0
    if not 1 <= steps <= MOST_STEPS:
        c.fail(
            "mask_downsampler_stride",
            f"({stride}) reaches mask_downsampler_total_stride ({total}) in no step, or in more than {MOST_STEPS}",
        )
        steps = 1
    parts: Tree = {"path": "memory_encoder", "width": width, "cache": False}
    read, side = 1, c.size("mask_downsampler_kernel_size")
    for index in range(1, steps + 1):
        made = read * stride**2
        parts[f"mask_{index}"] = convolution("mask_downsampler.layers.{}.conv", read, made, side, stride=stride)
        parts[f"mask_norm_{index}"] = layer_norm("mask_downsampler.layers.{}.layer_norm", size=made)
        read = made
    parts["mask"] = convolution("mask_downsampler.final_conv", read, c.size("mask_downsampler_embed_dim"))
    parts["picture"] = convolution("feature_projection", width, width)
    inner, size = c.size("memory_fuser_embed_dim"), c.size("memory_fuser_intermediate_dim")
    layer: Tree = {
        "mix": depthwise("depthwise_conv", inner, c.size("memory_fuser_kernel_size")),
        "norm": layer_norm("layer_norm"),
        "up": dense("pointwise_conv1", inner, size, component="feed_forward"),
        "down": dense("pointwise_conv2", size, inner, component="feed_forward"),
        "scale": token("scale", inner),
    }
    number = c.size("memory_fuser_num_layers")
    parts["fusion"] = stack("memory_fuser.layers.{}", {"layer": layer}, f"{number} layer", width=inner)
    return parts | {"output": convolution("projection", width, c.size("memory_encoder_output_channels"))}


def track(c: Config) -> Tree:
    made = segment(c)
    if "no_memory" not in made["parts"] or c.architecture() == "Sam2Model":  # the encoder alone, or the class for images
        return made
    width, channels = c.part("vision_config").size("fpn_hidden_size"), c.size("memory_encoder_output_channels")
    parts: Tree = {"memory_attention": looking_back(c), "memory": remembering(c)}
    parts["no_memory_place"] = token("no_memory_positional_encoding", 1, 1, width)
    parts["times"] = token("memory_temporal_positional_encoding", c.size("num_maskmem"), 1, 1, channels)
    parts["no_object"] = token("no_object_pointer", 1, width)
    parts["mask_down"] = convolution("mask_downsample", 1, 1, 4, stride=4)
    parts["pointer"] = network("object_pointer_proj", width, width, width, DEPTH)
    if c.flag("enable_temporal_pos_encoding_for_object_pointers", True):
        parts["pointer_times"] = dense("temporal_positional_encoding_projection_layer", width, channels)
    if c.flag("enable_occlusion_spatial_embedding", True):
        parts["occluded"] = token("occlusion_spatial_embedding_parameter", 1, channels)
    return made | {"parts": made["parts"] | parts}


FAMILIES: dict[str, Callable[[Config], Tree]] = {"sam2_video": track}
