"""Everything that occupies memory is a row: a name, a shape, how often it is there, and what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from paramcalc.words.sizes import product

EMBEDDING, WEIGHT, BIAS = "embedding", "weight", "bias"


class Row(NamedTuple):
    """One tensor of the reference implementation, with every copy of it.

    A block makes rows with names relative to itself and in this project's own words (`q_proj.weight`); the inventory
    puts them in their place: reference names, component, copies.
    """

    name: str
    """Full name in the reference implementation, `{}` for each index."""
    shape: tuple[int, ...]
    """As the reference stores it; a linear layer is [outputs, inputs], stacked experts [experts, outputs, inputs]."""
    kind: str = WEIGHT
    """`embedding` (looked up by index), `bias` (named one), `weight` (all the rest)."""
    op: str = ""
    """What it is for: `linear`, `convolution`, `embedding`, `norm`, `stack` (experts in one tensor), or nothing."""
    component: str = ""
    """Which component it is summed under; a tower's are prefixed (`vision.attention`)."""
    role: str = ""
    """The module's canonical name inside its block (`q_proj`, `down_proj`, `head`, `router`), whatever a family calls it."""
    part: str = ""
    """The path of its part in the tree (`layers.sparse.attention`)."""
    repeat: int = 1
    """How many copies are stored."""
    applied: int = 1
    """How many times a copy-set is applied in one forward pass; equal to `repeat` unless weights are shared."""
    experts: tuple[int, int | None] | None = None
    """(experts held, experts visited by a token) for a routed expert's tensors; visited is None where it is not fixed."""
    tied: str | None = None
    """Tree path of the part that owns the storage; the row then adds nothing."""
    trainable: bool = True
    """False for what the reference registers as a parameter without a gradient (fixed sinusoids)."""
    split: int | None = None
    """The axis that tensor parallelism divides; None where every rank holds the whole."""

    @property
    def elements(self) -> int:
        """Elements of one copy."""
        return product(self.shape)

    @property
    def total(self) -> int:
        """Parameters this row adds: all stored copies, nothing where it is tied."""
        return 0 if self.tied else self.elements * self.repeat

    @property
    def active(self) -> int | None:
        """Parameters a token visits; None where the description does not fix the number of experts."""
        if self.experts is None or self.tied:
            return self.total
        held, visited = self.experts
        return None if visited is None else self.total // held * visited


class CacheRow(NamedTuple):
    """What one layer remembers of one sequence between two steps."""

    name: str
    """`key`, `value`, `latent`, `rope_key`, `conv_state`, `recurrent_state`, ..."""
    shape: tuple[int, ...]
    """Elements for one token (`per` token or source) or for the whole sequence."""
    per: str = "token"
    """`token` of the context, `source` token of the encoder's input, or `sequence`: a state of fixed size."""
    window: int | None = None
    """Tokens that are ever looked at again; None for all."""
    every: int = 1
    """Tokens that one entry stands for, where they are compressed (DeepSeek-V4)."""
    rest: bool = False
    """Whether it holds the tokens that fill no entry yet: the length modulo `every`."""
    dtype: str = "cache"
    """`cache` (the cache's format), `compute` (the model's), or a format the reference fixes (`fp32`)."""
    expanded: tuple[int, ...] | None = None
    """For a latent: the shape that an engine without latent attention keeps instead."""
    suffices: tuple[int, ...] | None = None
    """The shape that would do, where the reference keeps more: a convolution over k tokens looks back at k - 1."""
    split: int | None = None
    """The axis that tensor parallelism divides (heads, channels); None where every rank holds the whole."""
    part: str = ""
    repeat: int = 1
    """Layers that hold one."""


def linear(
    name: str,
    outputs: int,
    inputs: int,
    *,
    bias: bool = False,
    split: int | None = None,
    transposed: bool = False,
    component: str = "",
) -> Iterator[Row]:
    """A dense map: weight [outputs, inputs] ([inputs, outputs] if `transposed`, as GPT-2 stores it), bias [outputs].

    `split` 0 divides the outputs among tensor-parallel ranks (bias with them), 1 the inputs (every rank has the bias).
    """
    shape = (inputs, outputs) if transposed else (outputs, inputs)
    axis = 1 - split if transposed and split is not None else split
    yield Row(f"{name}.weight", shape, WEIGHT, "linear", component, name, split=axis)
    if bias:
        yield Row(f"{name}.bias", (outputs,), BIAS, "linear", component, name, split=0 if split == 0 else None)


def norm(name: str, width: int, *, bias: bool = False, scale: bool = True) -> Iterator[Row]:
    """A normalisation's gain [width] and bias [width]."""
    if scale:
        yield Row(f"{name}.weight", (width,), WEIGHT, "norm", "norm", name)
    if bias:
        yield Row(f"{name}.bias", (width,), BIAS, "norm", "norm", name)


def depthwise(name: str, channels: int, kernel: int, *, bias: bool = False) -> Iterator[Row]:
    """A convolution over one axis with one filter for each channel: weight [channels, 1, kernel], bias [channels]."""
    yield Row(f"{name}.weight", (channels, 1, kernel), WEIGHT, "convolution", "", name, split=0)
    if bias:
        yield Row(f"{name}.bias", (channels,), BIAS, "convolution", "", name, split=0)


def state(name: str, *shape: int, dtype: str = "fp32", split: int | None = 0) -> CacheRow:
    """A recurrent state: its size is that of one sequence, whatever its length."""
    return CacheRow(name, shape, "sequence", dtype=dtype, split=split)


def conv_state(channels: int, kernel: int) -> CacheRow:
    """The inputs that a causal convolution looks back at. The references keep `kernel` of them, of which the oldest is shifted
    out before it is read; llama.cpp and vLLM keep kernel - 1."""
    return CacheRow("conv_state", (channels, kernel), "sequence", dtype="compute", suffices=(channels, kernel - 1), split=0)
