"""The selective state space of Mamba."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import model_validator

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, conv_state, depthwise, linear, norm, state


class Mamba(Block):
    """Mamba's mixer (Gu & Dao 2023, §3): `inner` channels with `state` numbers each, whose step, input and output maps
    depend on the token; a gate and a short causal convolution before it.

    Weights: in [2·inner, width], conv [inner, 1, kernel], x [rank + 2·state, inner], dt [inner, rank] with a bias, A_log
    [inner, state], D [inner], out [width, inner]. With `heads` (Zamba) x, dt, A_log and D come per head: x [heads,
    rank + 2·state, inner/heads] and so on. `inner_norms` (Jamba) adds a norm each for dt [rank], B and C [state].
    State per sequence: inner·kernel in the model's format, inner·state in fp32. Nothing grows with the context.
    """

    home: ClassVar[str] = "state_space"

    inner: Count
    state: Count
    kernel: Count
    rank: Count
    """Width of the step's low-rank projection (`dt_rank`)."""
    heads: Count | None = None
    """Heads with maps of their own, each over inner / heads channels."""
    bias: bool = False
    """Biases of the projections in and out."""
    conv_bias: bool = True
    inner_norms: bool = False
    activation: Activation = "silu"

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.heads and self.inner % self.heads:
            raise ValueError(f"heads ({self.heads}) does not divide inner ({self.inner})")
        return self

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        yield from linear("in_proj", 2 * n.inner, at.width, bias=self.bias, split=0)
        yield from depthwise("conv1d", n.inner, n.kernel, bias=self.conv_bias)
        if self.heads:
            yield from self._per_head()
        else:
            yield from linear("x_proj", n.rank + 2 * n.state, n.inner, split=1)
            yield from linear("dt_proj", n.inner, n.rank, bias=True, split=0)
            yield Row("A_log", (n.inner, n.state), split=0)
            yield Row("D", (n.inner,), split=0)
        yield from linear("out_proj", at.width, n.inner, bias=self.bias, split=1)
        if self.inner_norms:
            yield from norm("dt_norm", n.rank)
            yield from norm("b_norm", n.state)
            yield from norm("c_norm", n.state)

    def _per_head(self) -> Iterator[Row]:
        n = self.sized
        channels = n.inner // n.heads
        yield Row("x_proj_weight", (n.heads, n.rank + 2 * n.state, channels), split=0)
        yield Row("dt_proj_weight", (n.heads, channels, n.rank), split=0)
        yield Row("dt_proj_bias", (n.heads, channels), BIAS, split=0)
        yield Row("A_log", (n.heads, channels, n.state), split=0)
        yield Row("D", (n.heads, channels), split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        yield conv_state(n.inner, n.kernel)
        yield state("recurrent_state", n.inner, n.state)
