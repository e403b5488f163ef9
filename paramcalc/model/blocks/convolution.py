"""Convolutions over one, two or three axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from paramcalc.model.maps import Axis, reduced
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, WEIGHT, Row
from paramcalc.words.sizes import MAX_SIZE, Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

Padding = Annotated[int, Field(ge=0, le=MAX_SIZE)]


class Convolution(Block):
    """A convolution's kernels [outputs, inputs / groups, *kernel] and bias [outputs] (LeCun et al. 1989); depthwise with
    as many groups as inputs. A transposed one (Zeiler et al. 2010) stores [inputs, outputs / groups, *kernel].
    """

    home: ClassVar[str] = "convolution"

    inputs: Count | None = None
    outputs: Count | None = None
    """Channels; the stream's width where left out."""
    kernel: Count | list[Count]
    """Its size along each axis; a single number is a convolution over one axis."""
    stride: Count | list[Count] = 1
    padding: Padding | list[Padding] | Literal["same"] | None = None
    """Positions added on each side; `same`: as many as make outputs of all whole and broken strides, added beforehand (TensorFlow). Where
    left out, over more than one axis, none are added to windows that do not overlap, and how
    many to others is not known."""
    cut: bool = False
    """Whether positions beyond those of the input are cut off, of which padding makes one for an even kernel (wav2vec 2.0)."""
    groups: Count = 1
    bias: bool = True
    transposed: bool = False
    """Whether it spreads each input over many outputs, and is stored so."""
    weight_norm: bool = False
    """Whether it keeps its weight as a direction and a length for each place of the last axis (Salimans & Kingma 2016)."""
    gated: bool = False
    """Whether half of its outputs gate the other half (GLU, Dauphin et al. 2017)."""
    input_grad: bool = False
    """Whether the reference asks for a gradient of the samples that it reads (wav2vec 2.0, for checkpointing)."""
    activation: str | None = None

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        for name in ("inputs", "outputs"):
            channels = getattr(self, name)
            if channels is not None and channels % self.groups:
                raise ValueError(f"groups ({self.groups}) does not divide {name} ({channels})")
        return self

    def parameters(self, at: Place) -> Iterator[Row]:
        inputs = Size(self.inputs, "inputs") if self.inputs else at.width
        outputs = Size(self.outputs, "outputs") if self.outputs else at.width
        kernel = self.kernel if isinstance(self.kernel, list) else [self.kernel]
        first, second = (inputs, outputs) if self.transposed else (outputs, inputs)
        shape = (first, second // self.sized.groups, *(Size(size, "kernel") for size in kernel))
        yield Row("weight", shape, WEIGHT, "convolution", role="convolution")
        if self.weight_norm:
            yield Row("length", (*(1 for _ in shape[1:]), shape[-1]), WEIGHT, "convolution", role="convolution")
        if self.bias:
            yield Row("bias", (outputs,), BIAS, "convolution", role="convolution")

    @property
    def axes(self) -> list[Axis]:
        """Kernel, stride and padding along each axis."""
        kernel = self.kernel if isinstance(self.kernel, list) else [self.kernel]
        added = 0 if self.padding == "same" else self.padding or 0
        stride, padding = (each if isinstance(each, list) else [each] * len(kernel) for each in (self.stride, added))
        return list(zip(kernel, stride, padding, strict=True))

    @property
    def strides(self) -> int:
        """Positions of the input to each of the output, where the input is padded to a whole number of them."""
        return prod(stride for _, stride, _ in self.axes)

    @property
    def divides(self) -> bool:
        """Whether outputs follow from inputs by the stride alone: over one axis, or for patches that do not overlap."""
        return len(self.axes) == 1 or all(kernel == stride and not padding for kernel, stride, padding in self.axes)

    def filled(self, grid: Sequence[int]) -> list[int]:
        """The grid that `same` makes of another: each window of a stride begins within that."""
        return [side + max(kernel - (side % stride or stride), 0) for side, (kernel, stride, _) in zip(grid, self.axes, strict=True)]

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        outputs = int(Size(self.outputs, "outputs") if self.outputs else at.width)
        if self.padding == "same":
            x = tape.pad(x, self.filled(x.grid))
        grid = reduced(x.grid, self.axes) if len(x.grid) == len(self.axes) else ()
        if self.transposed or not (self.divides or (grid and self.padding is not None)):
            raise NotImplementedError("a convolution of this form")
        if grid and min(grid) < 1:
            raise NotImplementedError(f"a map of {' × '.join(map(str, x.grid))} is smaller than its kernel")
        kernels = tape.weight_norm("weight", "length") if self.weight_norm else None
        made = tape.convolution(x, tape.batch * prod(grid) if grid else x.tokens // self.strides, outputs, kernels)
        made.grid = grid
        if self.cut and made.tokens > x.tokens:
            made = tape.part(made, x.tokens)
            made.grid = x.grid
        if self.gated:
            made = tape.glu(made)
        return tape.activation(self.activation, made) if self.activation else made
