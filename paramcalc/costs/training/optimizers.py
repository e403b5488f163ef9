"""Optimizers as a table: what each keeps for a parameter, and what it needs beside that while it steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean


class Tensor(NamedTuple):
    """A parameter that trains, with its copies; sharded ones are the shares of one rank."""

    elements: int
    copies: int
    element_bytes: int
    shape: tuple[int, ...]
    embedding: bool = False
    head: bool = False

    @property
    def bytes(self) -> int:
        return self.elements * self.element_bytes * self.copies

    @property
    def one(self) -> int:
        """Bytes of one copy."""
        return self.elements * self.element_bytes


Tensors = Sequence[Tensor]


class Optimizer(NamedTuple):
    """One row of the table."""

    name: str
    state: Callable[[Tensors], int]
    """Bytes kept between steps."""
    workspace: Callable[[Tensors], int]
    """Bytes needed while it steps, beside parameters, gradients and state."""
    basis: str
    source: str
    note: str = ""
    pageable: bool = False
    """Whether its state may be moved to the host while it is not needed."""


def same(copies: int) -> Callable[[Tensors], int]:
    """So many tensors like each parameter, in its format."""
    return lambda tensors: copies * sum(t.bytes for t in tensors)


def nothing(_: Tensors) -> int:
    return 0


def whole(tensors: Tensors) -> int:
    return sum(t.bytes for t in tensors)


def largest(copies: int) -> Callable[[Tensors], int]:
    """So many tensors like the largest parameter: parameters are stepped one after another."""
    return lambda tensors: copies * max((t.one for t in tensors), default=0)


def eight_bit(tensors: Tensors) -> int:
    """Two states of one byte with an fp32 scale for each 256 elements; fp32 for tensors below 4,096 elements and for embeddings."""
    total = 0
    for t in tensors:
        if t.elements < 4096 or t.embedding:
            total += 8 * t.elements * t.copies
        else:
            total += (2 * t.elements + 2 * 4 * -(-t.elements // 256)) * t.copies
    return total + 2 * 256 * 4  # two tables of 256 values


def factored(tensors: Tensors) -> int:
    """One fp32 number for each row and each column of a matrix; one for each element of a vector."""
    total = 0
    for t in tensors:
        if len(t.shape) >= 2:
            rest = t.elements // (t.shape[-1] * t.shape[-2])
            total += 4 * rest * (t.shape[-1] + t.shape[-2]) * t.copies
        else:
            total += 4 * t.elements * t.copies
    return total


def three_fp32(tensors: Tensors) -> int:
    """Gradient, update and parameter of the largest tensor in fp32, as transformers' Adafactor makes them."""
    return max((12 * t.elements for t in tensors), default=0)


def orthogonal(tensors: Tensors) -> tuple[list[Tensor], list[Tensor]]:
    """What Muon steps (matrices inside the layers), and what it leaves to AdamW: tables, the head, vectors, stacks."""
    inside = [t for t in tensors if len(t.shape) == 2 and not t.embedding and not t.head]
    return inside, [t for t in tensors if t not in inside]


def muon_state(tensors: Tensors) -> int:
    """One momentum for each matrix; two moments for the rest."""
    inside, rest = orthogonal(tensors)
    return whole(inside) + 2 * whole(rest)


def muon_workspace(tensors: Tensors) -> int:
    """The larger of Newton-Schulz on the largest matrix (the update, and four bf16 matrices of it and of its Gram matrix) and
    AdamW's copy of the rest."""
    inside, rest = orthogonal(tensors)
    steps = [t.one + 2 * (2 * t.elements + 2 * min(t.shape) ** 2) for t in inside]
    return max([*steps, whole(rest)], default=0)


_TORCH = "torch 2.13, torch/optim"
OPTIMIZERS: dict[str, Optimizer] = {
    row.name: row
    for row in (
        Optimizer(
            "adafactor",
            factored,
            three_fp32,
            "model",
            "Shazeer & Stern 2018; transformers' Adafactor",
            "no first moment; second moments factored over rows and columns, in fp32",
        ),
        Optimizer("adamw", same(2), whole, "exact", f"{_TORCH}/adamw.py", "foreach: one copy of all parameters at the step"),
        Optimizer("adamw-8bit", eight_bit, nothing, "model", "Dettmers et al. 2022; bitsandbytes, blocks of 256"),
        Optimizer("adamw-forloop", same(2), largest(2), "exact", f"{_TORCH}/adamw.py, foreach=False", "two copies of the largest tensor"),
        Optimizer("adamw-fused", same(2), nothing, "exact", f"{_TORCH}/adamw.py, fused=True"),
        Optimizer(
            "adamw-paged-8bit",
            eight_bit,
            nothing,
            "model",
            "Dettmers et al. 2023, paged optimizers; bitsandbytes",
            "in managed memory, which leaves the device when it is short",
            pageable=True,
        ),
        Optimizer("lion", same(1), largest(1), "model", "Chen et al. 2023; one update of the largest tensor at a time"),
        Optimizer("muon", muon_state, muon_workspace, "model", f"Jordan et al. 2024; {_TORCH}/_muon.py, AdamW for the rest"),
        Optimizer("sgd", nothing, nothing, "exact", f"{_TORCH}/sgd.py, no momentum"),
        Optimizer("sgd-momentum", same(1), nothing, "exact", f"{_TORCH}/sgd.py"),
    )
}


def optimizer_named(name: str) -> Optimizer:
    """The optimizer of this name. Raises UsageError with the nearest names."""
    if name not in OPTIMIZERS:
        hint = did_you_mean(name, OPTIMIZERS) or f"known: {', '.join(OPTIMIZERS)}"
        raise UsageError(f"unknown optimizer: {name!r:.60}", place="optimizer", hint=hint)
    return OPTIMIZERS[name]


def elements(tensors: Iterable[Tensor]) -> int:
    """Elements of all copies."""
    return sum(t.elements * t.copies for t in tensors)
