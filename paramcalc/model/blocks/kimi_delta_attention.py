"""Linear attention whose state decays channel by channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, conv_state, depthwise, linear, norm, state


class KimiDeltaAttention(Block):
    """Kimi Delta Attention (Kimi Team 2025, Kimi Linear, §3): the gated delta rule with a decay for each key channel.

    With all = heads·head_dim: q, k and v [all, width] and one depthwise convolution [3·all, 1, kernel] over them, the decay
    f and the output gate g [all, width] each or, with `gate_rank`, as [gate_rank, width] and [all, gate_rank]; the step
    b [heads, width], dt_bias [all], A_log [heads], a norm [head_dim] that all heads share, out [width, all].
    State per sequence: 3·all·kernel in the model's format, heads·head_dim² in fp32.
    """

    home: ClassVar[str] = "linear_attention"

    heads: Count
    head_dim: Count
    kernel: Count
    gate_rank: Count | None = None
    """Rank of the two gates' projections; full matrices if left out."""
    decay_axes: Count = 1
    """Axes that A_log is stored with: 1, or 4 for [1, 1, heads, 1]."""

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        every = n.heads * n.head_dim
        for name in ("q_proj", "k_proj", "v_proj"):
            yield from linear(name, every, at.width, split=0)
        yield from depthwise("conv1d", 3 * every, n.kernel)
        yield from self._gate("f", at)
        yield Row("dt_bias", (every,), BIAS, split=0)
        yield Row("A_log", (n.heads,) if self.decay_axes == 1 else (1, 1, n.heads, 1), split=0 if self.decay_axes == 1 else 2)
        yield from linear("b_proj", n.heads, at.width, split=0)
        yield from self._gate("g", at)
        yield from norm("o_norm", n.head_dim)
        yield from linear("o_proj", at.width, every, split=1)

    def _gate(self, name: str, at: Place) -> Iterator[Row]:
        n = self.sized
        every = n.heads * n.head_dim
        if self.gate_rank:
            yield from linear(f"{name}_a_proj", n.gate_rank, at.width)
            yield from linear(f"{name}_b_proj", every, n.gate_rank, split=0)
        else:
            yield from linear(f"{name}_proj", every, at.width, split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        yield conv_state(3 * n.heads * n.head_dim, n.kernel)
        yield state("recurrent_state", n.heads, n.head_dim, n.head_dim)
