"""The blocks of mobile networks, as timm writes them: `ir_r2_k3_s2_e6_c24_se0.25` is an inverted residual, twice, with a 3×3
kernel, stride 2, widening by 6, to 24 channels, squeezed to a quarter."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from paramcalc.gate.families.maps import convolution, divisible
from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.pieces import squeezed, vector

MOST_BLOCKS = 1_000
Kernels = int | tuple[int, ...]
"""One side, or several: channels are shared out among kernels of these sides (Tan & Le 2019b)."""
NORMS = {"BatchNorm2d": "batch", "GroupNormAct(group_size=8)": "group", "GroupNormAct(group_size=16)": "group"}
NORMS |= {"LayerNormAct2d": "layer", "RmsNorm2d": "rms"}


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of a text, and what the network around it decides for it."""

    kind: str
    fields: dict[str, str]
    inputs: int
    outputs: int
    stride: int
    norm: str
    excites: bool = True
    """Whether it squeezes where it says so."""
    squeeze_from_input: bool = True
    """Whether the share that it squeezes to is one of its input, not of the widened map."""
    rounding: str = ""
    """How that size is rounded, where not to the next whole number."""
    scaled: bool = False
    group_size: int | None = None
    unfolds: int = 0
    """Space to depth: 1 where it begins with that, 2 where an earlier block did."""
    widening: float = 1.0

    def kernels(self, key: str, default: Kernels = 1) -> Kernels:
        if key not in self.fields:
            return default
        sides = tuple(int(side) for side in self.fields[key].split("."))
        return sides[0] if len(sides) == 1 else sides

    def whole(self, key: str, default: int = 0) -> int:
        return int(self.fields.get(key, default))


def read(text: str) -> tuple[str, dict[str, str], int]:
    """The kind of a block, its fields, and how often it stands there."""
    kind, *words = text.split("_")
    found = [re.fullmatch(r"([a-z]+?)(\d[\d.]*)", word) for word in words]
    fields = {match[1]: match[2] for match in found if match}
    return kind, fields, max(1, int(fields.get("r", 1)))


