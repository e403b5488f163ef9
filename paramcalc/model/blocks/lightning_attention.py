"""Linear attention with a fixed decay for each head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, linear, norm, state


class LightningAttention(Block):
    """Lightning attention (Qin et al. 2024; MiniMax-01, 2025, §2.2): each head sums keys times values into a matrix
    [head_dim, head_dim] that decays at a fixed rate.

    With all = heads·head_dim: qkv [3·all, width], a norm [all], the output gate [all, width], out [width, all].
    The decay rates are buffers. State per sequence: heads·head_dim².
    """

    home: ClassVar[str] = "linear_attention"

    heads: Count
    head_dim: Count
    state_dtype: Literal["fp32", "compute"] = "compute"

    def parameters(self, at: Place) -> Iterator[Row]:
        every = self.sized.heads * self.sized.head_dim
        yield from norm("norm", every)
        yield from linear("qkv_proj", 3 * every, at.width, split=0)
        yield from linear("out_proj", at.width, every, split=1)
        yield from linear("gate_proj", every, at.width, split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        yield state("recurrent_state", n.heads, n.head_dim, n.head_dim, dtype=self.state_dtype)
