"""How a layer takes its own embedding of each token in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.activations import Activation
from paramcalc.model.blocks.per_layer_embedding import NAME
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import Row, linear

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class PerLayerGate(Block):
    """W_up (act(W_gate x) · e) with the layer's part e [size] of `per_layer_embedding` (Gemma Team 2025, Gemma 3n).

    Weights: gate [size, width], up [width, size].
    """

    home: ClassVar[str] = "projection"

    size: Count
    activation: Activation = "gelu_pytorch_tanh"

    def parameters(self, at: Place) -> Iterator[Row]:
        yield from linear("gate", self.sized.size, at.width)
        yield from linear("up", at.width, self.sized.size)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        gate = tape.activation(self.activation, tape.linear("gate", x))
        return tape.linear("up", tape.multiply(gate, tape.slice(tape.aside[NAME], self.size)))
