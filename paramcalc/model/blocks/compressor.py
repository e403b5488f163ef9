"""Runs of tokens compressed into one key that is also the value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, linear, norm
from paramcalc.words.sizes import Size


class Compressor(Block):
    """Every `rate` tokens become one entry of `head_dim`: a mean weighed by gates and by a bias for each place in the run
    (DeepSeek-V4, compressed attention). With `overlap` a run also takes from the one before it, by a second series of maps.

    Weights: kv and gate [series·head_dim, width] each, position_bias [rate, series·head_dim], a norm [head_dim]; series is
    2 with overlap, else 1.
    Cache per layer: head_dim elements every `rate` tokens; of the run that is not yet full, series·head_dim of kv and of gate for each
    token; with overlap, head_dim of both for each token of the last full run.
    """

    home: ClassVar[str] = "attention"

    rate: Count
    head_dim: Count
    overlap: bool = False

    def parameters(self, at: Place) -> Iterator[Row]:
        head_dim: Size = self.sized.head_dim
        made = 2 * head_dim if self.overlap else head_dim
        yield from linear("kv_proj", made, at.width)
        yield from linear("gate_proj", made, at.width)
        yield Row("position_bias", (self.sized.rate, made), BIAS, role="position_bias")
        yield from norm("kv_norm", head_dim)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        head_dim: Size = self.sized.head_dim
        made = 2 * head_dim if self.overlap else head_dim
        yield CacheRow("compressed_key", (head_dim,), every=self.rate)
        yield CacheRow("open_run", (Size(2, "kv, gate"), made), every=self.rate, rest=True)
        if self.overlap:
            yield CacheRow("overlap", (self.sized.rate, Size(2, "kv, gate"), head_dim), "sequence")
