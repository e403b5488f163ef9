"""Very many tiny experts, found by product keys."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import EMBEDDING, Row, linear
from paramcalc.words.sizes import Size


class ProductKeys(Block):
    """Experts of one hidden unit, a row of a down table and one of an up table each (PEER, He 2024; as Doge stores it).
    Two sets of √count scores, added pairwise, choose `visited` of them a token.

    Weights: router [2·⌊√count⌋, width], down and up [count, width]; both are looked up by index.
    """

    home: ClassVar[str] = "experts"

    count: Count
    visited: Count

    def inconsistencies(self, at: Place) -> Iterator[str]:
        if self.visited > self.count:
            yield f"visited ({self.visited}) is more than count ({self.count}) experts"

    def parameters(self, at: Place) -> Iterator[Row]:
        keys = Size(isqrt(self.count), "√count")
        yield from linear("router", 2 * keys, at.width, component="router")
        visited = self.visited if not any(self.inconsistencies(at)) else None
        for name in ("down_embed", "up_embed"):
            shape = (self.sized.count, at.width)
            yield Row(f"{name}.weight", shape, EMBEDDING, "embedding", role=name, experts=(self.count, visited))
