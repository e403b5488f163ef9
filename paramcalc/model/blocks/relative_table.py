"""A table of relative positions that stands beside the stream, for the layers to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import EMBEDDING, Row, norm

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class RelativeTable(Block):
    """A vector [rows, width] for each distance, of which attention makes keys and queries (Shaw et al. 2018; DeBERTa, He et al.
    2021), with a layer norm over it where it is `normed`."""

    home: ClassVar[str] = "position_embedding"

    rows: Count | None = None
    """None where a norm is all that there is."""
    normed: bool = False

    def parameters(self, at: Place) -> Iterator[Row]:
        if self.rows:
            yield Row("table.weight", (self.sized.rows, at.width), EMBEDDING, "embedding", role="position")
        if self.normed:
            yield from norm("norm", at.width, bias=True)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """The stream as it is; the table is set aside."""
        if self.rows:
            table = tape.weight("table.weight")
            tape.set_aside("relative positions", tape.layer_norm(table, "norm") if self.normed else table)
        return x
