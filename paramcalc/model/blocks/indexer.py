"""The scorer of sparse attention: which tokens a query looks at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, linear, norm
from paramcalc.words.sizes import Size


class Indexer(Block):
    """Scores of small queries and one small key a token choose what the attention beside it reads (DeepSeek-AI 2025,
    DeepSeek-V3.2-Exp, §2.1, the lightning indexer).

    Weights: q [heads·head_dim, q_inputs], k [head_dim, width] with its norm, and one weight a head [heads, width].
    Cache per token and layer: head_dim elements; with a `pool` also the gates, and whether the token is one.
    """

    home: ClassVar[str] = "attention"

    heads: Count
    head_dim: Count
    q_inputs: Count | None = None
    """Width of the latent that queries are made from; the stream's if left out."""
    fused: bool = False
    """Whether queries and keys are one matrix [(heads + 1)·head_dim, width] (Qwen4-Exp)."""
    keys: bool = True
    """Whether it makes its keys itself (DeepSeek-V4's come from a compressor)."""
    key_norm: Literal["layer", "rms"] = "layer"
    query_norm: bool = False
    """Whether queries pass an RMS norm [head_dim]."""
    weights: bool = True
    """Whether each head's score has a weight that is made from the stream."""
    pool: Count | None = None
    """Tokens whose keys are pooled into one by gates [head_dim, width] and positions [pool, head_dim] (GLM-5.3)."""

    def parameters(self, at: Place) -> Iterator[Row]:
        heads, head_dim = self.sized.heads, self.sized.head_dim
        inputs = Size(self.q_inputs, "q_inputs") if self.q_inputs else at.width
        if self.fused:
            yield from linear("qk_proj", (heads + 1) * head_dim, inputs)
        else:
            yield from linear("q_proj", heads * head_dim, inputs, split=0)
        if self.query_norm:
            yield from norm("q_norm", head_dim)
        if self.keys:
            if not self.fused:
                yield from linear("k_proj", head_dim, at.width)
            yield from norm("k_norm", head_dim, bias=self.key_norm == "layer")
        if self.weights:
            yield from linear("weights_proj", heads, at.width, split=0)
        if self.pool:
            yield Row("pool_position", (self.sized.pool, head_dim), role="pool_position")
            yield Row("pool_gate", (head_dim, at.width), role="pool_gate")

    def cache(self, at: Place) -> Iterator[CacheRow]:
        if self.keys:
            yield CacheRow("index_key", (2 * self.sized.head_dim + 1 if self.pool else self.sized.head_dim,))
