"""Attention to a coarser map."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

from paramcalc.model.blocks.attention import Attention
from paramcalc.model.maps import reduced
from paramcalc.model.parts import Count, Place
from paramcalc.model.rows import BIAS, WEIGHT, Row, norm

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class ReducedAttention(Attention):
    """Attention whose keys and values are made of squares of positions (Wang et al. 2021, §3.3; SegFormer, Xie et al. 2021, §3.1): a
    convolution [width, width, ratio, ratio] that does not overlap, with a bias, and a layer norm; neither where the ratio is 1.
    """

    ratio: Count = 1

    def parameters(self, at: Place) -> Iterator[Row]:
        yield from super().parameters(at)
        if self.ratio > 1:
            shape = (at.width, at.width, self.sized.ratio, self.sized.ratio)
            yield Row("reduction.weight", shape, WEIGHT, "convolution", "attention", "convolution")
            yield Row("reduction.bias", (at.width,), BIAS, "convolution", "attention", "convolution")
            yield from norm("reduction_norm", at.width, bias=True)

    def _read(self, tape: Tape, x: Value, widths: tuple[int, int, int]) -> tuple[Value, Value, Value]:
        if self.ratio == 1:
            return super()._read(tape, x, widths)
        if not x.grid:
            raise NotImplementedError("attention to a coarser map of what is no map")
        grid = reduced(x.grid, [(self.ratio, self.ratio, 0)] * len(x.grid))
        query = tape.linear("q_proj", x)
        coarse = tape.layer_norm(tape.convolution(x, tape.batch * prod(grid), x.width, tape.weight("reduction.weight")), "reduction_norm")
        return query, tape.linear("k_proj", coarse), tape.linear("v_proj", coarse)
