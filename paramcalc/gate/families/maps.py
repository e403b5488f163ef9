"""Pieces of networks over maps of pixels: convolutions, batch norms, heads of classifiers."""

from __future__ import annotations

from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, tree, under
from paramcalc.gate.families.vision import classifier, refuse


def convolution(path: str, inputs: int, outputs: int, side: int | list[int] = 1, *, stride: int = 1, **fields: Any) -> Tree:
    """A convolution over two axes; `side` of its kernel, or height and width."""
    kernel = side if isinstance(side, list) else [side, side]
    strides = [stride, stride] if stride > 1 else None
    return tree(kind="convolution", path=path, inputs=inputs, outputs=outputs, kernel=kernel, stride=strides) | tree(**fields)


def depthwise(path: str, channels: int, side: int | list[int], **fields: Any) -> Tree:
    """A kernel of its own for each channel."""
    return convolution(path, channels, channels, side, groups=channels, **fields)


def batch_norm(path: str, size: int) -> Tree:
    """Its running statistics are buffers."""
    return {"kind": "norm", "type": "batch", "path": path, "size": size}


def step(name: str, block: Tree, norm: str) -> Tree:
    """A convolution without bias, then a batch norm under a path of its own."""
    return {name: block | {"bias": False}, f"{name}_norm": batch_norm(norm, block["outputs"])}


def classified(
    c: Config, parts: Tree, base: str, width: int, *, top: Tree | None = None, path: str = "classifier", whole: bool = False, **fields: Any
) -> Tree:
    """The document of such a network: alone, or as module `base` under a classifier, which `top` precedes. A backbone is no
    different from it alone, but where it holds it `whole`, as a module."""
    task = c.task("base")
    parts = under(f"{base}.", parts) if base and (task == "image_classification" or (whole and task == "backbone")) else parts
    if task == "image_classification":
        head = tree(head=classifier(c, path, width))
        return document(c, parts | (top or {}) | head, width=width, cache=False, **fields)
    if task not in ("base", "backbone"):
        refuse(c)
    return document(c, parts, width=width, cache=False, **fields)


def divisible(value: float, divisor: int = 8, least: int | None = None, *, limit: float = 0.9) -> int:
    """The nearest multiple, at least `least` (the divisor itself if left out), and never less than the share `limit` of it."""
    nearest = max(divisor if least is None else least, int(value + divisor / 2) // divisor * divisor)
    return int(nearest + divisor if nearest < limit * value else nearest)
