"""Pooling: fewer positions, no parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Pooling(Block):
    """Maximum or mean over windows of `kernel` positions (LeCun et al. 1998), or over everything (`global`), or
    the first token of each sequence alone (`first`, a class token). No parameters."""

    home: ClassVar[str] = "other"

    type: Literal["max", "average", "global", "adaptive", "first"] = "max"
    kernel: Count | list[Count] | None = None
    stride: Count | list[Count] | None = None
    """The kernel's size if left out."""

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if self.type != "first":
            raise NotImplementedError(f"pooling of type {self.type}")
        return tape.first(x)
