"""A bare parameter: a class token, a scale, a mixing coefficient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import Row

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Tensor(Block):
    """One tensor of any shape that belongs to no layer; `shape: []` is a single number."""

    home: ClassVar[str] = "other"

    shape: list[Count]
    type: Literal["weight", "bias", "embedding"] = "weight"
    """The kind it is counted as."""
    trainable: bool = True
    joins: bool = False
    """Whether it is tokens [1, tokens, width] that are put in front of the stream (a class token)."""

    def parameters(self, at: Place) -> Iterator[Row]:
        yield Row("", tuple(self.shape), self.type, trainable=self.trainable)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if not self.joins:
            raise NotImplementedError("a parameter that belongs to no layer")
        return tape.prepend(x, tape.weight(""))
