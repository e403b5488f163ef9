"""The matrix LSTM of xLSTM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, linear, norm, state


class MLSTM(Block):
    """mLSTM (Beck et al. 2024, xLSTM, §2.3; in the form of xLSTM 7B, Beck et al. 2025): each head keeps a matrix
    [keys/heads, values/heads] that exponential input and forget gates write.

    Weights: q and k [keys, width], v and the output gate [values, width], the input and the forget gate [heads, width]
    with a bias each, a norm [values], out [width, values].
    State per sequence: keys·values/heads + keys + heads elements.
    """

    home: ClassVar[str] = "recurrent"

    heads: Count
    keys: Count
    """Width of all heads' keys together."""
    values: Count
    """Width of all heads' values together."""
    fused: bool = False
    """Whether q, k, v and the output gate are one matrix, and the two other gates another."""
    bias: bool = False
    """Biases of the projections and of the norm; the gates have one in any case."""
    state_dtype: Literal["fp32", "compute"] = "compute"

    def inconsistencies(self, at: Place) -> Iterator[str]:
        if self.keys % self.heads or self.values % self.heads:
            yield f"heads ({self.heads}) does not divide keys ({self.keys}) and values ({self.values})"

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        if self.fused:
            yield from linear("qkvo_proj", 2 * n.keys + 2 * n.values, at.width, bias=self.bias, split=0)
            yield from linear("gates_proj", 2 * n.heads, at.width, bias=True, split=0)
        else:
            for name, size in (("q_proj", n.keys), ("k_proj", n.keys), ("v_proj", n.values), ("output_gate", n.values)):
                yield from linear(name, size, at.width, bias=self.bias, split=0)
            for name in ("input_gate", "forget_gate"):
                yield from linear(name, n.heads, at.width, bias=True, split=0)
        yield from norm("norm", n.values // n.heads * n.heads, bias=self.bias)
        yield from linear("out_proj", at.width, n.values, bias=self.bias, split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        yield state("matrix_state", n.heads, n.keys // n.heads, n.values // n.heads, dtype=self.state_dtype)
        yield state("norm_state", n.heads, n.keys // n.heads, dtype=self.state_dtype)
        yield state("max_state", n.heads, 1, dtype=self.state_dtype)
