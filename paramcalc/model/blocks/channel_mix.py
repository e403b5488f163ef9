"""RWKV's channel mixing: its feed-forward network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, linear, state


class ChannelMix(Block):
    """The channel mixing of RWKV-4 (Peng et al. 2023, §3.1): a squared-ReLU network with a sigmoid gate, which also looks
    at the previous token.

    Weights: key [size, width], value [width, size], receptance [width, width], and for key and receptance how much of the
    previous token is mixed in [1, 1, width]. State per sequence: the previous token [width] in the model's format.
    """

    home: ClassVar[str] = "feed_forward"

    size: Count

    def parameters(self, at: Place) -> Iterator[Row]:
        size = self.sized.size
        for name in ("key", "receptance"):
            yield Row(f"time_mix_{name}", (1, 1, at.width))
        yield from linear("key", size, at.width, split=0)
        yield from linear("receptance", at.width, at.width)
        yield from linear("value", at.width, size, split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        yield state("token_state", at.width, dtype="compute", split=None)
