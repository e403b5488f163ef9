"""Several maps brought to one width and one size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import Row, linear
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class MapFusion(Block):
    """SegFormer's decoder (Xie et al. 2021, §3.2) up to where maps are side by side: each map of a stage goes through a dense layer
    [width, inputs] with a bias and is interpolated to the size of the first.
    """

    home: ClassVar[str] = "projection"

    maps: dict[str, Count]
    """Names under which the maps were laid aside, the finest first, and their widths."""

    def parameters(self, at: Place) -> Iterator[Row]:
        for name, inputs in self.maps.items():
            yield from linear(name, at.width, Size(inputs, name), bias=True)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """Maps lie channel by channel, so that dense layers read copies where there is more than one."""
        made = []
        for name in self.maps:
            fine = tape.linear(name, tape.place_first(tape.aside[name]))
            fine.grid = tape.aside[name].grid
            made.append(tape.resize(fine, tape.aside[next(iter(self.maps))].grid))
        joined = tape.join(*reversed(made))
        joined.grid = made[0].grid
        return joined