def groups(block: Block, channels: int, usual: int) -> int:
    size = block.whole("gs", usual if block.group_size is None else block.group_size)
    return max(1, channels // size) if size else 1


def shares(channels: int, count: int) -> list[int]:
    rest = channels // count
    return [channels - rest * (count - 1), *[rest] * (count - 1)]


def mixed(name: str, path: str, inputs: int, outputs: int, sides: Kernels, *, parts: int = 1, experts: int = 0) -> Tree:
    """A convolution without bias in `parts` groups; several kernels side by side, or several experts' kernels as rows of a
    matrix (Yang et al. 2019)."""
    if experts and isinstance(sides, int):
        numbers = prod((outputs, inputs // parts, sides, sides))
        return {name: vector(f"{path}.weight", experts, numbers, component="convolution")}
    if isinstance(sides, int):
        return {name: convolution(path, inputs, outputs, sides, groups=parts if parts > 1 else None, bias=False)}
    both = zip(sides, shares(inputs, len(sides)), shares(outputs, len(sides)), strict=True)
    return {
        f"{name}_{index}": convolution(f"{path}.{{}}", before, after, side, groups=before if parts > 1 else None, bias=False)
        for index, (side, before, after) in enumerate(both)
    }


def normed(block: Block, path: str, width: int) -> Tree:
    return {"kind": "norm", "type": NORMS[block.norm], "path": path, "size": width}


def rounded_by(text: str, channels: float) -> int:
    """Channels by a rounding as timm's tables have it: `round_channels(multiplier=1.1, divisor=8)`."""
    given = {key: float(value) for key, value in re.findall(r"(multiplier|divisor|round_limit)=(\d[\d.]*)", text)}
    multiplier, divisor = given.get("multiplier", 1.0), int(given.get("divisor", 8))
    return divisible(channels * multiplier, max(1, divisor), limit=given.get("round_limit", 0.9))


def excitation(block: Block, channels: int) -> Tree:
    share = float(block.fields.get("se", 0))
    if not share or not block.excites:
        return {}
    share = share / block.widening if block.squeeze_from_input else share
    share = share / 4 if block.unfolds == 1 else share
    inner = rounded_by(block.rounding, channels * share) if block.rounding else round(channels * share)
    return {"excitation": squeezed("se", channels, max(1, inner), names=("conv_reduce", "conv_expand"))}


def unfolded(block: Block) -> tuple[Tree, int, Kernels]:
    """What a block that turns space into depth begins with, the channels that it then reads, and its kernel."""
    side, read_ = block.kernels("k"), block.inputs
    if block.unfolds != 1 or not isinstance(side, int):
        return {}, read_, side
    parts = {
        "unfold": convolution("conv_s2d", read_, 4 * read_, 2, stride=2, bias=False),
        "unfold_norm": normed(block, "bn_s2d", 4 * read_),
    }
    return parts, 4 * read_, (side + 1) // 2


def plain(block: Block) -> Tree:
    parts = groups(block, block.inputs, 0)
    conv = mixed("convolution", "conv", block.inputs, block.outputs, block.kernels("k"), parts=parts)
    return conv | {"norm": normed(block, "bn1", block.outputs)}


def separable(block: Block) -> Tree:
    """A depthwise convolution and a 1×1 (MobileNet, Howard et al. 2017)."""
    parts, channels, side = unfolded(block)
    parts |= mixed("depthwise", "conv_dw", channels, channels, side, parts=groups(block, channels, 1))
    parts |= {"norm_1": normed(block, "bn1", channels)} | excitation(block, channels)
    parts |= mixed("mix", "conv_pw", channels, block.outputs, block.kernels("p"))
    return parts | {"norm_2": normed(block, "bn2", block.outputs)}


def inverted(block: Block) -> Tree:
    """Widen, a depthwise convolution, narrow (MobileNetV2, Sandler et al. 2018)."""
    parts, channels, side = unfolded(block)
    inner, experts = divisible(channels * block.widening), block.whole("cc")
    parts |= mixed("expand", "conv_pw", channels, inner, block.kernels("a"), experts=experts)
    parts["norm_1"] = normed(block, "bn1", inner)
    parts |= mixed("depthwise", "conv_dw", inner, inner, side, parts=groups(block, inner, 1), experts=experts)
    parts |= {"norm_2": normed(block, "bn2", inner)} | excitation(block, inner)
    parts |= mixed("project", "conv_pwl", inner, block.outputs, block.kernels("p"), experts=experts)
    parts["norm_3"] = normed(block, "bn3", block.outputs)
    if experts:
        router = {"kind": "dense", "path": "routing_fn", "inputs": channels, "outputs": experts, "component": "router"}
        parts["router"] = router
    return parts


def edge(block: Block) -> Tree:
    """A full convolution that widens, and a 1×1 that narrows (EfficientNet-EdgeTPU, Gupta & Tan 2019)."""
    inner = divisible((block.whole("fc") or block.inputs) * block.widening)
    parts = mixed("expand", "conv_exp", block.inputs, inner, block.kernels("k"), parts=groups(block, inner, 0))
    parts |= {"norm_1": normed(block, "bn1", inner)} | excitation(block, inner)
    parts |= mixed("project", "conv_pwl", inner, block.outputs, block.kernels("p"))
    return parts | {"norm_2": normed(block, "bn2", block.outputs)}


def gained(block: Block) -> Tree:
    return {"scale": vector("layer_scale.gamma", block.outputs)} if block.scaled else {}


def universal(block: Block) -> Tree:
    """Depthwise convolutions before, within and behind the widening, each where it has a kernel (MobileNetV4, Qin et al. 2024)."""

    def step(name: str, path: str, read_: int, made: int, sides: Kernels = 1, parts: int = 1) -> Tree:
        return mixed(name, f"{path}.conv", read_, made, sides, parts=parts) | {f"{name}_norm": normed(block, f"{path}.bn", made)}

    inner, before, behind = divisible(block.inputs * block.widening), block.kernels("a", 0), block.kernels("p", 0)
    parts: Tree = step("start", "dw_start", block.inputs, block.inputs, before, groups(block, block.inputs, 1)) if before else {}
    parts |= step("expand", "pw_exp", block.inputs, inner)
    if block.kernels("k"):
        parts |= step("middle", "dw_mid", inner, inner, block.kernels("k"), groups(block, inner, 1))
    parts |= excitation(block, inner) | step("project", "pw_proj", inner, block.outputs)
    if behind:
        parts |= step("end", "dw_end", block.outputs, block.outputs, behind, groups(block, block.outputs, 1))
    return parts | gained(block)


def attending(block: Block) -> Tree:
    """Attention over a map's pixels by 1×1 convolutions: all heads share a key and a value (`mqa`; MobileNetV4), which may be
    made from a coarser map, or have their own (`mha`)."""
    width, heads, dim = block.inputs, max(1, block.whole("h", 1)), block.whole("d")

    def step(path: str, read_: int, made: int, side: int = 1, **fields: Any) -> Tree:
        return convolution(f"attn.{path}", read_, made, side, bias=False, component="attention", **fields)

    parts: Tree = {"norm": normed(block, "norm", width)}
    if block.kind == "mha":
        parts |= {"mixed": step("qkv", width, 3 * width), "output": step("proj", width, block.outputs)}
        return parts | gained(block)
    parts["query"] = step("query.proj", width, heads * dim)
    for name in ("key", "value"):
        if block.whole("v", 1) > 1:
            side = block.kernels("k")
            parts[f"{name}_down"] = step(f"{name}.down_conv", width, width, side if isinstance(side, int) else side[0], groups=width)
            parts[f"{name}_norm"] = normed(block, f"attn.{name}.norm", width)
        parts[name] = step(f"{name}.proj", width, dim)
    parts["output"] = step("output.proj", heads * dim, block.outputs)
    return parts | gained(block)


KINDS = {"cn": plain, "ds": separable, "dsa": separable, "er": edge, "ir": inverted, "mha": attending, "mqa": attending, "uir": universal}


def stages(definition: tuple[tuple[str, ...], ...], repeats: list[list[int]], first: Block, round_by: str) -> list[list[Block]]:
    """The blocks of all stages, each with what it reads; `first` holds what the network decides for all."""
    made, width, unfolds = [], first.inputs, 0
    for texts, numbers in zip(definition, repeats, strict=True):
        stage: list[Block] = []
        for text, number in zip(texts, numbers, strict=True):
            kind, fields, _ = read(text)
            if int(fields.get("fc", 0)):
                fields = fields | {"fc": str(rounded_by(round_by, int(fields["fc"])))}
            for _ in range(min(number, MOST_BLOCKS)):
                stride = int(fields.get("s", 1)) if not stage else 1
                widening, depth = float(fields.get("e", 1)) if kind in ("ir", "er", "uir") else 1.0, 0
                if not unfolds and kind in ("ir", "ds", "dsa") and int(fields.get("d", 0)):
                    unfolds = 1
                if unfolds == 2 and stride == 2:
                    stride, widening, unfolds = 1, widening / 4, 0
                elif unfolds:
                    depth = unfolds
                outputs = rounded_by(round_by, int(fields["c"])) * (4 if depth else 1)
                about: Tree = {"inputs": width, "outputs": outputs, "stride": stride, "unfolds": depth, "widening": widening}
                stage.append(replace(first, kind=kind, fields=fields, **about))
                width, unfolds = outputs, 2 if unfolds == 1 else unfolds
        made.append(stage)
    return made
