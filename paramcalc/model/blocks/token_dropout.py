"""Masked tokens made zero, and the others scaled up."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Place

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class TokenDropout(Block):
    """Embeddings of masked tokens are zeroed and all are divided by the share of each sequence that is not masked, in fp32 (ESM-1b,
    Rives et al. 2021; ESM-2, Lin et al. 2023). Stores nothing."""

    home: ClassVar[str] = "other"

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        zeroed = tape.masked(x, tape.fresh(x.tokens, 1, "bool", "masked tokens"))
        return tape.cast(tape.divide(tape.scale(zeroed), tape.fresh(tape.batch, 1, "fp32", "share of tokens")), x.dtype)
