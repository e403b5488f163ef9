"""A map at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Resize(Block):
    """Interpolates a map to the size of the images, as a loss over all pixels wants it. Stores nothing."""

    home: ClassVar[str] = "other"

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if not x.grid or not at.image:
            raise NotImplementedError("the size of images, to which a map is brought")
        return tape.resize(x, at.image)
