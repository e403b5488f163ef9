"""An activation function on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.activations import Activation as Function
from paramcalc.model.parts import Block, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Activation(Block):
    """A function of each element. Stores nothing. Stands where a model applies one between blocks (behind a norm, or behind a
    residual sum); the one inside a block is a field of that block.
    """

    home: ClassVar[str] = "other"

    function: Function

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        return tape.activation(self.function, x)
