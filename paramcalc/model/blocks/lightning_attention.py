"""Linear attention with a fixed decay for each head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, linear, norm, state
from paramcalc.model.tape import HEADS_FIRST

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class LightningAttention(Block):
    """Lightning attention (Qin et al. 2024; MiniMax-01, 2025, §2.2): each head sums keys times values into a matrix
    [head_dim, head_dim] that decays at a fixed rate.

    With all = heads·head_dim: qkv [3·all, width], a norm [all], the output gate [all, width], out [width, all].
    The decay rates are buffers. State per sequence: heads·head_dim².
    """

    home: ClassVar[str] = "linear_attention"

    heads: Count
    head_dim: Count
    chunk: Count = 256
    """Tokens that are computed at once in training and of a prompt, by products between all pairs of them."""
    activation: Activation = "silu"
    """Of queries, keys and values."""
    state_dtype: Literal["fp32", "compute"] = "compute"

    def parameters(self, at: Place) -> Iterator[Row]:
        every = self.sized.heads * self.sized.head_dim
        yield from norm("norm", every)
        yield from linear("qkv_proj", 3 * every, at.width, split=0)
        yield from linear("out_proj", at.width, every, split=1)
        yield from linear("gate_proj", every, at.width, split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        yield state("recurrent_state", n.heads, n.head_dim, n.head_dim, dtype=self.state_dtype)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """As transformers computes it (`MiniMaxLightningAttention`)."""
        whole = tape.activation(self.activation, tape.linear("qkv_proj", x))
        parts = [tape.slice(whole, self.heads * self.head_dim) for _ in range(3)]
        made = tape.rms_norm(self._scan(tape, parts), name="norm.weight")
        return tape.linear("out_proj", tape.multiply(tape.unary("sigmoid", tape.linear("gate_proj", x)), made))

    def _scan(self, tape: Tape, parts: list[Value]) -> Value:
        """One chunk after another; those between the first and the last are alike, and one stands for all. The last may be
        shorter, and nobody reads the state that it would leave behind."""
        value = parts[-1]
        number = -(-tape.length // self.chunk)
        rest = tape.length - (number - 1) * self.chunk
        state = tape.fresh(tape.batch, value.width * self.head_dim, value.dtype, "state")
        state.layout = HEADS_FIRST
        made = tape.fresh(value.tokens, value.width, value.dtype, "chunks")
        first = ((1, self.chunk, False), (number - 2, self.chunk, False)) if number > 1 else ()
        for times, size, last in (*first, (1, rest, True)):
            if times:
                with tape.repeated(times, state) as (held,):
                    piece, state = self._turn(tape, parts, held, size, last=last)
                    made = tape.write(made, piece)
        return tape.copy(tape.copy(made))

    def _turn(self, tape: Tape, parts: list[Value], held: Value, size: int, *, last: bool) -> tuple[Value, Value]:
        """What a chunk of so many tokens makes of itself and of the state, and the state behind it."""
        rows, batch = tape.batch * size, tape.batch
        query, key, value = (tape.view(part, rows, part.width) for part in parts)
        scores = tape.multiply(tape.contract(query, key, rows, self.heads * size, sequences=batch), tape.buffer(size, "decay"))
        within = tape.contract(scores, value, rows, value.width, sequences=batch)
        read = tape.contract(tape.multiply(query, tape.buffer(1, "decay")), held, rows, value.width, sequences=batch)
        piece = tape.add(read, within)
        if last:
            return piece, held
        old = tape.multiply(held, tape.unary("exp", tape.buffer(self.heads, "decay")))
        key = tape.multiply(key, tape.buffer(1, "decay"))
        return piece, tape.add(old, tape.contract(key, value, batch, held.width, sequences=batch))
