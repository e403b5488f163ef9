"""Poses and points of interest: VitPose, SuperPoint."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.maps import convolution, step
from paramcalc.gate.families.nesting import nested
from paramcalc.gate.families.pyramid import MOST_STAGES
from paramcalc.gate.families.recipes import Tree, document, labels, layer_norm, stack
from paramcalc.gate.families.vision import VIT, attention, encoder_layer, feed_forward, patch_embedding, patches, refuse

DECODED = 256
"""Width of VitPose's classic decoder, fixed in the reference's code."""


def vitpose_backbone(c: Config) -> Tree:
    """VitPose's ViT (Xu et al. 2022): no class token but a place for one; in ViTPose+ part of what a network makes comes from
    the expert of the picture's data set."""
    width, experts, task = c.size("hidden_size"), c.size("num_experts", 1), c.task("backbone")
    size = max(1, int(width * c.number("mlp_ratio", 4.0)))
    bias = True if c.flag("qkv_bias", True) else ["o"]
    feed = feed_forward(c, VIT, size=size)
    more: Tree = {}
    if experts > 1:
        own = min(c.zero_or("part_features"), width - 1)
        feed = feed_forward(c, VIT, size=size, outputs=width - own)
        expert = dense("", size, max(1, own)) | {"component": "experts"}
        more["data_sets"] = {"kind": "group", "path": "mlp.experts.{}", "repeat": experts, "expert": expert}
    words = VIT._replace(q="attention.query", k="attention.key", v="attention.value", o="output.dense")
    layer = encoder_layer(words, attention(c, words, bias=bias), feed, **more)
    rows = patches(c) + 1
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "position": {"rows": rows, "bare": True, "path": "embeddings.position_embeddings"},
        "layers": stack("encoder.layer.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layernorm"),
    }
    if task not in ("base", "backbone"):
        refuse(c)
    return document(c, parts, tokens=rows, cache=False)


def vitpose(c: Config) -> Tree:
    """A map of each joint from the last map of patches: one convolution, or two that spread it first."""
    part = c.part("backbone_config")
    width = part.size("hidden_size")
    parts = nested(part, "backbone", "backbone", task="backbone")
    read = width
    if not c.flag("use_simple_decoder", True):
        for index in (1, 2):
            spread = convolution(f"head.deconv{index}", read, DECODED, 4, stride=2, transposed=True)
            parts |= step(f"spread_{index}", spread, f"head.batchnorm{index}")
            read = DECODED
    side = 3 if read is width else 1
    parts["head"] = convolution("head.conv", read, labels(c), side, component="head")
    if c.architecture() and not c.architecture().endswith("ForPoseEstimation"):
        refuse(c)
    return document(c, parts, width=width, cache=False)


def superpoint(c: Config) -> Tree:
    """SuperPoint (DeTone et al. 2018): pairs of convolutions over a grey image, then points and their descriptions side by side."""
    widths, inner = c.sizes("encoder_hidden_sizes", least=1), c.size("decoder_hidden_size")
    if not 2 <= len(widths) <= MOST_STAGES:
        c.fail("encoder_hidden_sizes", f"expected 2 to {MOST_STAGES} widths, got {len(widths)}")
        widths = [1, 1]
    parts, read = {}, 1
    for index, width in enumerate(widths, 1):
        for name, before in (("a", read), ("b", width)):
            parts[f"convolution_{index}{name}"] = convolution(f"encoder.conv_blocks.{{}}.conv_{name}", before, width, 3)
        read = width
    for name, word, key in (("points", "score", "keypoint_decoder_dim"), ("description", "descriptor", "descriptor_decoder_dim")):
        path = f"{'keypoint' if name == 'points' else 'descriptor'}_decoder.conv_{word}"
        parts[f"{name}_inner"] = convolution(f"{path}_a", read, inner, 3)
        parts[name] = convolution(f"{path}_b", inner, c.size(key), component="head")
    if c.architecture() and not c.architecture().endswith("ForKeypointDetection"):
        refuse(c)
    return document(c, parts, width=read, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"superpoint": superpoint, "vitpose": vitpose, "vitpose_backbone": vitpose_backbone}
