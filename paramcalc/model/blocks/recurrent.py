"""Recurrent networks as torch.nn has them: RNN, LSTM, GRU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, state
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Matrices that torch.nn stacks into one: the candidate alone, with reset and update, or with input, forget and output."""

RESERVE = {"rnn": 1, "gru": 6, "lstm": 5}
"""Numbers that cuDNN sets aside for each token and unit of a layer, beside a layer's outputs for the next: fitting what it asked for
in four layers of 320 units, 736,000,000 bytes for an LSTM and 864,000,000 for a GRU (pytorch/pytorch issue 2895), which are
(4 · 5 + 3) and (4 · 6 + 3) numbers for each unit of 25,000 tokens. The LSTM's are its gates and its cell. Nobody
published the simple network's; its outputs are what its derivative needs."""


class Recurrent(Block):
    """Elman's network (1990), the LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000) and the GRU
    (Cho et al. 2014), stacked `layers` deep, as torch.nn.RNN, LSTM and GRU hold them.

    A layer and direction: weight_ih [gates·size, inputs], weight_hh [gates·size, size], bias_ih and bias_hh [gates·size]
    each, with gates 1, 4 or 3. Layers after the first read what both directions of the one before put out. A projected
    LSTM (Sak et al. 2014) feeds back `projection` numbers: weight_hr [projection, size], weight_hh [4·size, projection].
    State per sequence: what is fed back, and an LSTM's cell [size], of each layer.
    """

    home: ClassVar[str] = "recurrent"

    type: Literal["rnn", "lstm", "gru"] = "lstm"
    inputs: Count | None = None
    """Features in; the stream's width if left out."""
    size: Count | None = None
    """Features of the hidden state; the stream's width if left out."""
    layers: Annotated[int, Field(ge=1, le=10_000)] = 1
    bidirectional: bool = False
    projection: Count | None = None
    bias: bool = True
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _projects(self) -> Self:
        if self.projection and self.type != "lstm":
            raise ValueError(f"only an lstm has a projection, not a {self.type}")
        if self.projection and self.size and self.projection >= self.size:
            raise ValueError(f"projection ({self.projection}) must be smaller than size ({self.size})")
        return self

    def parameters(self, at: Place) -> Iterator[Row]:
        inputs = Size(self.inputs, "inputs") if self.inputs else at.width
        size = Size(self.size, "size") if self.size else at.width
        fed_back = Size(self.projection, "projection") if self.projection else size
        outputs = 2 * fed_back if self.bidirectional else fed_back
        for layer in range(self.layers):
            for direction in ("", "_reverse") if self.bidirectional else ("",):
                yield from self._cell(f"l{layer}{direction}", outputs if layer else inputs, size, fed_back)

    def _cell(self, place: str, inputs: Size, size: Size, fed_back: Size) -> Iterator[Row]:
        gates = GATES[self.type] * size
        yield Row(f"weight_ih_{place}", (gates, inputs), role="weight_ih")
        yield Row(f"weight_hh_{place}", (gates, fed_back), role="weight_hh")
        if self.bias:
            yield Row(f"bias_ih_{place}", (gates,), BIAS, role="bias_ih")
            yield Row(f"bias_hh_{place}", (gates,), BIAS, role="bias_hh")
        if self.projection:
            yield Row(f"weight_hr_{place}", (fed_back, size), role="weight_hr")

    def cache(self, at: Place) -> Iterator[CacheRow]:
        if self.bidirectional:  # it needs the whole sequence at once, so there is no decoding with it
            return
        size = Size(self.size, "size") if self.size else at.width
        fed_back = Size(self.projection, "projection") if self.projection else size
        yield state("hidden_state", self.sized.layers, fed_back, dtype="compute", split=None)
        if self.type == "lstm":
            yield state("cell_state", self.sized.layers, size, dtype="compute", split=None)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """By cuDNN, as torch.nn computes it on a GPU. The reserve space is cuDNN's own affair; see `RESERVE`."""
        size = self.size or int(at.width)
        fed_back = self.projection or size
        directions = 2 if self.bidirectional else 1
        begins = fed_back + (size if self.type == "lstm" else 0)
        aside = self.layers * RESERVE[self.type] * size + (self.layers - 1) * fed_back
        return tape.cells(x, directions * fed_back, self.layers * directions * begins, directions * aside)
