"""The recurrent block of Griffin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, depthwise, linear, state

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

FP32 = "fp32"


class RgLru(Block):
    """Griffin's recurrent block (De et al. 2024, §2.3-2.4): two branches of `inner` channels, one of which passes a short
    convolution and a real-gated linear recurrent unit whose gates are block-diagonal over `heads`.

    Weights: y and x [inner, width], out [width, inner], conv [inner, 1, kernel], the recurrent parameter [inner], two gates
    [heads, inner/heads, inner/heads] with biases [heads, inner/heads]; everything has a bias.
    State per sequence: inner·(kernel - 1) in the model's format, inner in fp32.
    """

    home: ClassVar[str] = "recurrent"

    inner: Count
    heads: Count
    kernel: Count
    activation: Activation = "gelu"

    def inconsistencies(self, at: Place) -> Iterator[str]:
        if self.inner % self.heads:
            yield f"heads ({self.heads}) does not divide inner ({self.inner})"

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        block = n.inner // n.heads
        yield from linear("y_proj", n.inner, at.width, bias=True, split=0)
        yield from linear("x_proj", n.inner, at.width, bias=True, split=0)
        yield from linear("out_proj", at.width, n.inner, bias=True, split=1)
        yield from depthwise("conv1d", n.inner, n.kernel, bias=True)
        yield Row("recurrent_param", (n.inner,), split=0)
        for gate in ("input_gate", "recurrent_gate"):
            yield Row(f"{gate}_weight", (n.heads, block, block), split=0)
            yield Row(f"{gate}_bias", (n.heads, block), BIAS, split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        if self.kernel > 1:
            yield state("conv_state", n.inner, n.kernel - 1, dtype="compute")
        yield state("recurrent_state", n.inner)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """As transformers computes it (`RecurrentGemmaRecurrentBlock`), which knows no kernel for it."""
        gate = tape.activation(self.activation, tape.linear("y_proj", x))
        mixed = tape.causal_convolution("conv1d", tape.linear("x_proj", x), self.kernel, module=True)
        return tape.linear("out_proj", tape.multiply(self._recurrent(tape, mixed), gate))

    def _recurrent(self, tape: Tape, x: Value) -> Value:
        """The real-gated linear recurrent unit (§2.4), token by token in fp32: aₜ = exp(-8 rₜ softplus(Λ)) of the recurrent gate,
        and √(1 - aₜ²) iₜ xₜ of the input gate. Where a sequence begins, the state is forgotten."""
        rows = tape.in_rows(x)
        enters, stays = (self._gate(tape, f"{name}_gate_weight", rows) for name in ("input", "recurrent"))
        logarithm = tape.multiply(tape.scale(stays), tape.unary("softplus", tape.weight("recurrent_param")))
        decay = tape.unary("exp", logarithm)
        room = tape.unary("bounded sqrt", tape.scale(tape.unary("exp", tape.scale(logarithm))))
        inputs = tape.multiply(x, enters)
        positions = tape.constant(tape.length, 1, "int64", "positions", argument=True)
        room, decay = (tape.masked(value, tape.cast(positions, "bool")) for value in (room, decay))
        update = tape.multiply(inputs, tape.cast(tape.scale(room), x.dtype))
        states = tape.recurrence(decay, update, FP32)
        return tape.write(tape.fresh(x.tokens, x.width, x.dtype, "states"), states)

    def _gate(self, tape: Tape, weight: str, x: Value) -> Value:
        made = tape.by_heads(weight, x)
        return tape.unary("sigmoid", tape.copy(made) if self.heads > 1 else made)
