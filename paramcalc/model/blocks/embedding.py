"""Tables that are looked up by an index: tokens, token types, relative positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import EMBEDDING, Row
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Embedding(Block):
    """A table [vocabulary, width] of which a token reads one row (Bengio et al. 2003)."""

    home: ClassVar[str] = "embedding"

    vocabulary: Count
    size: Count | None = None
    """Width of a row; the stream's if left out."""
    tied: str | None = None
    """Path of the part whose table this is, where it has none of its own (a decoder that shares the encoder's)."""
    trainable: bool = True
    joins: bool = False
    """Whether its rows are put beside those of the stream, not added to them (RoCBert)."""
    reads: Count = 1
    """How often it is read for a token (LayoutLM: for two sides of a box)."""
    index: Literal["given", "made", "shared", "kept", "columns", "relative"] = "given"
    """Where its indices come from, since training keeps those that are made: given by the caller, made by the model for each
    token, made once for the whole batch (`shared`), kept by the model as a buffer, or one of several `columns` that
    are made together (the sides of a token's box). `relative`: one for each pair of tokens,
    for a bias of attention scores, which does not join the stream."""

    scaled: bool = False
    """Whether what it finds is multiplied by a number that the model keeps in bf16 and casts to the stream's format (Griffin)."""
    columns: Count = 1

    def parameters(self, at: Place) -> Iterator[Row]:
        width = Size(self.size, "size") if self.size else at.width
        shape = (self.sized.vocabulary, width)
        yield Row("weight", shape, EMBEDDING, "embedding", role="embedding", tied=self.tied, trainable=self.trainable, split=0)

    def forward(self, tape: Tape, x: Value | None, at: Place) -> Value:
        """The rows looked up, added to the stream where there is one."""
        for _ in range(self.reads):
            found = tape.lookup("weight", self.index, self.columns)
            if self.scaled:
                found = tape.multiply(found, tape.number(found, found.dtype)) if found.dtype == "fp32" else tape.scale(found)
            x = found if x is None else tape.join(x, found) if self.joins else tape.add(x, found)
        assert x is not None
        return x
