"""Padding made zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class PaddingMask(Block):
    """The stream times 0 where a token is padding, and 1 elsewhere (DeBERTa, He et al. 2021; ESM, Lin et al. 2023). Stores
    nothing; the mask is made for each batch, whether anything is padded or not."""

    home: ClassVar[str] = "other"

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        return tape.multiply(x, tape.cast(tape.constant(x.tokens, 1, "fp32", "padding mask"), x.dtype))
