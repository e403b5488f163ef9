"""Mixing tokens without parameters."""

from __future__ import annotations

from typing import ClassVar

from paramcalc.model.parts import Block


class Fourier(Block):
    """The real part of a discrete Fourier transform over tokens and width (Lee-Thorp et al. 2022, FNet). Stores nothing."""

    home: ClassVar[str] = "other"
