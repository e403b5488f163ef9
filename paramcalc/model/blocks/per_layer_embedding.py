"""An embedding of each token for each layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import EMBEDDING, Row, linear, norm

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

NAME = "embeddings of layers"


class PerLayerEmbedding(Block):
    """Per-layer embeddings of Gemma 3n and 4 (Gemma Team 2025): a table [vocabulary, layers · size], and a projection [layers · size,
    width] of the stream that is added to it behind a norm [size] of each layer's part. Layers read theirs by `per_layer_gate`.
    """

    home: ClassVar[str] = "embedding"

    vocabulary: Count
    layers: Count
    size: Count
    norm_style: str = "cast"
    """How the reference writes the norm (see `norm`)."""

    def parameters(self, at: Place) -> Iterator[Row]:
        width = self.sized.layers * self.sized.size
        yield Row("table.weight", (self.sized.vocabulary, width), EMBEDDING, "embedding", "embedding", role="embedding", split=0)
        yield from linear("projection", width, at.width, component="projection")
        yield from norm("norm", self.sized.size)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """The stream as it is; what layers read is set aside, and handed to each."""
        found = tape.scale(tape.lookup("table.weight"))
        projected = tape.rms_norm(tape.scale(tape.linear("projection", x)), self.norm_style, "norm.weight", self.layers)
        tape.set_aside(NAME, tape.scale(tape.add(projected, found)), argument=True)
        return x
