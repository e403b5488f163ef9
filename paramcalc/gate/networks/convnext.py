"""ConvNeXt (Liu et al. 2022) and ConvNeXt V2 (Woo et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paramcalc.gate.families.maps import convolution, depthwise
from paramcalc.gate.families.recipes import Tree, stack
from paramcalc.gate.networks.options import Options, Pool
from paramcalc.gate.networks.pieces import classes, rounded, vector
from paramcalc.gate.networks.tokens import feed_forward

WIDENING = 4  # of the feed-forward networks, fixed in the reference's code


@dataclass(frozen=True, kw_only=True)
class ConvNeXt(Options):
    model_cls: Literal["ConvNeXt"] = "ConvNeXt"
    depths: tuple[int, ...] = (3, 3, 9, 3)
    dims: tuple[int, ...] = (96, 192, 384, 768)
    kernel_sizes: int | tuple[int, int, int, int] = 7
    ls_init_value: float | None = 1e-6
    """Where there is one, a gain at the end of each branch."""
    stem_type: Literal["patch", "overlap", "overlap_tiered", "overlap_act"] = "patch"
    """One convolution over patches, or two strided 3×3, of rising widths where `tiered`."""
    patch_size: int = 4
    head_norm_first: bool = False
    head_hidden_size: int | None = None
    """Where there is one, the head begins with a dense layer of this size."""
    head_init_scale: float = 1.0
    conv_mlp: bool = False
    """Whether feed-forward networks are written as 1×1 convolutions."""
    conv_bias: bool = True
    use_grn: bool = False
    """Whether they normalise the response of their inner map."""
    norm_layer: Literal["", "rmsnorm2d", "simplenorm"] = ""
    """A layer norm unless told otherwise; the others have no bias."""
    act_layer: str = "gelu"
    global_pool: Pool = "avg"
    output_stride: Literal[8, 16, 32] = 32


def normed(o: ConvNeXt, path: str, width: int) -> Tree:
    return {"kind": "norm", "type": "rms" if o.norm_layer else "layer", "path": path, "size": width}


def layer(o: ConvNeXt, width: int, side: int) -> Tree:
    """A depthwise convolution, a norm, and a feed-forward network; V2 normalises the response inside of it."""
    size = WIDENING * width
    parts: Tree = {"depthwise": depthwise("conv_dw", width, side, bias=o.conv_bias), "norm": normed(o, "norm", width)}
    if o.conv_mlp:
        parts["up"] = convolution("mlp.fc1", width, size, component="feed_forward")
        parts["down"] = convolution("mlp.fc2", size, width, component="feed_forward")
    else:
        parts["feed_forward"] = feed_forward("mlp", size)
    if o.use_grn:
        parts["response_gain"] = vector("mlp.grn.weight", size, component="norm")
        parts["response_bias"] = vector("mlp.grn.bias", size, component="norm", type="bias")
    return parts | ({"scale": vector("gamma", width)} if o.ls_init_value is not None else {})


def stem(o: ConvNeXt) -> Tree:
    width, bias = o.dims[0], o.conv_bias
    if o.stem_type == "patch":
        parts = {"stem": convolution("stem.{}", o.in_chans, width, o.patch_size, stride=o.patch_size, bias=bias)}
    else:
        middle = rounded(width // 2) if o.stem_type == "overlap_tiered" else width
        parts = {"stem_1": convolution("stem.{}", o.in_chans, middle, 3, stride=2, bias=bias)}
        parts["stem_2"] = convolution("stem.{}", middle, width, 3, stride=2, bias=bias)
    return parts | {"stem_norm": normed(o, "stem.{}", width)}


def network(o: ConvNeXt) -> Tree:
    parts, read = stem(o), o.dims[0]
    sides = o.kernel_sizes if isinstance(o.kernel_sizes, tuple) else (o.kernel_sizes,) * 4
    for index, (number, width, side) in enumerate(zip(o.depths, o.dims, sides, strict=True)):
        group: Tree = {"path": "stages.{}", "width": width}
        strided = index or (o.stem_type == "patch" and o.patch_size == 2)
        if strided or read != width:
            group["down_norm"] = normed(o, "downsample.{}", read)
            group["down"] = convolution("downsample.{}", read, width, 2 if strided else 1, stride=2 if strided else 1, bias=o.conv_bias)
        group["blocks"] = stack("blocks.{}", {"layer": layer(o, width, side)}, f"{number} layer")
        parts[f"stage_{index + 1}"], read = group, width
    parts["norm"] = normed(o, "norm_pre" if o.head_norm_first else "head.norm", read)
    if o.head_hidden_size and not o.head_norm_first:
        inner = {"kind": "dense", "path": "head.pre_logits.fc", "inputs": read, "outputs": o.head_hidden_size}
        parts["head_inner"], read = inner | {"component": "head"}, o.head_hidden_size
    return parts | classes(o.num_classes, read)


DEFAULT = ConvNeXt()
