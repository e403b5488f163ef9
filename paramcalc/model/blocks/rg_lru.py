"""The recurrent block of Griffin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import model_validator

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, depthwise, linear, state


class RgLru(Block):
    """Griffin's recurrent block (De et al. 2024, §2.3-2.4): two branches of `inner` channels, one of which passes a short
    convolution and a real-gated linear recurrent unit whose gates are block-diagonal over `heads`.

    Weights: y and x [inner, width], out [width, inner], conv [inner, 1, kernel], the recurrent parameter [inner], two gates
    [heads, inner/heads, inner/heads] with biases [heads, inner/heads]; everything has a bias.
    State per sequence: inner·(kernel - 1) in the model's format, inner in fp32.
    """

    home: ClassVar[str] = "recurrent"

    inner: Count
    heads: Count
    kernel: Count
    activation: Activation = "gelu"

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.inner % self.heads:
            raise ValueError(f"heads ({self.heads}) does not divide inner ({self.inner})")
        return self

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        block = n.inner // n.heads
        yield from linear("y_proj", n.inner, at.width, bias=True, split=0)
        yield from linear("x_proj", n.inner, at.width, bias=True, split=0)
        yield from linear("out_proj", at.width, n.inner, bias=True, split=1)
        yield from depthwise("conv1d", n.inner, n.kernel, bias=True)
        yield Row("recurrent_param", (n.inner,), split=0)
        for gate in ("input_gate", "recurrent_gate"):
            yield Row(f"{gate}_weight", (n.heads, block, block), split=0)
            yield Row(f"{gate}_bias", (n.heads, block), BIAS, split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        if self.kernel > 1:
            yield state("conv_state", n.inner, n.kernel - 1, dtype="compute")
        yield state("recurrent_state", n.inner)
