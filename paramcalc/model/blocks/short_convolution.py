"""A gated short convolution in the place of attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, conv_state, depthwise, linear


class ShortConvolution(Block):
    """LFM2's gated short convolution (Liquid AI 2025, LFM2 technical report): two gates around a depthwise causal convolution
    of `kernel` tokens.

    Weights: in [3·width, width] (both gates and what is convolved), conv [width, 1, kernel], out [width, width].
    State per sequence: width·kernel in the model's format.
    """

    home: ClassVar[str] = "convolution"

    kernel: Count
    bias: bool = False
    """Biases of both projections and of the convolution."""

    def parameters(self, at: Place) -> Iterator[Row]:
        yield from linear("in_proj", 3 * at.width, at.width, bias=self.bias, split=0)
        yield from depthwise("conv", at.width, self.sized.kernel, bias=self.bias)
        yield from linear("out_proj", at.width, at.width, bias=self.bias, split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        yield conv_state(at.width, self.sized.kernel)
