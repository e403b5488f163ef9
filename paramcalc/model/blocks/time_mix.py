"""RWKV's time mixing: attention as a recurrence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, linear, state
from paramcalc.words.sizes import Size


class TimeMix(Block):
    """The time mixing of RWKV-4 (Peng et al. 2023, §3.1): a weighted average over the past, one decay per channel.

    With inner channels: key, value and receptance [inner, width], output [width, inner], decay and bonus for the current
    token [inner] each, and for key, value and receptance how much of the previous token is mixed in [1, 1, width].
    State per sequence: the previous token [width] in the model's format; numerator, denominator and maximum [inner] in fp32.
    """

    home: ClassVar[str] = "linear_attention"

    inner: Count | None = None
    """Channels inside; the stream's width if left out."""

    def parameters(self, at: Place) -> Iterator[Row]:
        inner = Size(self.inner, "inner") if self.inner else at.width
        yield Row("time_decay", (inner,), split=0)
        yield Row("time_first", (inner,), split=0)
        for name in ("key", "value", "receptance"):
            yield Row(f"time_mix_{name}", (1, 1, at.width))
        for name in ("key", "value", "receptance"):
            yield from linear(name, inner, at.width, split=0)
        yield from linear("output", at.width, inner, split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        inner = Size(self.inner, "inner") if self.inner else at.width
        yield state("token_state", at.width, dtype="compute", split=None)
        for name in ("numerator_state", "denominator_state", "max_state"):
            yield state(name, inner)
