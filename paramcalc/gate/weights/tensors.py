"""What a weight file says it holds: one entry a tensor, and entries of equal layers folded into one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from paramcalc.words.sizes import MAX_SIZE, product

_INDEX = re.compile(r"(?<=\.)\d+(?=\.|\Z)")


class Stored(NamedTuple):
    """A tensor as a header describes it."""

    name: str
    shape: tuple[int, ...]
    format: str
    """The name of its number format, as the file writes it."""
    bytes: int
    file: str = ""


class Folded(NamedTuple):
    """Tensors whose names differ only in their indices."""

    name: str
    """With `{}` for each index."""
    shape: tuple[int, ...]
    format: str
    copies: int
    bytes: int
    """Of all of them."""

    @property
    def elements(self) -> int:
        """Elements of all of them."""
        return product(self.shape) * self.copies


def template(name: str) -> str:
    """`model.layers.17.mlp.up_proj.weight` as `model.layers.{}.mlp.up_proj.weight`."""
    return _INDEX.sub("{}", name)


def folded(tensors: Iterable[Stored]) -> list[Folded]:
    """Tensors of equal template, shape and format as one, in the order of first appearance."""
    found: dict[tuple[str, tuple[int, ...], str], tuple[int, int]] = {}
    for tensor in tensors:
        key = (template(tensor.name), tensor.shape, tensor.format)
        count, size = found.get(key, (0, 0))
        found[key] = (count + 1, size + tensor.bytes)
    return [Folded(*key, count, size) for key, (count, size) in found.items()]


def is_shape(value: object) -> bool:
    """Whether a header's shape is a list of sizes, and not absurd."""
    return (
        isinstance(value, list)
        and len(value) <= 8
        and all(type(size) is int and 0 <= size <= MAX_SIZE for size in value)
        and product(value) <= MAX_SIZE * 1000
    )
