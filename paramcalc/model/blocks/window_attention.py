"""Attention within the windows of a map."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import TYPE_CHECKING

from paramcalc.model.blocks.attention import Attention
from paramcalc.model.parts import Count, Place
from paramcalc.model.rows import WEIGHT, Row, linear

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

POSITION = "position_embedding"


class WindowAttention(Attention):
    """Attention among the positions of a square window of a map (Swin, Liu et al. 2021, §3.2), which `shifted` layers move by half a
    window. Scores get a bias by distance: from a table [(2 · side - 1)², heads], or, where they are cosines (Swin v2, Liu et al.
    2022, §3.2-3.3), from a network of two layers [hidden, 2] and [heads, hidden], beside a scale for each head [heads, 1, 1].
    """

    side: Count
    """Positions along a window's side."""
    shifted: bool = False
    cosine: bool = False
    hidden: Count = 512

    def parameters(self, at: Place) -> Iterator[Row]:
        yield from super().parameters(at)
        heads = self.sized.heads
        if not self.cosine:
            span = 2 * self.sized.side - 1
            yield Row("relative", (span * span, heads), WEIGHT, component=POSITION, role="relative")
            return
        yield Row("logit_scale", (heads, 1, 1), WEIGHT, component="other", role="logit_scale")
        yield from linear("relative_up", self.sized.hidden, 2, bias=True, component=POSITION)
        yield from linear("relative_down", heads, self.sized.hidden, component=POSITION)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if not x.grid:
            raise NotImplementedError("windows of what is no map")
        side = min(self.side, *x.grid)
        if side < self.side and not self.cosine:
            raise NotImplementedError(f"windows of {self.side} on a map of {' × '.join(map(str, x.grid))}, which the reference cannot bias")
        shifted = self.shifted and min(x.grid) > self.side
        with tape.windows(x, side, shifted=shifted) as windows:
            if not self.cosine:
                tape.distances(tape.weight("relative"), made=False)
                if shifted:
                    tape.keep_apart()
            mixed = self._cosines(tape, windows, at) if self.cosine else super().forward(tape, windows, at)
        return tape.whole_map(mixed, x.grid, side)

    def _cosines(self, tape: Tape, x: Value, at: Place) -> Value:
        """Plain attention of unit queries and keys. What keeps shifted windows apart is added twice, for which nothing is kept."""
        heads, _, head_dim, _ = (int(size) for size in self.dims(at))
        query, key, value = self._read(tape, x, (heads * head_dim,) * 3)
        scores = tape.matmul(self._unit(tape, query), self._unit(tape, key), heads * tape.length)
        scores = tape.multiply(scores, tape.unary("exp", tape.unary("clamp", tape.weight("logit_scale"))))
        inner = tape.activation("relu", tape.linear("relative_up", tape.coordinates((2 * isqrt(tape.length) - 1) ** 2)))
        bias = tape.distances(tape.linear("relative_down", inner), made=False)
        scores = tape.add(scores, tape.scale(tape.unary("sigmoid", bias)))
        weights = tape.dropout(tape.softmax(scores), self.dropout)
        mixed = tape.copy(tape.matmul(weights, value, heads * head_dim))
        return tape.dropout(tape.linear("o_proj", mixed), self.output_dropout)

    def _unit(self, tape: Tape, x: Value) -> Value:
        """Each head's vector over its length, which is kept from zero."""
        return tape.divide(x, tape.unary("clamp", tape.vector_norm(x, parts=self.heads)))
