"""ResNet and its kin: ResNeXt, Wide ResNet, SE-ResNet, ECA-ResNet, ResNet-RS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paramcalc.gate.families.maps import batch_norm, convolution
from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.options import Options
from paramcalc.gate.networks.pieces import classes, eca, rounded, squeezed

EXPANSION = 4


@dataclass(frozen=True, kw_only=True)
class ResNet(Options):
    """The stem is one 7×7 convolution, or `deep`: three 3×3 (He et al. 2019), of rising widths where `deep_tiered`."""

    layers: tuple[int, ...]
    bottleneck: bool = True
    """Whether layers narrow to a quarter: 1×1, 3×3, 1×1 (He et al. 2016); else they are two 3×3."""
    channels: tuple[int, ...] = (64, 128, 256, 512)
    cardinality: int = 1
    """Groups of the 3×3 convolution (Xie et al. 2017)."""
    base_width: int = 64
    """Width of a group times cardinality, where `channels` say 64 (Zagoruyko & Komodakis 2016)."""
    stem_width: int = 64
    stem_type: str = ""
    replace_stem_pool: bool = False
    """Whether the stem ends in a strided convolution instead of pooling (Bello et al. 2021)."""
    block_reduce_first: int = 1
    down_kernel_size: int = 1
    avg_down: bool = False
    """Whether shortcuts pool before their convolution, which is 1×1."""
    attention: str = ""
    """`se`, `eca`, or nothing."""
    se_ratio: float = 1 / 16
    group_normed: bool = False
    global_pool: str = "avg"
    output_stride: int = 32


def normed(o: ResNet, path: str, width: int) -> Tree:
    return batch_norm(path, width) | ({"type": "group"} if o.group_normed else {})


def step(o: ResNet, name: str, inputs: int, outputs: int, side: int, *, stride: int = 1, groups: int = 1, path: str = "") -> Tree:
    """A convolution without bias and its norm."""
    paths = (path, path) if path else (f"conv{name}", f"bn{name}")
    conv = convolution(paths[0], inputs, outputs, side, stride=stride, groups=groups if groups > 1 else None, bias=False)
    return {f"convolution_{name}": conv, f"norm_{name}": normed(o, paths[1], outputs)}


def layer(o: ResNet, inputs: int, inner: int, stride: int, side: int) -> Tree:
    """A residual layer; its stride is that of the 3×3 convolution, unlike the first ResNet's. `side` is the shortcut's."""
    outputs = inner * EXPANSION if o.bottleneck else inner
    first = o.block_reduce_first
    if o.bottleneck:
        inner = int(inner * (o.base_width / 64)) * o.cardinality
        made = step(o, "1", inputs, inner // first, 1)
        made |= step(o, "2", inner // first, inner, 3, stride=stride, groups=o.cardinality) | step(o, "3", inner, outputs, 1)
    else:
        made = step(o, "1", inputs, inner // first, 3, stride=stride) | step(o, "2", inner // first, outputs, 3)
    chain = " ".join(made)
    if o.attention == "se":
        made["excitation"] = squeezed("se", outputs, rounded(outputs * o.se_ratio))
    elif o.attention == "eca":
        made["excitation"] = eca("se", outputs)
    if inputs == outputs and stride == 1:
        return made | {"flow": [f"{chain} +"]}
    made |= step(o, "shortcut", inputs, outputs, side, stride=stride, path="downsample.{}")
    return made | {"flow": [f"({chain} | convolution_shortcut norm_shortcut)"]}


def stem(o: ResNet) -> tuple[Tree, int]:
    """The parts before the first stage, and the width that they make."""
    if not o.stem_type:
        width = 64
        parts = step(o, "1", o.in_chans, width, 7, stride=2)
    else:
        width = 2 * o.stem_width
        first = 3 * (o.stem_width // 4) if "tiered" in o.stem_type else o.stem_width
        parts = step(o, "stem_1", o.in_chans, first, 3, stride=2, path="conv1.{}")
        parts |= step(o, "stem_2", first, o.stem_width, 3, path="conv1.{}")
        parts |= {"convolution_1": convolution("conv1.{}", o.stem_width, width, 3, bias=False), "norm_1": normed(o, "bn1", width)}
    if o.replace_stem_pool:
        parts |= step(o, "pool", width, width, 3, stride=2, path="maxpool.{}")
    return parts, width


def widths(o: ResNet) -> list[int]:
    """Of the maps of the stem and of each stage."""
    return [stem(o)[1], *(width * (EXPANSION if o.bottleneck else 1) for width in o.channels)]


def network(o: ResNet) -> Tree:
    parts, read = stem(o)
    for index, (inner, number, width) in enumerate(zip(o.channels, o.layers, widths(o)[1:], strict=True), 1):
        stride = 1 if index == 1 else 2
        side = 1 if stride == 1 or o.avg_down else o.down_kernel_size
        kinds = {"first": layer(o, read, inner, stride, side), "layer": layer(o, width, inner, 1, 1)}
        order = f"first, {number - 1} layer" if number > 1 else "first"
        used = {kind: made for kind, made in kinds.items() if kind in order}
        parts[f"stage_{index}"] = {"path": f"layer{index}.{{}}", "width": width, "kinds": used, "order": order}
        read = width
    return parts | classes(o.num_classes, read, "fc")


DEPTHS: dict[str, tuple[tuple[int, ...], bool]] = {
    "10": ((1, 1, 1, 1), False),
    "14": ((1, 1, 1, 1), True),
    "18": ((2, 2, 2, 2), False),
    "26": ((2, 2, 2, 2), True),
    "34": ((3, 4, 6, 3), False),
    "50": ((3, 4, 6, 3), True),
    "101": ((3, 4, 23, 3), True),
    "152": ((3, 8, 36, 3), True),
    "200": ((3, 24, 36, 3), True),
    "201": ((3, 24, 36, 4), True),
    "269": ((3, 30, 48, 8), True),
    "270": ((4, 29, 53, 4), True),
    "350": ((4, 36, 72, 4), True),
    "420": ((4, 44, 87, 4), True),
    "light": ((1, 1, 11, 3), True),
}
"""Layers of each stage, and whether they are bottlenecks (He et al. 2016, table 1; Bello et al. 2021, appendix)."""
STEMS: dict[str, dict[str, Any]] = {
    "c": {"stem_type": "deep", "stem_width": 32},
    "d": {"stem_type": "deep", "stem_width": 32, "avg_down": True},
    "s": {"stem_type": "deep", "stem_width": 64},
    "t": {"stem_type": "deep_tiered", "stem_width": 32, "avg_down": True},
}
"""The letters that name variants of the stem and of shortcuts (He et al. 2019)."""
RS: dict[str, Any] = STEMS["d"] | {"replace_stem_pool": True, "attention": "se", "se_ratio": 0.25}


def of(depth: str, groups: str = "", attention: str = "", **fields: Any) -> ResNet:
    """A ResNet of a depth with a letter for its stem; `groups` as ResNeXt writes them, `32x4` for 32 of width 4."""
    letter = depth[-1] if depth[-1] in STEMS and depth[:-1] in DEPTHS else ""
    layers, bottleneck = DEPTHS[depth.removesuffix(letter)]
    count, _, width = groups.partition("x")
    about: dict[str, Any] = {"layers": layers, "bottleneck": bottleneck, "attention": attention} | STEMS.get(letter, {})
    if groups:
        about |= {"cardinality": int(count), "base_width": int(width)}
    return ResNet(**(about | fields))


NETWORKS = {
    "ecaresnet101d": of("101d", attention="eca"),
    "ecaresnet200d": of("200d", attention="eca"),
    "ecaresnet269d": of("269d", attention="eca"),
    "ecaresnet26t": of("26t", attention="eca"),
    "ecaresnet50d": of("50d", attention="eca"),
    "ecaresnet50t": of("50t", attention="eca"),
    "ecaresnetlight": of("light", attention="eca", avg_down=True),
    "ecaresnext26t_32x4d": of("26t", "32x4", "eca"),
    "ecaresnext50t_32x4d": of("50t", "32x4", "eca"),
    "resnet101": of("101"),
    "resnet101c": of("101c"),
    "resnet101d": of("101d"),
    "resnet101s": of("101s"),
    "resnet10t": of("10t"),
    "resnet14t": of("14t"),
    "resnet152": of("152"),
    "resnet152c": of("152c"),
    "resnet152d": of("152d"),
    "resnet152s": of("152s"),
    "resnet18": of("18"),
    "resnet18d": of("18d"),
    "resnet200": of("200"),
    "resnet200d": of("200d"),
    "resnet26": of("26"),
    "resnet26d": of("26d"),
    "resnet26t": of("26t"),
    "resnet34": of("34"),
    "resnet34d": of("34d"),
    "resnet50": of("50"),
    "resnet50_gn": of("50", group_normed=True),
    "resnet50c": of("50c"),
    "resnet50d": of("50d"),
    "resnet50s": of("50s"),
    "resnet50t": of("50t"),
    "resnetaa101d": of("101d"),
    "resnetaa34d": of("34d"),
    "resnetaa50": of("50"),
    "resnetaa50d": of("50d"),
    "resnetblur101d": of("101d"),
    "resnetblur18": of("18"),
    "resnetblur50": of("50"),
    "resnetblur50d": of("50d"),
    "resnetrs101": of("101", **RS),
    "resnetrs152": of("152", **RS),
    "resnetrs200": of("200", **RS),
    "resnetrs270": of("270", **RS),
    "resnetrs350": of("350", **RS),
    "resnetrs420": of("420", **RS),
    "resnetrs50": of("50", **RS),
    "resnext101_32x16d": of("101", "32x16"),
    "resnext101_32x32d": of("101", "32x32"),
    "resnext101_32x4d": of("101", "32x4"),
    "resnext101_32x8d": of("101", "32x8"),
    "resnext101_64x4d": of("101", "64x4"),
    "resnext50_32x4d": of("50", "32x4"),
    "resnext50d_32x4d": of("50d", "32x4"),
    "senet154": of("152", "64x4", "se", stem_type="deep", down_kernel_size=3, block_reduce_first=2),
    "seresnet101": of("101", attention="se"),
    "seresnet152": of("152", attention="se"),
    "seresnet152d": of("152d", attention="se"),
    "seresnet18": of("18", attention="se"),
    "seresnet200d": of("200d", attention="se"),
    "seresnet269d": of("269d", attention="se"),
    "seresnet34": of("34", attention="se"),
    "seresnet50": of("50", attention="se"),
    "seresnet50t": of("50t", attention="se"),
    "seresnetaa50d": of("50d", attention="se"),
    "seresnext101_32x4d": of("101", "32x4", "se"),
    "seresnext101_32x8d": of("101", "32x8", "se"),
    "seresnext101_64x4d": of("101", "64x4", "se"),
    "seresnext101d_32x8d": of("101d", "32x8", "se"),
    "seresnext26d_32x4d": of("26d", "32x4", "se"),
    "seresnext26t_32x4d": of("26t", "32x4", "se"),
    "seresnext50_32x4d": of("50", "32x4", "se"),
    "seresnextaa101d_32x8d": of("101d", "32x8", "se"),
    "seresnextaa201d_32x8d": of("201d", "32x8", "se", stem_width=64),
    "wide_resnet101_2": of("101", base_width=128),
    "wide_resnet50_2": of("50", base_width=128),
}
