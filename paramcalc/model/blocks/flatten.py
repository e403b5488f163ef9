"""A map as one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Flatten(Block):
    """All channels at all positions side by side, as a dense layer behind convolutions reads them. Stores nothing."""

    home: ClassVar[str] = "other"

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        return tape.flatten(x)
