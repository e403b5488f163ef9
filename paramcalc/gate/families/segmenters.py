"""Segmentation from the maps of a backbone: UPerNet."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.maps import convolution, step
from paramcalc.gate.families.nesting import nested
from paramcalc.gate.families.pyramid import MOST_STAGES, kept
from paramcalc.gate.families.recipes import Tree, document, labels
from paramcalc.gate.families.vision import refuse

MOST_SCALES = 64


def widths(part: Config) -> list[int]:
    """Of the maps that a backbone of stages gives out."""
    if part.model_type in ("swin", "maskformer-swin"):
        first, count = part.size("embed_dim"), min(len(part.sizes("depths")), MOST_STAGES)
        every = [first, *(first * 2**index for index in range(count))]
    elif part.model_type in ("bit", "resnet"):
        every = [part.size("embedding_size"), *part.sizes("hidden_sizes", least=1)]
    elif part.model_type in ("convnext", "convnextv2"):
        stages = part.sizes("hidden_sizes", least=1) or [1]
        every = [stages[0], *stages]
    else:
        part.fail("model_type", f"maps of a backbone of the type {part.model_type!r:.40} are not modelled here")
        return [1]
    return [every[index] for index in kept(part, len(every) - 1)] or [1]


def convolved(name: str, path: str, inputs: int, outputs: int, side: int = 1) -> Tree:
    """A convolution and its batch norm."""
    return step(name, convolution(f"{path}.conv", inputs, outputs, side), f"{path}.batch_norm")


def pyramid(c: Config, maps: list[int]) -> Tree:
    """Pooled views of the last map beside it (Zhao et al. 2017), then all maps from coarse to fine, side by side."""
    width, scales = c.size("hidden_size"), len(c.sizes("pool_scales"))
    if not 1 <= scales <= MOST_SCALES:
        c.fail("pool_scales", f"expected 1 to {MOST_SCALES} sizes, got {scales}")
        scales = 1
    parts: Tree = {"path": "decode_head", "head": convolution("classifier", width, labels(c), component="head")}
    pooled = convolved("pooled", "psp_modules.{}.{}", maps[-1], width)
    parts |= {"views": {"path": "", "repeat": scales, **pooled}}
    parts |= convolved("bottleneck", "bottleneck", maps[-1] + scales * width, width, 3)
    for index, read in enumerate(maps[:-1], 1):
        parts |= convolved(f"lateral_{index}", "lateral_convs.{}", read, width)
        parts |= convolved(f"fine_{index}", "fpn_convs.{}", width, width, 3)
    return parts | convolved("fused", "fpn_bottleneck", len(maps) * width, width, 3)


def auxiliary(c: Config, maps: list[int]) -> Tree:
    """A plain head on the third map (Long et al. 2015), for training."""
    read, width, number = c.optional("auxiliary_in_channels"), c.size("auxiliary_channels"), c.zero_or("auxiliary_num_convs")
    if read is None and len(maps) < 3:
        c.fail("auxiliary_in_channels", f"the reference reads the third map, and there are {len(maps)}")
    read = read or maps[min(2, len(maps) - 1)]
    parts: Tree = {"path": "auxiliary_head"}
    if number:
        parts |= convolved("first", "convs.{}", read, width, 3)
    if number > 1:
        parts["rest"] = {"path": "", "repeat": number - 1, **convolved("convolution", "convs.{}", width, width, 3)}
    if c.flag("auxiliary_concat_input"):
        parts |= convolved("joined", "conv_cat", read + width, width, 3)
    return parts | {"head": convolution("classifier", width, labels(c), component="head")}


def upernet(c: Config) -> Tree:
    """UPerNet (Xiao et al. 2018)."""
    part = c.part("backbone_config", "resnet")
    if c.architecture() and not c.architecture().endswith("ForSemanticSegmentation"):
        refuse(c)
    maps = widths(part)
    parts = nested(part, "backbone", "backbone", task="backbone") | {"decoder": pyramid(c, maps)}
    if c.flag("use_auxiliary_head", True):
        parts["auxiliary"] = auxiliary(c, maps)
    return document(c, parts, width=c.size("hidden_size"), cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"upernet": upernet}
