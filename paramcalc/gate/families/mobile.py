"""Networks of depthwise convolutions: MobileNet v1 and v2, EfficientNet."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.maps import batch_norm, classified, convolution, depthwise, divisible
from paramcalc.gate.families.pyramid import function, stages
from paramcalc.gate.families.recipes import Tree, document, labels, plain_activation, rate, under
from paramcalc.gate.families.vision import image, mean

STRIDES_1 = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""MobileNet v1 (Howard et al. 2017, table 1); a stride of 2 doubles the channels."""
CHANNELS_2 = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
"""MobileNet v2 (Sandler et al. 2018, table 2), written out."""
STRIDES_2 = (2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
"""Of its layers behind the stem."""
STEM, TOP = 32, 1280  # channels before the first layer and behind the last, in v2 and EfficientNet alike
DEEPLAB = 256  # channels of DeepLab v3+'s head


def normed(name: str, path: str, block: Tree) -> Tree:
    """A convolution without bias and its batch norm, under the reference's usual names."""
    conv = block | {"path": f"{path}.convolution", "bias": False}
    return {name: conv, f"{name}_norm": batch_norm(f"{path}.normalization", block["outputs"])}


def scaled(c: Config) -> float:
    factor = c.number("depth_multiplier", 1.0)
    if factor <= 0:
        c.fail("depth_multiplier", f"expected more than 0, got {factor}")
        return 1.0
    return factor


def mobilenet_1(c: Config) -> Tree:
    """Depthwise and 1×1 convolutions in turn."""
    factor, least, channels = scaled(c), c.size("min_depth"), STEM

    def thinned(number: int) -> int:
        return max(int(number * factor), least)

    made = thinned(channels)
    parts = normed("stem", "conv_stem", convolution("", c.size("num_channels"), made, 3, stride=2))
    for index, stride in enumerate(STRIDES_1):
        read = made
        if stride == 2 or not index:
            channels *= 2
            made = thinned(channels)
        parts |= normed(f"depthwise_{index + 1}", "layer.{}", depthwise("", read, 3, stride=stride))
        parts |= normed(f"pointwise_{index + 1}", "layer.{}", convolution("", read, made))
    return classified(c, parts, "mobilenet_v1", made)


def active(step: Tree, name: str) -> Tree:
    """A convolution and its norm, with an activation behind where one is named."""
    return step | ({f"{next(iter(step))}_activation": function(name)} if name else {})


def unknown(_: int) -> None:
    """The padding of a kernel that is not told."""


def inverted(
    read: int,
    inner: int,
    made: int,
    *,
    act: str = "",
    pad: Callable[[int], int | str | None] = unknown,
    stride: int = 1,
    expands: bool = True,
    **fields: Any,
) -> Tree:
    """An inverted residual: out, over pixels, and back."""
    parts = active(normed("expand", "expand_1x1", convolution("", read, inner, padding=pad(1))), act) if expands else {}
    parts |= active(normed("depthwise", "conv_3x3", depthwise("", inner, 3, stride=stride, padding=pad(3))), act)
    parts |= normed("reduce", "reduce_1x1", convolution("", inner, made, padding=pad(1)))
    chain = " ".join(parts)
    return {**fields, **parts, "flow": [f"{chain} +" if read == made and stride == 1 else chain]}


def strides_2(c: Config) -> list[int]:
    """The strides of the layers; where the whole would pass `output_stride`, layers are dilated instead, which is not modelled."""
    most, now, found = c.size("output_stride", 32), 2, []
    for stride in STRIDES_2:
        found.append(1 if now == most else stride)
        now *= found[-1]
    return found


def mobilenet_2(c: Config) -> Tree:
    """Inverted residuals with thin ends."""
    factor, divisor, least, ratio = scaled(c), c.size("depth_divisible_by"), c.size("min_depth"), c.number("expand_ratio", 6.0)
    act, same = plain_activation(c, "hidden_act", "relu6"), c.flag("tf_padding", True)
    strides = strides_2(c)
    whole = strides == list(STRIDES_2)

    def thinned(number: int) -> int:
        return divisible(round(number * factor), divisor, least)

    def pad(side: int) -> int | str:
        return "same" if same else side // 2

    channels, stem = [thinned(number) for number in CHANNELS_2], thinned(STEM)
    first = inverted(stem, stem, channels[0], act=act, pad=pad, expands=not c.flag("first_layer_is_expansion", True), path="conv_stem")
    begin = active(normed("stem", "first_conv", convolution("", c.size("num_channels"), stem, 3, stride=2, padding=pad(3))), act)
    chain = first["flow"][0].removesuffix(" +")
    parts: Tree = {"stem": begin | first | {"flow": [f"{' '.join(begin)} {chain}"]}}
    for index, ((read, made), stride) in enumerate(zip(pairwise(channels), strides, strict=True), 1):
        inner = divisible(round(read * ratio), divisor, least)
        parts[f"layer_{index}"] = inverted(read, inner, made, act=act, pad=pad, stride=stride, path="layer.{}", width=read)
    top = TOP if c.flag("finegrained_output", True) and factor < 1 else thinned(TOP)
    parts |= active(normed("top", "conv_1x1", convolution("", channels[-1], top, padding=pad(1))), act)
    if not c.architecture().endswith("ForSemanticSegmentation"):
        dropout = rate(c, "classifier_dropout_prob")
        end = {"pool": mean()} | ({"dropout": {"rate": dropout, "in_place": True}} if dropout else {})
        return classified(c, parts, "mobilenet_v2", top, top=end, image=image(c) if whole else None)
    head: Tree = {"path": "segmentation_head"}
    for name, read in (("conv_pool", thinned(CHANNELS_2[-1])), ("conv_aspp", thinned(CHANNELS_2[-1])), ("conv_projection", 2 * DEEPLAB)):
        head |= normed(name.removeprefix("conv_"), name, convolution("", read, DEEPLAB))
    head["head"] = convolution("classifier.convolution", DEEPLAB, labels(c), component="head")
    return document(c, under("mobilenet_v2.", parts) | {"decoder": head}, width=top, cache=False)


def efficient_block(c: Config, read: int, made: int, side: int, ratio: int, stride: int) -> Tree:
    """An inverted residual that squeezes and excites."""
    inner, squeezed = read * ratio, max(1, int(read * c.number("squeeze_expansion_ratio", 0.25)))
    parts: Tree = {}
    if ratio != 1:
        parts["expand"] = convolution("expansion.expand_conv", read, inner, bias=False)
        parts["expand_norm"] = batch_norm("expansion.expand_bn", inner)
    parts["depthwise"] = depthwise("depthwise_conv.depthwise_conv", inner, side, stride=stride, bias=False)
    parts["depthwise_norm"] = batch_norm("depthwise_conv.depthwise_norm", inner)
    parts["squeeze"] = convolution("squeeze_excite.reduce", inner, squeezed)
    parts["excite"] = convolution("squeeze_excite.expand", squeezed, inner)
    parts["project"] = convolution("projection.project_conv", inner, made, bias=False)
    parts["project_norm"] = batch_norm("projection.project_bn", made)
    chain = " ".join(name for name in parts if name not in ("squeeze", "excite"))
    return parts | {"flow": [f"{chain} +" if read == made and stride == 1 else chain]}


def efficientnet(c: Config, *, topped: bool = True) -> Tree:
    """EfficientNet (Tan & Le 2019): one network, scaled in width and depth; ALIGN's is not `topped` by a convolution."""
    wide, deep, divisor = c.number("width_coefficient", 1.0), c.number("depth_coefficient", 1.0), c.size("depth_divisor")

    def widened(number: int) -> int:
        return divisible(number * wide, divisor)

    stem = widened(STEM)
    parts: Tree = {
        "stem": convolution("embeddings.convolution", c.size("num_channels"), stem, 3, stride=2, bias=False),
        "stem_norm": batch_norm("embeddings.batchnorm", stem),
    }
    last = stem
    keys = ("in_channels", "out_channels", "kernel_sizes", "expand_ratios", "strides", "num_block_repeats")
    for index, (read, made, side, ratio, stride, number) in enumerate(stages(c, *keys), 1):
        first, last = widened(read), widened(made)
        repeats = math.ceil(deep * number)
        kinds = {
            "first": efficient_block(c, first, last, max(1, side), max(1, ratio), max(1, stride)),
            "layer": efficient_block(c, last, last, max(1, side), max(1, ratio), 1),
        }
        if repeats > 0:
            order = f"first, {repeats - 1} layer" if repeats > 1 else "first"
            used = kinds if repeats > 1 else {"first": kinds["first"]}
            parts[f"stage_{index}"] = {"path": "encoder.blocks.{}", "width": last, "kinds": used, "order": order}
    width, top = c.size("hidden_dim"), widened(TOP)
    if topped:
        parts["top"] = convolution("encoder.top_conv", last, top, bias=False)
        parts["top_norm"] = batch_norm("encoder.top_bn", width)
    return classified(c, parts, "efficientnet", width)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "efficientnet": efficientnet,
    "mobilenet_v1": mobilenet_1,
    "mobilenet_v2": mobilenet_2,
}
