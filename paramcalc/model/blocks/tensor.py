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
    scales: bool = False
    """Whether the stream is multiplied with it (LayerScale, Touvron et al. 2021)."""
    relative: Literal["made", "kept"] | None = None
    """Whether it is a table [distances, heads] of what attention adds to its scores, in which each pair of tokens looks up its own at
    indices that the model makes, or keeps as a buffer."""
    masks: bool = False
    """Whether it stands for tokens that are hidden, so that nothing reads it where none are."""

    multiplies: bool = False
    """Whether rows of the stream are multiplied with it as a matrix [inputs, outputs]."""
    hides: bool = False
    """Whether training writes it over some tokens of every sequence (SpecAugment, Park et al. 2019)."""

    def parameters(self, at: Place) -> Iterator[Row]:
        yield Row("", tuple(self.shape), self.type, trainable=self.trainable)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if self.joins:
            return tape.prepend(x, tape.weight(""))
        if self.scales:
            return tape.multiply(x, tape.weight(""))
        if self.multiplies:
            return tape.product(x, tape.weight(""), self.shape[-1])
        if self.hides:
            return tape.hide(x, tape.weight(""))
        if self.relative:
            tape.distances(tape.weight(""), made=self.relative == "made")
        if self.relative or self.masks:
            return x
        raise NotImplementedError("a parameter that belongs to no layer")
