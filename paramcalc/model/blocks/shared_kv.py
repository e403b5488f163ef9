"""Attention whose one key is also its one value, with queries and output of low rank."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import CacheRow, Row, linear, norm
from paramcalc.words.sizes import Size


class SharedKV(Block):
    """All heads read one vector of `head_dim` a token, as key and as value; queries pass a latent of `q_rank`, the output
    one of `o_rank` for each of `groups` groups of heads (DeepSeek-V4).

    Weights: q_a [q_rank, width], q_b [heads·head_dim, q_rank], kv [head_dim, width], o_a [groups·o_rank,
    ⌊heads·head_dim / groups⌋], o_b [width, groups·o_rank], norms of the latent and of the key, one sink a head.
    Cache per token and layer: head_dim elements, of the last `window` tokens at most.
    """

    home: ClassVar[str] = "attention"

    heads: Count
    head_dim: Count
    q_rank: Count
    o_rank: Count
    groups: Count = 1
    window: Count | None = None
    """Tokens a query can look back."""
    dropout: Share = 0.0

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        together: Size = n.heads * n.head_dim
        yield from linear("q_a_proj", n.q_rank, at.width)
        yield from norm("q_a_norm", n.q_rank)
        yield from linear("q_b_proj", together, n.q_rank, split=0)
        yield from linear("kv_proj", n.head_dim, at.width)
        yield from norm("kv_norm", n.head_dim)
        yield from linear("o_a_proj", n.groups * n.o_rank, together // n.groups, split=0)
        yield from linear("o_b_proj", at.width, n.groups * n.o_rank, split=1)
        yield Row("sinks", (n.heads,), role="sinks", split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        yield CacheRow("key", (self.sized.head_dim,), window=self.window)
