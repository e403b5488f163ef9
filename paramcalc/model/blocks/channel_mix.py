"""RWKV's channel mixing: its feed-forward network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.blocks.time_mix import mixed_in
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, linear, state

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


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

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        before = tape.padded(x, x.tokens)
        key, receptance = (mixed_in(tape, x, before, f"time_mix_{name}") for name in ("key", "receptance"))
        value = tape.linear("value", tape.unary("power", tape.unary("relu", tape.linear("key", key))))
        return tape.multiply(tape.unary("sigmoid", tape.linear("receptance", receptance)), value)
