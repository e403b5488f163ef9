"""Dropout on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Place, Share

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Dropout(Block):
    """Zeroes a `rate` of the stream in training (Srivastava et al. 2014). Stores nothing; its mask is an activation.

    Stands where a model drops between blocks (after its embeddings, before a classifier); the dropout inside a block or
    at its end is a field of that block.
    """

    home: ClassVar[str] = "other"

    rate: Share
    whole: bool = False
    """Whether it zeroes all of a sequence or nothing of it (stochastic depth, Huang et al. 2016), so that the mask is one number each."""

    in_place: bool = False
    """Whether the framework drops in place, and then keeps noise in the stream's format and no mask."""

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if self.whole:
            return tape.drop_path(x) if self.rate else x
        return tape.noise(x) if self.in_place and self.rate else tape.dropout(x, self.rate)
