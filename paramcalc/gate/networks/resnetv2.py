"""ResNets whose norms stand before convolutions (He et al. 2016b), as BiT has them (Kolesnikov et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paramcalc.gate.families.maps import batch_norm, convolution, divisible
from paramcalc.gate.families.recipes import Tree, stack
from paramcalc.gate.networks.options import Options, Pool


@dataclass(frozen=True, kw_only=True)
class ResNetV2(Options):
    model_cls: Literal["ResNetV2"] = "ResNetV2"
    layers: tuple[int, ...] = (3, 4, 6, 3)
    channels: tuple[int, ...] = (256, 512, 1024, 2048)
    width_factor: int = 1
    stem_chs: int = 64
    stem_type: Literal["", "fixed", "same", "deep", "deep_fixed", "deep_same", "tiered"] = ""
    avg_down: bool = False
    preact: bool = True
    basic: bool = False
    """Whether layers are two 3×3 convolutions."""
    bottle_ratio: float = 0.25
    conv_layer: Literal["StdConv2d", "create_conv2d"] = "StdConv2d"
    norm_layer: Literal["GroupNormAct", "GroupNormAct(num_groups=32)", "BatchNormAct2d"] = "GroupNormAct"
    act_layer: str = "ReLU"
    global_pool: Pool = "avg"
    output_stride: Literal[8, 16, 32] = 32


def normed(o: ResNetV2, path: str, width: int) -> Tree:
    return batch_norm(path, width) | ({} if o.norm_layer == "BatchNormAct2d" else {"type": "group"})


def layer(o: ResNetV2, read: int, made: int, *, first: bool, stride: int) -> Tree:
    """A residual layer; the first of a stage has a shortcut of its own, but two plain convolutions need none of equal width."""
    inner = divisible(made * o.bottle_ratio)
    sizes = [(read, inner, 3), (inner, made, 3)] if o.basic else [(read, inner, 1), (inner, inner, 3), (inner, made, 1)]
    parts: Tree = {}
    for index, (before, after, side) in enumerate(sizes, 1):
        steps = {f"norm_{index}": normed(o, f"norm{index}", before if o.preact else after)}
        conv = {f"convolution_{index}": convolution(f"conv{index}", before, after, side, bias=False)}
        parts |= steps | conv if o.preact else conv | steps
    if first and not (o.basic and stride == 1 and read == made):
        parts["shortcut"] = convolution("downsample.conv", read, made, stride=1 if o.avg_down else stride, bias=False)
        parts |= {} if o.preact else {"shortcut_norm": normed(o, "downsample.norm", made)}
    return parts


def stem(o: ResNetV2, width: int) -> Tree:
    if o.stem_type not in ("deep", "deep_fixed", "deep_same", "tiered"):
        parts = {"stem": convolution("stem.conv", o.in_chans, width, 7, stride=2, bias=False)}
        return parts | ({} if o.preact else {"stem_norm": normed(o, "stem.norm", width)})
    half = width // 2
    sizes = [o.in_chans, 3 * width // 8 if o.stem_type == "tiered" else half, half, width]
    parts = {}
    for index in (1, 2, 3):
        parts[f"stem_{index}"] = convolution(
            f"stem.conv{index}", sizes[index - 1], sizes[index], 3, stride=2 if index == 1 else 1, bias=False
        )
        if index < 3 or not o.preact:
            parts[f"stem_norm_{index}"] = normed(o, f"stem.norm{index}", sizes[index])
    return parts


def network(o: ResNetV2) -> Tree:
    read = divisible(o.stem_chs * o.width_factor)
    parts = stem(o, read)
    for index, (number, channels) in enumerate(zip(o.layers, o.channels, strict=True), 1):
        width, stride = divisible(channels * o.width_factor), 1 if index == 1 else 2
        kinds = {"first": layer(o, read, width, first=True, stride=stride), "layer": layer(o, width, width, first=False, stride=1)}
        order = f"first, {number - 1} layer" if number > 1 else "first"
        parts[f"stage_{index}"] = stack("stages.{}.blocks.{}", kinds, order, width=width)
        read = width
    if o.preact:
        parts["norm"] = normed(o, "norm", read)
    if o.num_classes:  # a 1×1 convolution
        parts["head"] = convolution("head.fc", read, o.num_classes, component="head")
    return parts


DEFAULT = ResNetV2()
