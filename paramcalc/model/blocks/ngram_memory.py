"""A table of hashed n-grams that feeds the streams of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import model_validator

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import EMBEDDING, CacheRow, Row, depthwise, linear, norm, state


class NgramMemory(Block):
    """Per-layer n-gram embeddings (Qwen4-Exp's PLE): the last tokens are hashed into one row for each of `tables`, gated by the
    stream, and added to it through a dilated short convolution.

    With all = streams·width: one table [vocabulary, size/tables] for all hashes, key [all, size], value [width, size],
    three norms [all], a depthwise convolution [all, 1, kernel]. State per sequence: all·(kernel - 1)·ngram in the model's
    format. Not counted: the ids of the last ngram - 1 tokens.
    """

    home: ClassVar[str] = "other"

    vocabulary: Count
    size: Count
    """Width of what all tables give together."""
    tables: Count
    ngram: Count
    """Tokens of the longest n-gram, which is also the convolution's dilation."""
    kernel: Count
    streams: Count = 1
    """Residual streams side by side, each as wide as the stream."""

    @model_validator(mode="after")
    def _tables_divide(self) -> Self:
        if self.size % self.tables:
            raise ValueError(f"tables ({self.tables}) does not divide size ({self.size})")
        return self

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        every = n.streams * at.width
        yield Row("table.weight", (n.vocabulary, n.size // n.tables), EMBEDDING, "embedding", "embedding", "table", split=1)
        yield from linear("key_proj", every, n.size)
        yield from linear("value_proj", at.width, n.size)
        for name in ("norm_key", "norm_query", "norm_conv"):
            yield from norm(name, every)
        yield from depthwise("conv1d", every, n.kernel)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        if self.kernel > 1:
            yield state("conv_state", n.streams * at.width, (n.kernel - 1) * n.ngram, dtype="compute", split=None)
