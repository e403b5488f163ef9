"""A dense layer, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import Row, linear
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Dense(Block):
    """y = W x + b with W [outputs, inputs] and b [outputs] (a fully connected or linear layer, a projection)."""

    home: ClassVar[str] = "projection"

    inputs: Count | None = None
    outputs: Count | None = None
    """Both are the stream's width where left out."""
    bias: bool = True
    transposed: bool = False
    """Whether the weight is stored [inputs, outputs]."""
    activation: Activation | None = None
    first: bool = False
    """Whether it reads the first token of each sequence alone (BERT's pooler)."""
    side: Literal["computed", "idle"] | None = None
    """Whether what it makes leaves the stream as it was: computed and handed out (a pooler behind which the head does not stand), or
    not used in training (ESM's contacts)."""

    def parameters(self, at: Place) -> Iterator[Row]:
        inputs = Size(self.inputs, "inputs") if self.inputs else at.width
        outputs = Size(self.outputs, "outputs") if self.outputs else at.width
        for row in linear("dense", outputs, inputs, bias=self.bias, transposed=self.transposed):
            yield row._replace(name=row.name.removeprefix("dense."))

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if self.side == "idle":
            return x
        if self.inputs and self.inputs != x.width:
            raise NotImplementedError(f"rows of {x.width:,} where {self.inputs:,} are read")
        made = tape.linear("", tape.first(x) if self.first else x)
        if self.activation:
            made = tape.activation(self.activation, made)
        return x if self.side else made
