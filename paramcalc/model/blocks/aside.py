"""Something that a later part reads again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Aside(Block):
    """Lays the stream aside under a name, for a head over several maps. Stores nothing."""

    home: ClassVar[str] = "other"

    called: str

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        tape.set_aside(self.called, x)
        return x
