"""Reformer's attention, inside chunks or inside buckets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import CacheRow, Row, linear


class ReformerAttention(Block):
    """Attention of Reformer (Kitaev et al. 2020): inside chunks of neighbours, or, `hashed`, inside buckets of queries that
    are their own keys.

    Weights: q, k and v [heads·head_dim, width] (one for q and k where hashed), o [width, heads·head_dim].
    Cache per token and layer: the layer's input [width], from which keys and values are made again. Not counted: the
    numbers of the buckets.
    """

    home: ClassVar[str] = "attention"

    heads: Count
    head_dim: Count
    hashed: bool = False
    chunk: Count | None = None
    """Neighbours that are looked at together."""
    dropout: Share = 0.0

    def parameters(self, at: Place) -> Iterator[Row]:
        every = self.sized.heads * self.sized.head_dim
        for name in ("qk_proj", "v_proj") if self.hashed else ("q_proj", "k_proj", "v_proj"):
            yield from linear(name, every, at.width, split=0)
        yield from linear("o_proj", at.width, every, split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        yield CacheRow("hidden_state", (at.width,))
