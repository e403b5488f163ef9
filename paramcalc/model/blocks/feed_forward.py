"""The feed-forward network of a transformer layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import WEIGHT, Row, linear
from paramcalc.model.tape import FP32
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class FeedForward(Block):
    """Plain: up [size, width], down [width, size] (Vaswani et al. 2017, §3.3). Gated: gate and up [size, width] each,
    down [width, size] (Shazeer 2020, SwiGLU and its kin). Biases [size] and [width] where it has them.
    """

    home: ClassVar[str] = "feed_forward"

    size: Count
    gated: bool = True
    fused: bool = False
    """Whether gate and up are one matrix [2 · size, width]."""
    bias: bool | list[Literal["gate", "up", "down"]] = False
    transposed: bool = False
    """Whether weights are stored [inputs, outputs], as GPT-2's are."""
    activation: Activation = "silu"
    clamped: bool = False
    """Whether gate and up are bounded, and gate · σ(α · gate) · (up + 1) is what enters the last projection (MiniMax M3)."""
    inputs: Count | None = None
    outputs: Count | None = None
    """Both are the stream's width where left out."""
    scaled: bool = False
    """Whether its gate is multiplied by a constant (Falcon-H1's µP)."""
    weighs: bool = False
    """Whether what it reads, times the sigmoid of its output in fp32, is what it hands on (A.X K2's gated norms)."""
    dropout: Share = 0.0
    """Of its output, before it is added to the stream."""
    activation_dropout: Share = 0.0
    """Of what enters the last projection."""

    def has_bias(self, projection: str) -> bool:
        return self.bias if isinstance(self.bias, bool) else projection in self.bias

    def parameters(self, at: Place) -> Iterator[Row]:
        size: Size = self.sized.size
        inputs = Size(self.inputs, "inputs") if self.inputs else at.width
        outputs = Size(self.outputs, "outputs") if self.outputs else at.width
        if self.gated and self.fused:
            yield from linear("gate_up_proj", 2 * size, inputs, bias=self.has_bias("up"), split=0, transposed=self.transposed)
        else:
            if self.gated:
                yield from linear("gate_proj", size, inputs, bias=self.has_bias("gate"), split=0, transposed=self.transposed)
            yield from linear("up_proj", size, inputs, bias=self.has_bias("up"), split=0, transposed=self.transposed)
        if self.activation == "xielu":
            yield from (Row(f"alpha_{sign}", (1,), WEIGHT, role="slope") for sign in "pn")
        yield from linear("down_proj", outputs, size, bias=self.has_bias("down"), split=1, transposed=self.transposed)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        made = tape.feed_forward(x, self.activation, gated=self.gated, fused=self.fused, clamped=self.clamped, scaled=self.scaled)
        inner = tape.dropout(made, self.activation_dropout)
        made = tape.linear("down_proj", inner)
        if self.weighs:
            return tape.cast(tape.multiply(x, tape.unary("sigmoid", tape.cast(made, FP32))), x.dtype)
        return tape.dropout(made, self.dropout)
