"""The matrix that turns a hidden state into logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, WEIGHT, Row
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Head(Block):
    """Logits = W x + b with W [outputs, inputs]; a tied head (Press & Wolf 2017) uses the token table as W."""

    home: ClassVar[str] = "head"

    outputs: Count
    inputs: Count | None = None
    """The stream's width if left out."""
    bias: bool = False
    bias_apart: bool = False
    """Whether the reference adds it to the product, whose format it may widen, and not in it (ESM)."""
    next_token: bool | None = None
    """Whether the loss is that of predicting the next token, for which the reference makes logits fp32 and shifts labels; where left
    out, it is so for models whose layers see earlier tokens only."""
    wide: bool = False
    """Whether the loss makes logits fp32 where it does not predict the next token (ModernBERT)."""
    narrow: bool = False
    """Whether what it reads is first cast to the format of its matrix, and logits to fp32 (Mamba)."""
    ctc: Literal["sum", "mean"] | None = None
    """How the losses of a batch become one, where a sequence's is that of all alignments of its labels with its frames (connectionist
    temporal classification, Graves et al. 2006)."""
    chosen: bool = False
    """Whether labels come as a score of every class, of which the largest is chosen (frames of sound)."""
    bounded: bool = False
    """Whether such a loss is set to 0 where it is infinite."""
    shifted: bool = False
    """Whether a buffer of the model's format is added to the logits, as BART's `final_logits_bias` is."""
    softcap: float | None = None
    """Bound of the logits (Gemma 2)."""
    tied: str | None = None
    """Path of the part whose table it uses."""

    def parameters(self, at: Place) -> Iterator[Row]:
        inputs = Size(self.inputs, "inputs") if self.inputs else at.width
        outputs = self.sized.outputs
        yield Row("weight", (outputs, inputs), WEIGHT, "linear", role="head", tied=self.tied, split=0)
        if self.bias:
            yield Row("bias", (outputs,), BIAS, "linear", role="head", split=0)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        logits = tape.cast(tape.linear("", tape.cast(x, tape.stream_dtype)), "fp32") if self.narrow else tape.linear("", x)
        if self.bias_apart:
            logits = tape.add(logits, tape.weight("bias"))
        if self.shifted:
            logits = tape.add(logits, tape.constant(1, self.outputs, tape.stream_dtype, "bias of logits"))
        return tape.scale(tape.unary("tanh", tape.scale(logits))) if self.softcap else logits
