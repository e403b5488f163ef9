"""The state space of Mamba-2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, conv_state, depthwise, linear, norm, state


class Mamba2(Block):
    """Mamba-2's mixer (Dao & Gu 2024, §7): `heads` heads of `head_dim` channels, each with one decay, and input and output
    maps of `state` numbers shared by the heads of a group.

    With inner = heads·head_dim and mixed = inner + 2·groups·state: in [inner + mixed + heads, width] (gate, what is
    convolved, steps), conv [mixed, 1, kernel], dt_bias, A_log and D [heads], a gated norm [inner], out [width, inner].
    State per sequence: mixed·kernel in the model's format, inner·state in fp32. Nothing grows with the context.
    """

    home: ClassVar[str] = "state_space"

    heads: Count
    head_dim: Count
    state: Count
    groups: Count = 1
    kernel: Count
    bias: bool | list[Literal["in", "out"]] = False
    conv_bias: bool = True
    norm: bool = True
    """Whether the output passes a gated norm."""
    activation: Activation = "silu"

    def has_bias(self, projection: str) -> bool:
        return self.bias if isinstance(self.bias, bool) else projection in self.bias

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        inner = n.heads * n.head_dim
        mixed = inner + 2 * n.groups * n.state
        yield from linear("in_proj", inner + mixed + n.heads, at.width, bias=self.has_bias("in"), split=0)
        yield from depthwise("conv1d", mixed, n.kernel, bias=self.conv_bias)
        yield Row("dt_bias", (n.heads,), BIAS, split=0)
        yield Row("A_log", (n.heads,), split=0)
        yield Row("D", (n.heads,), split=0)
        if self.norm:
            yield from norm("norm", inner)
        yield from linear("out_proj", at.width, inner, bias=self.has_bias("out"), split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        yield conv_state(n.heads * n.head_dim + 2 * n.groups * n.state, n.kernel)
        yield state("recurrent_state", n.heads, n.head_dim, n.state)
