"""Neighbouring positions of a map as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Count, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class SpaceToDepth(Block):
    """The channels of a square of positions side by side (Shi et al. 2016, §2, backwards; Swin's patch merging, Liu et al. 2021, §3.1);
    a map is filled up to whole squares. Stores nothing.
    """

    home: ClassVar[str] = "other"

    side: Count = 2

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if not x.grid:
            raise NotImplementedError("neighbours in what is no map")
        return tape.neighbours(x, self.side)
