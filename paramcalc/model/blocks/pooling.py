"""Pooling: fewer positions, no parameters."""

from __future__ import annotations

from typing import ClassVar, Literal

from paramcalc.model.parts import Block, Count


class Pooling(Block):
    """Maximum or mean over windows of `kernel` positions (LeCun et al. 1998), or over everything (`global`). No parameters."""

    home: ClassVar[str] = "other"

    type: Literal["max", "average", "global", "adaptive"] = "max"
    kernel: Count | list[Count] | None = None
    stride: Count | list[Count] | None = None
    """The kernel's size if left out."""
