"""Pooling: fewer positions, no parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.maps import Axis, reduced
from paramcalc.model.parts import Block, Count, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Pooling(Block):
    """Maximum or mean over windows of `kernel` positions (LeCun et al. 1998), or the mean over everything (`global`), or one
    token of each sequence alone: the `first` (a class token), the `last`, the one at which a text ends (`end`), the first
    beside the mean of the others (`first_and_mean`), all but the first (`rest`), or squares of `kernel` positions on each side, those
    of a square in one row (`square`, Shi et al. 2016). No parameters."""

    home: ClassVar[str] = "other"

    type: Literal["max", "average", "global", "adaptive", "first", "last", "end", "first_and_mean", "rest", "square"] = "max"
    kernel: Count | list[Count] | None = None
    stride: Count | list[Count] | None = None
    """The kernel's size if left out."""
    padding: int = 0
    """Positions added on each side."""
    by_channel: bool = False
    """Whether tokens are first copied to lie channel by channel (Gemma 3)."""

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if self.type in ("first", "last"):
            return tape.first(x)
        if self.type == "square" and isinstance(self.kernel, int):
            return tape.square(x, self.kernel)
        if self.type == "rest":
            return tape.rest(x)
        if self.type == "end":
            return tape.end_token(x)
        if self.type == "global":
            return tape.average(x)
        if self.type == "first_and_mean":
            return tape.join(tape.first(x), tape.average(x))
        if self.type == "adaptive" or not self.kernel or not x.grid:
            raise NotImplementedError(f"pooling of type {self.type}")
        return tape.pool(tape.copy(x) if self.by_channel else x, self.type, reduced(x.grid, self.axes))

    @property
    def axes(self) -> list[Axis]:
        """Kernel, stride and padding along each axis."""
        kernel = self.kernel or 1
        sizes, strides = (each if isinstance(each, list) else [each] * 2 for each in (kernel, self.stride or kernel))
        return [(size, stride, self.padding) for size, stride in zip(sizes, strides, strict=True)]
