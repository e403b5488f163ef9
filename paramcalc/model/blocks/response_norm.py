"""Global response normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, WEIGHT, Row
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class ResponseNorm(Block):
    """ConvNeXt V2's norm (Woo et al. 2023, Algorithm 1): each channel times its length over all positions, as a share of the mean
    length of all channels; a gain and a bias [1, 1, 1, size], and the input added.
    """

    home: ClassVar[str] = "norm"

    size: Count | None = None
    """Channels; the stream's width if left out."""

    def parameters(self, at: Place) -> Iterator[Row]:
        width = Size(self.size, "size") if self.size else at.width
        yield Row("weight", (1, 1, 1, width), WEIGHT)
        yield Row("bias", (1, 1, 1, width), BIAS)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        lengths = tape.vector_norm(x, whole=True)
        shares = tape.divide(lengths, tape.scale(tape.mean(lengths)))
        normal = tape.multiply(tape.weight("weight"), tape.multiply(x, shares))
        return tape.add(tape.add(normal, tape.weight("bias")), x)
