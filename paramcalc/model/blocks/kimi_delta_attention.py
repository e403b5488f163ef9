"""Linear attention whose state decays channel by channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, conv_state, depthwise, linear, norm, state
from paramcalc.model.tape import FP32

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class KimiDeltaAttention(Block):
    """Kimi Delta Attention (Kimi Team 2025, Kimi Linear, §3): the gated delta rule with a decay for each key channel.

    With all = heads·head_dim: q, k and v [all, width] and one depthwise convolution [3·all, 1, kernel] over them, the decay
    f and the output gate g [all, width] each or, with `gate_rank`, as [gate_rank, width] and [all, gate_rank]; the step
    b [heads, width], dt_bias [all], A_log [heads], a norm [head_dim] that all heads share, out [width, all].
    State per sequence: 3·all·kernel in the model's format, heads·head_dim² in fp32.
    """

    home: ClassVar[str] = "linear_attention"
    packages: ClassVar[str] = "flash-linear-attention and causal-conv1d"

    heads: Count
    head_dim: Count
    kernel: Count
    gate_rank: Count | None = None
    """Rank of the two gates' projections; full matrices if left out."""
    decay_axes: Count = 1
    """Axes that A_log is stored with: 1, or 4 for [1, 1, heads, 1]."""
    decay: Literal["exact", "softplus", "bounded"] = "exact"
    """How the reference writes the decay: softplus out of exp and log (Kimi), as one function, or a sigmoid instead, which has a
    lower bound (Ling 3)."""

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        every = n.heads * n.head_dim
        for name in ("q_proj", "k_proj", "v_proj"):
            yield from linear(name, every, at.width, split=0)
        yield from depthwise("conv1d", 3 * every, n.kernel)
        yield from self._gate("f", at)
        yield Row("dt_bias", (every,), BIAS, split=0)
        yield Row("A_log", (n.heads,) if self.decay_axes == 1 else (1, 1, n.heads, 1), split=0 if self.decay_axes == 1 else 2)
        yield from linear("b_proj", n.heads, at.width, split=0)
        yield from self._gate("g", at)
        yield from norm("o_norm", n.head_dim)
        yield from linear("o_proj", at.width, every, split=1)

    def _gate(self, name: str, at: Place) -> Iterator[Row]:
        n = self.sized
        every = n.heads * n.head_dim
        if self.gate_rank:
            yield from linear(f"{name}_a_proj", n.gate_rank, at.width)
            yield from linear(f"{name}_b_proj", every, n.gate_rank, split=0)
        else:
            yield from linear(f"{name}_proj", every, at.width, split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        yield conv_state(3 * n.heads * n.head_dim, n.kernel)
        yield state("recurrent_state", n.heads, n.head_dim, n.head_dim)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """As transformers computes it (`KimiLinearDeltaAttention`)."""
        mixed = tape.join(*(tape.linear(name, x) for name in ("q_proj", "k_proj", "v_proj")))
        mixed = tape.causal_convolution("conv1d", mixed, self.kernel, "silu")
        query, key, value = (tape.slice(mixed, self.heads * self.head_dim) for _ in range(3))
        decay = self._decay(tape, x)
        beta = tape.unary("sigmoid", tape.linear("b_proj", x))
        made = tape.delta_rule(query, key, value, decay, beta, heads=self.heads, key_heads=self.heads, channels=True)
        gate = self._projected(tape, "g", x)
        normal = tape.rms_norm(tape.cast(made, FP32), "wide", "o_norm.weight", self.heads)
        made = tape.cast(tape.multiply(normal, tape.unary("sigmoid", tape.cast(gate, FP32))), made.dtype)
        return tape.linear("o_proj", made)

    def _projected(self, tape: Tape, name: str, x: Value) -> Value:
        return tape.linear(f"{name}_b_proj", tape.linear(f"{name}_a_proj", x)) if self.gate_rank else tape.linear(f"{name}_proj", x)

    def _decay(self, tape: Tape, x: Value) -> Value:
        """The log of each channel's decay, in fp32."""
        step = tape.cast(self._projected(tape, "f", x), FP32)
        if self.decay == "exact":
            step = tape.add(step, tape.cast(tape.weight("dt_bias"), FP32))
            rate = tape.scale(tape.unary("exp", tape.cast(tape.weight("A_log"), FP32)))
            return tape.multiply(rate, tape.either(step, tape.unary("log", tape.scale(tape.unary("exp", step)))))
        step, rate = tape.add(step, tape.weight("dt_bias")), tape.unary("exp", tape.weight("A_log"))
        if self.decay == "softplus":
            return tape.cast(tape.multiply(tape.scale(rate), tape.unary("softplus", step)), x.dtype)
        return tape.cast(tape.scale(tape.unary("sigmoid", tape.multiply(rate, step))), x.dtype)
