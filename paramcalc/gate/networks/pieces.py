"""Pieces of image networks under timm's names."""

from __future__ import annotations

from math import log2
from typing import Any

from paramcalc.gate.families.maps import batch_norm, convolution, divisible
from paramcalc.gate.families.recipes import Tree, tree


def convolved(
    name: str, inputs: int, outputs: int, side: int, *, stride: int = 1, groups: int = 1, paths: tuple[str, str] = ("conv", "bn")
) -> Tree:
    """A convolution without bias and its batch norm."""
    plain = convolution(paths[0], inputs, outputs, side, stride=stride, groups=groups if groups > 1 else None, bias=False)
    return {name: plain, f"{name}_norm": batch_norm(paths[1], outputs)}


def squeezed(path: str, channels: int, inner: int, *, names: tuple[str, str] = ("fc1", "fc2")) -> Tree:
    """Squeeze and excitation (Hu et al. 2018): two 1×1 convolutions of the map's mean."""
    return {
        "path": path,
        "width": channels,
        "squeeze": convolution(names[0], channels, inner),
        "excite": convolution(names[1], inner, channels),
    }


def eca(path: str, channels: int) -> Tree:
    """Efficient channel attention (Wang et al. 2020): one kernel over the channels' means, odd and longer for more of them."""
    side = int(abs(log2(channels) + 1) / 2)
    kernel = max(3, side if side % 2 else side + 1)
    return {"path": path, "kernel": {"kind": "convolution", "path": "conv", "inputs": 1, "outputs": 1, "kernel": kernel, "bias": False}}


def rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of a divisor, at least the divisor."""
    return divisible(channels, divisor, limit=0.0)


def classes(outputs: int, inputs: int, path: str = "head.fc") -> Tree:
    """A linear map to the classes, where there are any."""
    return {"head": tree(kind="dense", path=path, inputs=inputs, outputs=outputs, component="head")} if outputs else {}


def vector(path: str, *shape: int, **fields: Any) -> Tree:
    """A learned gain or token of its own."""
    return {"kind": "tensor", "path": path, "shape": list(shape), **fields}
