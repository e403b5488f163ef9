"""A convolution over neighbouring tokens that skips padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import BIAS, WEIGHT, Row

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class MaskedConvolution(Block):
    """Kernels [width, width / groups, kernel] over tokens and a bias [width], beside the first layer of DeBERTa's second version:
    what padding made is zeroed, then dropout and an activation."""

    home: ClassVar[str] = "convolution"

    kernel: Count
    groups: Count = 1
    activation: Activation = "tanh"
    dropout: Share = 0.0

    def parameters(self, at: Place) -> Iterator[Row]:
        shape = (at.width, at.width // self.sized.groups, self.sized.kernel)
        yield Row("weight", shape, WEIGHT, "convolution", role="convolution")
        yield Row("bias", (at.width,), BIAS, "convolution", role="convolution")

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        channels_first = tape.copy(x)
        made = tape.copy(tape.convolution(channels_first, x.tokens, int(at.width)))
        made = tape.masked(made, tape.fresh(x.tokens, 1, "bool", "padding mask"))
        return tape.activation(self.activation, tape.dropout(made, self.dropout))
