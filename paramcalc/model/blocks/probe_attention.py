"""Attention of one learned query, which makes one vector of all tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import Row, linear

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class ProbeAttention(Block):
    """A probe [1, 1, width] attends to all tokens (Lee et al. 2019, §3.2; Zhai et al. 2022, §3.4), by torch's own multi-head attention.

    Weights: qkv [3 · width, width] in one matrix, o [width, width], both biased.
    """

    home: ClassVar[str] = "attention"

    heads: Count

    def parameters(self, at: Place) -> Iterator[Row]:
        yield Row("probe", (1, 1, at.width), component="other", role="probe")
        yield from linear("qkv_proj", 3 * at.width, at.width, bias=True, split=0)
        yield from linear("o_proj", at.width, at.width, bias=True, split=1)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """Scores are returned beside the result, so that no fused kernel is taken; weights are read past any adapter on them."""
        width, weight = x.width, tape.weight("qkv_proj.weight")
        query = tape.product(tape.for_each(tape.weight("probe")), tape.part(weight, width), width)
        both = tape.by_head(tape.product(tape.place_first(x), tape.part(weight, 2 * width), 2 * width))
        scores = tape.matmul(tape.scale(tape.by_head(query)), tape.slice(both, width), self.heads * (x.tokens // tape.batch))
        mixed = tape.matmul(tape.softmax(scores), tape.slice(both, width), width)
        return tape.product(tape.copy(mixed), tape.weight("o_proj.weight"), width)
