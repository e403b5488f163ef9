"""RegNet (Radosavovic et al. 2020): the widths of all layers follow from a line that is quantised."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import log
from typing import Literal

from paramcalc.gate.families.maps import batch_norm, convolution, divisible
from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.options import MOST_ITEMS, Options, Pool
from paramcalc.gate.networks.pieces import classes, squeezed

QUANTUM = 8
Norm = Literal["batchnorm", "GroupNormAct(group_size=16)"]


@dataclass(frozen=True, kw_only=True)
class RegNet(Options):
    """Layer i has a width near w0 + wa · i, rounded to w0 · wm^k and then to a multiple of 8."""

    model_cls: Literal["RegNet"] = "RegNet"
    depth: int = 21
    w0: int = 80
    wa: float = 42.63
    wm: float = 2.66
    group_size: int = 24
    bottle_ratio: float = 1.0
    se_ratio: float = 0.0
    group_min_ratio: float = 0.0
    """Where not 0, widths are made divisible by groups so that no more than this share is lost."""
    stem_width: int = 32
    downsample: Literal["conv1x1", "avg"] | None = "conv1x1"
    linear_out: bool = False
    preact: bool = False
    """Whether norms stand before convolutions."""
    num_features: int = 0
    """Width of a last 1×1 convolution, where there is one."""
    act_layer: str = "relu"
    norm_layer: Norm = "batchnorm"
    output_stride: Literal[8, 16, 32] = 32
    global_pool: Pool = "avg"


def stages(o: RegNet) -> list[tuple[int, int, int]]:
    """Width, number of layers and size of groups of each stage."""
    if o.depth > MOST_ITEMS:
        raise ValueError(f"more than {MOST_ITEMS:,} layers")
    exponents = [round(log((o.wa * index + o.w0) / o.w0) / log(o.wm)) for index in range(o.depth)]
    counts = Counter(round(o.w0 * o.wm**exponent / QUANTUM) * QUANTUM for exponent in exponents)
    found = []
    for width, number in sorted(counts.items()):
        inner = int(width * o.bottle_ratio)
        group = min(o.group_size, inner)
        inner = divisible(inner, group, limit=o.group_min_ratio) if o.group_min_ratio else round(inner / group) * group
        found.append((int(inner / o.bottle_ratio), number, group))
    return found


def normed(o: RegNet, path: str, width: int) -> Tree:
    return batch_norm(path, width) | ({} if o.norm_layer == "batchnorm" else {"type": "group"})


def step(o: RegNet, name: str, path: str, read: int, made: int, side: int, *, stride: int = 1, groups: int = 1) -> Tree:
    """A convolution and its norm; before activation the norm of what is read stands in front, under a name of its own."""
    about: Tree = {"stride": stride, "groups": groups if groups > 1 else None, "bias": False}
    if o.preact:
        norm = normed(o, path.replace("conv", "norm"), read)
        return {f"norm_{name}": norm, f"convolution_{name}": convolution(path, read, made, side, **about)}
    made_norm = normed(o, f"{path}.bn", made)
    return {f"convolution_{name}": convolution(f"{path}.conv", read, made, side, **about), f"norm_{name}": made_norm}


def shortcut(o: RegNet, read: int, made: int, stride: int) -> Tree:
    path = "downsample" + (".{}" if o.downsample == "avg" else "")
    if o.preact:
        return {"shortcut": convolution(path, read, made, stride=stride, bias=False)}
    return step(o, "shortcut", path, read, made, 1, stride=stride)


def layer(o: RegNet, read: int, made: int, group: int, stride: int) -> Tree:
    """1×1, 3×3 in groups, 1×1; Y's squeeze and excite to a share of what came in."""
    inner = round(made * o.bottle_ratio)
    parts = step(o, "1", "conv1", read, inner, 1) | step(o, "2", "conv2", inner, inner, 3, stride=stride, groups=inner // group)
    if o.se_ratio:
        parts["excitation"] = squeezed("se", inner, round(read * o.se_ratio))
    parts |= step(o, "3", "conv3", inner, made, 1)
    return parts | (shortcut(o, read, made, stride) if o.downsample and (read != made or stride > 1) else {})


def network(o: RegNet) -> Tree:
    read = o.stem_width
    parts: Tree = {"stem": convolution("stem" if o.preact else "stem.conv", o.in_chans, read, 3, stride=2, bias=False)}
    if not o.preact:
        parts["stem_norm"] = normed(o, "stem.bn", read)
    for index, (width, number, group) in enumerate(stages(o), 1):
        blocks: Tree = {}
        for place in range(1, number + 1):  # the reference gives each layer a name, not an index
            blocks[f"b{place}"] = {"path": f"b{place}", **layer(o, read, width, group, 2 if place == 1 else 1)}
            read = width
        parts[f"stage_{index}"] = {"path": f"s{index}", "width": width, **blocks}
    if o.num_features:
        last = convolution("final_conv.conv", read, o.num_features, bias=False)
        parts |= {"final": last, "final_norm": normed(o, "final_conv.bn", o.num_features)}
        read = o.num_features
    return parts | classes(o.num_classes, read)


DEFAULT = RegNet()
