"""Attention with relative positions and a memory of earlier segments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import BIAS, WEIGHT, CacheRow, Row


class RelativeAttention(Block):
    """Transformer-XL's attention (Dai et al. 2019, §3.3) with XLNet's relative segments (Yang et al. 2019, §2.5).

    Weights, stored as bare tensors [width, heads, head_dim]: q, k, v, o, and r for positions; biases [heads, head_dim] that
    stand for queries against content, positions and segments; a table [segments, heads, head_dim] of segments.
    Cache per token and layer: the layer's input, `width` elements, of the last `memory` tokens.
    """

    home: ClassVar[str] = "attention"

    heads: Count
    head_dim: Count
    segments: Count = 2
    memory: Count | None = None
    """Tokens of earlier segments that are remembered; none if left out."""
    dropout: Share = 0.0
    """Of the attention weights."""
    output_dropout: Share = 0.0
    """Of its output, before it is added to the stream."""

    def parameters(self, at: Place) -> Iterator[Row]:
        dims = (self.sized.heads, self.sized.head_dim)
        for name in ("q", "k", "v", "o", "r"):
            yield Row(name, (at.width, *dims), WEIGHT, role=name, split=1)
        for name in ("r_r_bias", "r_s_bias", "r_w_bias"):
            yield Row(name, dims, BIAS, role=name, split=0)
        yield Row("seg_embed", (self.sized.segments, *dims), WEIGHT, role="seg_embed", split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        if self.memory:
            yield CacheRow("memory", (at.width,), "token", self.memory)
