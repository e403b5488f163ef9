"""VGG (Simonyan & Zisserman 2015) and DenseNet (Huang et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from paramcalc.gate.families.maps import batch_norm, convolution
from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.options import Options, Pool
from paramcalc.gate.networks.pieces import classes

TOP, SIDE = 4096, 7
"""Width of VGG's last two layers, and the map that they read."""


@dataclass(frozen=True, kw_only=True)
class Classic(Options):
    model_cls: Literal["VGG", "DenseNet"] = "VGG"
    cfg: tuple[int | Literal["M"], ...] = ()
    """VGG's widths, `M` where the map is pooled."""
    mlp_ratio: float = 1.0
    norm_layer: Literal["", "BatchNorm2d", "batchnorm2d"] = ""
    """Whether VGG's convolutions have norms."""
    growth_rate: int = 32
    """What each of DenseNet's layers adds to the map."""
    block_config: tuple[int, ...] = (6, 12, 24, 16)
    bn_size: int = 4
    stem_type: Literal["", "deep"] = ""
    aa_layer: Literal["", "BlurPool2d"] = ""
    act_layer: str = "relu"
    global_pool: Pool = "avg"
    output_stride: Literal[32] = 32


def vgg(o: Classic) -> Tree:
    read, parts = o.in_chans, {}
    for index, width in enumerate((width for width in o.cfg if width != "M"), 1):
        parts[f"convolution_{index}"] = convolution("features.{}", read, width, 3)
        parts |= {f"norm_{index}": batch_norm("features.{}", width)} if o.norm_layer else {}
        read = width
    inner = int(TOP * o.mlp_ratio)
    parts |= {"top_1": convolution("pre_logits.fc1", read, inner, SIDE), "top_2": convolution("pre_logits.fc2", inner, TOP)}
    return parts | classes(o.num_classes, TOP)


def dense_layer(o: Classic, read: int) -> Tree:
    """A layer that reads all that came before, and adds a few channels to it."""
    inner = o.bn_size * o.growth_rate
    parts: Tree = {"norm_1": batch_norm("norm1", read), "convolution_1": convolution("conv1", read, inner, bias=False)}
    return parts | {"norm_2": batch_norm("norm2", inner), "convolution_2": convolution("conv2", inner, o.growth_rate, 3, bias=False)}


def densenet(o: Classic) -> Tree:
    width, parts = 2 * o.growth_rate, {}
    sizes = [o.in_chans, o.growth_rate, o.growth_rate, width] if o.stem_type else [o.in_chans, width]
    for index, (read, made) in enumerate(pairwise(sizes)):
        side = 3 if o.stem_type else 7
        parts[f"stem_{index}"] = convolution(f"features.conv{index}", read, made, side, stride=1 if index else 2, bias=False)
        parts[f"stem_norm_{index}"] = batch_norm(f"features.norm{index}", made)
    for index, number in enumerate(o.block_config, 1):
        block: Tree = {"path": f"features.denseblock{index}"}
        for place in range(1, number + 1):
            block[f"layer_{place}"] = {"path": f"denselayer{place}", **dense_layer(o, width)}
            width += o.growth_rate
        parts[f"block_{index}"] = block
        if index < len(o.block_config):
            halved = {"norm": batch_norm("norm", width), "convolution": convolution("conv", width, width // 2, bias=False)}
            parts[f"transition_{index}"] = {"path": f"features.transition{index}", "width": width, "halve": {"path": "", **halved}}
            width //= 2
    parts["norm"] = batch_norm("features.norm5", width)
    return parts | classes(o.num_classes, width, "classifier")


def network(o: Classic) -> Tree:
    return (densenet if o.model_cls == "DenseNet" else vgg)(o)


DEFAULT = Classic()
