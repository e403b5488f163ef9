"""A bare parameter: a class token, a scale, a mixing coefficient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import Row


class Tensor(Block):
    """One tensor of any shape that belongs to no layer; `shape: []` is a single number."""

    home: ClassVar[str] = "other"

    shape: list[Count]
    type: Literal["weight", "bias", "embedding"] = "weight"
    """The kind it is counted as."""
    trainable: bool = True

    def parameters(self, at: Place) -> Iterator[Row]:
        yield Row("", tuple(self.shape), self.type, trainable=self.trainable)
