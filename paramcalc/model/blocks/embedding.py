"""Tables that are looked up by an index: tokens, token types, relative positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import EMBEDDING, Row
from paramcalc.words.sizes import Size


class Embedding(Block):
    """A table [vocabulary, width] of which a token reads one row (Bengio et al. 2003)."""

    home: ClassVar[str] = "embedding"

    vocabulary: Count
    size: Count | None = None
    """Width of a row; the stream's if left out."""
    tied: str | None = None
    """Path of the part whose table this is, where it has none of its own (a decoder that shares the encoder's)."""
    trainable: bool = True

    def parameters(self, at: Place) -> Iterator[Row]:
        width = Size(self.size, "size") if self.size else at.width
        shape = (self.sized.vocabulary, width)
        yield Row("weight", shape, EMBEDDING, "embedding", role="embedding", tied=self.tied, trainable=self.trainable, split=0)
