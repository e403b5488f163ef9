"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import Row, norm
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Norm(Block):
    """Layer norm (Ba et al. 2016), RMS norm (Zhang & Sennrich 2019), batch norm (Ioffe & Szegedy 2015), group norm
    (Wu & He 2018): a gain [size] and, where it has one, a bias [size].

    Batch norm's running mean and variance are buffers, no parameters.
    """

    home: ClassVar[str] = "norm"

    type: Literal["rms", "layer", "batch", "group"] = "rms"
    size: Count | None = None
    """Width that is normalised; the stream's if left out."""
    bias: bool | None = None
    """True unless it is an RMS norm."""
    scale: bool = True
    """Whether it has a gain."""
    groups: Count | None = None
    """Of a group norm, how many groups."""
    style: Literal["cast", "promote", "unit", "late", "wide", "power", "fused", "written", "divided"] = "cast"
    """How the reference writes an RMS norm, which decides what training keeps of it: normalised in fp32 and cast back before the
    gain (`cast`, Llama), the input times an fp32 statistic (`promote`, T5), a gain of 1 + w in fp32 (`unit`, Gemma), the gain
    before the cast (`late`, OLMo 2; `wide` where the gain is cast to fp32, Helium; `power` where the root is a power as well,
    Gemma 4), or one kernel (`fused`). A layer norm is one kernel, `written` out (Cohere; `divided` by the root, DeBERTa), in fp32
    (`wide`, OLMo), or with a gain of 1 + w (`unit`, Nemotron)."""

    narrow: bool = False
    """Whether what it reads is first cast to the format of its gain (Mamba)."""

    def parameters(self, at: Place) -> Iterator[Row]:
        width = Size(self.size, "size") if self.size else at.width
        bias = self.type != "rms" if self.bias is None else self.bias
        for row in norm("norm", width, bias=bias, scale=self.scale):
            yield row._replace(name=row.name.removeprefix("norm."))

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if self.narrow:
            x = tape.cast(x, tape.stream_dtype)
        if self.type == "rms":
            return tape.rms_norm(x, self.style, gain=self.scale)
        if self.type == "layer":
            if self.style == "written":
                return tape.written_layer_norm(x)
            if self.style == "divided":
                return tape.divided_layer_norm(x)
            if self.style == "wide":
                return tape.cast(tape.layer_norm(tape.cast(x, "fp32")), x.dtype)
            return tape.layer_norm(x, unit=self.style == "unit")
        if self.type == "batch":
            return tape.batch_norm(x)
        if self.type == "group" and self.groups:
            return tape.group_norm(x, self.groups)
        raise NotImplementedError(f"norm of type {self.type}")
