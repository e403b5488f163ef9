"""Mixing tokens without parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Fourier(Block):
    """The real part of a discrete Fourier transform over tokens and width (Lee-Thorp et al. 2022, FNet). Stores nothing."""

    home: ClassVar[str] = "other"

    matrices: bool = False
    """Whether it is computed by two matrices of complex numbers, as on a TPU."""

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if self.matrices:
            raise NotImplementedError("a Fourier transform by matrices")
        if x.dtype != "fp32":
            raise NotImplementedError("the reference transforms in fp32 alone: --precision fp32")
        return tape.fourier(x)
