"""Attention whose queries, keys and values are mixed with those of the tokens before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import BIAS, WEIGHT, CacheRow, Row, depthwise, linear, state


class CCA(Block):
    """Compressed convolutional attention (Figliolia et al. 2025) as ZAYA1 has it: queries and keys pass two short convolutions,
    one over each channel and one over each head; half of the values' dims come from the token before.

    With all = (heads + kv_heads)·head_dim: q [heads·head_dim, width], k [kv_heads·head_dim, width], two halves of v
    [kv_heads·head_dim/2, width], depthwise [all, 1, kernels[0]] and grouped [all, head_dim, kernels[1]] with biases [all],
    a scale for each KV head [kv_heads], o [width, heads·head_dim].
    Cache per token: 2·kv_heads·head_dim, of the last `window` at most; per sequence all·(kernels[0] + kernels[1] - 2) and
    kv_heads·head_dim/2, in the model's format.
    """

    home: ClassVar[str] = "attention"

    heads: Count
    kv_heads: Count
    head_dim: Count
    kernels: Annotated[list[Count], Field(min_length=2, max_length=2)]
    bias: bool = False
    window: Count | None = None
    rotary: bool = False
    dropout: Share = 0.0

    def inconsistencies(self, at: Place) -> Iterator[str]:
        if self.heads % self.kv_heads:
            yield f"kv_heads ({self.kv_heads}) does not divide heads ({self.heads})"

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        queries, keys = n.heads * n.head_dim, n.kv_heads * n.head_dim
        first, second = self.kernels
        yield from linear("q_proj", queries, at.width, bias=self.bias, split=0)
        yield from linear("k_proj", keys, at.width, bias=self.bias, split=0)
        for half in ("current", "delayed"):
            yield from linear(f"v_proj_{half}", keys // 2, at.width, bias=self.bias, split=0)
        yield from depthwise("conv_depthwise", queries + keys, first, bias=True)
        yield Row("conv_grouped.weight", (queries + keys, n.head_dim, second), WEIGHT, "convolution", role="conv_grouped", split=0)
        yield Row("conv_grouped.bias", (queries + keys,), BIAS, "convolution", role="conv_grouped", split=0)
        yield Row("temp", (n.kv_heads,), component="norm", split=0)
        yield from linear("o_proj", at.width, queries, bias=self.bias, split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        reach = sum(self.kernels) - 2
        yield CacheRow("key", (n.kv_heads, n.head_dim), window=self.window)
        yield CacheRow("value", (n.kv_heads, n.head_dim), window=self.window)
        if reach:
            yield state("conv_state", (n.heads + n.kv_heads) * n.head_dim, reach, dtype="compute")
        yield state("value_state", n.kv_heads * n.head_dim // 2, dtype="compute")
