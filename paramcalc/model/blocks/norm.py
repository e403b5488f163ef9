"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import Row, norm
from paramcalc.words.sizes import Size


class Norm(Block):
    """Layer norm (Ba et al. 2016), RMS norm (Zhang & Sennrich 2019), batch norm (Ioffe & Szegedy 2015), group norm
    (Wu & He 2018): a gain [size] and, where it has one, a bias [size].

    Batch norm's running mean and variance are buffers, no parameters.
    """

    home: ClassVar[str] = "norm"

    type: Literal["rms", "layer", "batch", "group"] = "rms"
    size: Count | None = None
    """Width that is normalised; the stream's if left out."""
    bias: bool | None = None
    """True unless it is an RMS norm."""
    scale: bool = True
    """Whether it has a gain."""

    def parameters(self, at: Place) -> Iterator[Row]:
        width = Size(self.size, "size") if self.size else at.width
        bias = self.type != "rms" if self.bias is None else self.bias
        for row in norm("norm", width, bias=bias, scale=self.scale):
            yield row._replace(name=row.name.removeprefix("norm."))
