"""What tells a model where a token stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import EMBEDDING, Row
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Position(Block):
    """Positions: `learned` holds a table [rows, width] (Vaswani et al. 2017, §3.5); `fixed` is such a table that is not
    trained but registered as a parameter; `rotary` (Su et al. 2021), `sinusoidal`, `alibi` (Press et al. 2022) and
    `none` hold no parameter: their tables are buffers or computed.
    """

    home: ClassVar[str] = "position_embedding"

    type: Literal["learned", "fixed", "rotary", "sinusoidal", "alibi", "none"] = "learned"
    rows: Count | None = None
    size: Count | None = None
    """Width of a row; the stream's if left out."""
    bare: bool = False
    """Whether the reference keeps it as a bare parameter [1, rows, width] and not as an embedding module."""
    index: Literal["made", "shared", "kept"] = "shared"
    """Where its indices come from, since training keeps those that are made: made for each token (OPT), made once for the whole
    batch (GPT-2), or kept by the model as a buffer (BERT)."""

    def parameters(self, at: Place) -> Iterator[Row]:
        if self.type not in ("learned", "fixed"):
            return
        if self.rows is None:
            raise ValueError(f"{self.type} positions need rows: how many positions the table holds")
        width = Size(self.size, "size") if self.size else at.width
        trainable = self.type == "learned"
        name, lead = ("", (1,)) if self.bare else ("weight", ())
        shape = (*lead, self.sized.rows, width)
        yield Row(name, shape, EMBEDDING, "" if self.bare else "embedding", role="position", trainable=trainable)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """Added to the stream; rotary positions and slopes work inside attention."""
        if self.type in ("rotary", "alibi", "none"):
            return x
        if self.type == "sinusoidal":
            return tape.add(x, tape.constant(tape.length, x.width, x.dtype, "sinusoidal positions"))
        return tape.add(x, tape.weight("") if self.bare else tape.lookup("weight", self.index))
