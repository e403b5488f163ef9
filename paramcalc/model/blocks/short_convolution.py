"""A gated short convolution in the place of attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, conv_state, depthwise, linear

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class ShortConvolution(Block):
    """LFM2's gated short convolution (Liquid AI 2025, LFM2 technical report): two gates around a depthwise causal convolution
    of `kernel` tokens.

    Weights: in [3·width, width] (both gates and what is convolved), conv [width, 1, kernel], out [width, width].
    State per sequence: width·kernel in the model's format.
    """

    home: ClassVar[str] = "convolution"
    packages: ClassVar[str] = "causal-conv1d"

    kernel: Count
    bias: bool = False
    """Biases of both projections and of the convolution."""

    def parameters(self, at: Place) -> Iterator[Row]:
        yield from linear("in_proj", 3 * at.width, at.width, bias=self.bias, split=0)
        yield from depthwise("conv", at.width, self.sized.kernel, bias=self.bias)
        yield from linear("out_proj", at.width, at.width, bias=self.bias, split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        yield conv_state(at.width, self.sized.kernel)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """As transformers computes it without the kernel of causal-conv1d (`Lfm2ShortConv`)."""
        whole = tape.linear("in_proj", x)
        enters, leaves, mixed = (tape.slice(whole, x.width) for _ in range(3))
        mixed = tape.causal_convolution("conv", tape.multiply(enters, mixed), self.kernel)
        return tape.linear("out_proj", tape.multiply(leaves, mixed))
