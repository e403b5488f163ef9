"""A short convolution over the tokens before, channel by channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, depthwise, linear, state
from paramcalc.words.sizes import Size


class CausalConvolution(Block):
    """A depthwise convolution of the last `kernel` tokens that decoding carries on (as in Canon layers, Allen-Zhu 2025).

    Weights: one filter for each channel [channels, 1, kernel], bias [channels]. With `heads` the taps are static ones
    [kernel, channels] plus others for each token, [heads·kernel] of them from the stream (Inkling 2).
    State per sequence: channels·kernel.
    """

    home: ClassVar[str] = "convolution"

    channels: Count | None = None
    """The stream's width if left out."""
    kernel: Count
    bias: bool = False
    heads: Count | None = None
    state_dtype: Literal["fp32", "compute"] = "compute"

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        channels = Size(self.channels, "channels") if self.channels else at.width
        if self.heads:
            yield Row("static_weight", (n.kernel, channels), role="static_weight", split=1)
            yield from linear("weight_proj", n.heads * n.kernel, at.width)
        else:
            yield from depthwise("conv1d", channels, n.kernel, bias=self.bias)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        channels = Size(self.channels, "channels") if self.channels else at.width
        yield state("conv_state", channels, self.sized.kernel, dtype=self.state_dtype)
