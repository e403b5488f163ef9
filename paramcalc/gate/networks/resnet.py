"""ResNet and its kin: ResNeXt, Wide ResNet, SE-ResNet, ECA-ResNet, ResNet-RS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from paramcalc.gate.families.maps import batch_norm, convolution
from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.options import Options, Pool
from paramcalc.gate.networks.pieces import classes, eca, rounded, squeezed


@dataclass(frozen=True, kw_only=True)
class ResNet(Options):
    """The stem is one 7×7 convolution, or `deep`: three 3×3 (He et al. 2019), of rising widths where `deep_tiered`."""

    model_cls: Literal["ResNet"] = "ResNet"
    layers: tuple[int, ...] = (3, 4, 6, 3)
    block: Literal["BasicBlock", "Bottleneck"] = "Bottleneck"
    """Layers are two 3×3 convolutions, or narrow to a quarter: 1×1, 3×3, 1×1 (He et al. 2016)."""
    channels: tuple[int, ...] = (64, 128, 256, 512)
    cardinality: int = 1
    """Groups of the 3×3 convolution (Xie et al. 2017)."""
    base_width: int = 64
    """Width of a group times cardinality, where `channels` say 64 (Zagoruyko & Komodakis 2016)."""
    stem_width: int = 64
    stem_type: Literal["", "deep", "deep_tiered"] = ""
    replace_stem_pool: bool = False
    """Whether the stem ends in a strided convolution instead of pooling (Bello et al. 2021)."""
    block_reduce_first: int = 1
    down_kernel_size: int = 1
    avg_down: bool = False
    """Whether shortcuts pool before their convolution, which is 1×1."""
    block_args: dict[str, Literal["se", "eca", "SEModule(rd_ratio=0.25)"]] = field(default_factory=dict)
    """Attention over channels at the end of a layer, under `attn_layer`."""
    norm_layer: Literal["BatchNorm2d", "groupnorm"] = "BatchNorm2d"
    aa_layer: Literal["", "AvgPool2d", "BlurPool2d"] = ""
    """What blurs before striding; it holds no parameters."""
    act_layer: str = "ReLU"
    global_pool: Pool = "avg"
    output_stride: Literal[8, 16, 32] = 32


def expansion(o: ResNet) -> int:
    return 4 if o.block == "Bottleneck" else 1


def normed(o: ResNet, path: str, width: int) -> Tree:
    return batch_norm(path, width) | ({"type": "group"} if o.norm_layer == "groupnorm" else {})


def step(o: ResNet, name: str, inputs: int, outputs: int, side: int, *, stride: int = 1, groups: int = 1, path: str = "") -> Tree:
    """A convolution without bias and its norm."""
    paths = (path, path) if path else (f"conv{name}", f"bn{name}")
    conv = convolution(paths[0], inputs, outputs, side, stride=stride, groups=groups if groups > 1 else None, bias=False)
    return {f"convolution_{name}": conv, f"norm_{name}": normed(o, paths[1], outputs)}


def layer(o: ResNet, inputs: int, inner: int, stride: int, side: int) -> Tree:
    """A residual layer; its stride is that of the 3×3 convolution, unlike the first ResNet's. `side` is the shortcut's."""
    outputs = inner * expansion(o)
    first = o.block_reduce_first
    if o.block == "Bottleneck":
        inner = int(inner * (o.base_width / 64)) * o.cardinality
        made = step(o, "1", inputs, inner // first, 1)
        made |= step(o, "2", inner // first, inner, 3, stride=stride, groups=o.cardinality) | step(o, "3", inner, outputs, 1)
    else:
        made = step(o, "1", inputs, inner // first, 3, stride=stride) | step(o, "2", inner // first, outputs, 3)
    chain = " ".join(made)
    attention = o.block_args.get("attn_layer")
    if attention == "eca":
        made["excitation"] = eca("se", outputs)
    elif attention:
        made["excitation"] = squeezed("se", outputs, rounded(outputs * (1 / 16 if attention == "se" else 0.25)))
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
    return [stem(o)[1], *(width * expansion(o) for width in o.channels)]


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


DEFAULT = ResNet()
