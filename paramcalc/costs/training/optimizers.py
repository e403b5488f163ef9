"""Optimizers as a table: what each keeps for a parameter, and what it needs beside that while it steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def in_turn(work: Callable[[Tensor], int], left: Callable[[Tensor], int]) -> Callable[[Tensors], int]:
    """Parameters one after another, where the loop's variable still holds a result of the one before (`left`) as the next is at work."""

    def fullest(tensors: Tensors) -> int:
        alone = [work(t) for t in tensors[:1]]
        return max([*alone, *(left(before) + work(t) for before, t in neighbours(tensors))], default=0)

    return fullest


def neighbours(tensors: Tensors) -> Iterator[tuple[Tensor, Tensor]]:
    """A parameter and the next; the last of a layer is followed by the first of the next layer of its kind, too."""
    yield from itertools.pairwise(tensors)
    for copies, group in itertools.groupby(tensors, key=lambda t: t.copies):
        run = list(group)
        if copies > 1:
            yield run[-1], run[0]


def counters(tensors: Tensors) -> int:
    """One fp32 number for each parameter, on the device."""
    return 4 * sum(t.copies for t in tensors)


def with_counters(state: Callable[[Tensors], int]) -> Callable[[Tensors], int]:
    return lambda tensors: state(tensors) + counters(tensors)


def eight_bit(tensors: Tensors) -> int:
    """Two states of one byte with an fp32 scale for each 256 elements, and two tables of 256 values; fp32 for tensors below 4,096
    elements and, as transformers' trainer asks, for `nn.Embedding`."""
    small = [t for t in tensors if t.elements < 4096 or t.embedding]
    other = [t for t in tensors if t not in small]
    scales = sum(2 * 4 * -(-t.elements // 256) * t.copies for t in other)
    return 8 * elements(small) + 2 * elements(other) + scales + (2 * 256 * 4 if other else 0)


def factored(tensors: Tensors) -> int:
    """One fp32 number for each row and each column of a matrix; one for each element of a vector; a norm for each of both."""
    total = counters(tensors)
    for t in tensors:
        if len(t.shape) >= 2:
            rest = t.elements // (t.shape[-1] * t.shape[-2])
            total += 4 * rest * (t.shape[-1] + t.shape[-2]) * t.copies
        else:
            total += 4 * t.elements * t.copies
    return total


def factored_work(t: Tensor) -> int:
    """Squares of gradients and their sum with a constant, in fp32; beside copies of gradient and parameter where they are not."""
    return (8 if t.element_bytes == 4 else 16) * t.elements


def orthogonal(tensors: Tensors) -> tuple[list[Tensor], list[Tensor]]:
    """What Muon steps (matrices inside the layers), and what it leaves to AdamW: tables, the head, vectors, stacks."""
    inside = [t for t in tensors if len(t.shape) == 2 and not t.embedding and not t.head]
    return inside, [t for t in tensors if t not in inside]


def muon_state(tensors: Tensors) -> int:
    """One momentum for each matrix; two moments for the rest."""
    inside, rest = orthogonal(tensors)
    return whole(inside) + 2 * whole(rest)


def newton_schulz(t: Tensor) -> int:
    """The update, and in bf16 a matrix and its next, with the Gram matrix and its polynomial; or the matrix with the Gram matrix, the
    next one and the polynomial. A bf16 update is itself the first matrix."""
    n, gram = t.elements, min(t.shape) ** 2
    return t.one + 2 * max(2 * n + 2 * gram, n + 3 * gram)


def muon_workspace(tensors: Tensors) -> int:
    """The larger of one matrix's orthogonalisation and AdamW's copy of the rest."""
    inside, rest = orthogonal(tensors)
    begin = in_turn(lambda t: t.one, lambda t: t.one)(inside)
    return max([begin, whole(rest), *(newton_schulz(t) for t in inside)])


_TORCH = "torch 2.13, torch/optim"
_BITSANDBYTES = "bitsandbytes 0.50, optim/optimizer.py"
OPTIMIZERS: dict[str, Optimizer] = {
    row.name: row
    for row in (
        Optimizer(
            "adafactor",
            factored,
            in_turn(factored_work, lambda t: 4 * t.elements),
            "exact",
            "Shazeer & Stern 2018; transformers 5.23, optimization.py (its trainer's choice; torch.optim.Adafactor keeps bf16 states)",
            "no first moment; second moments factored over rows and columns, in fp32",
        ),
        Optimizer("adamw", same(2), whole, "exact", f"{_TORCH}/adamw.py", "foreach: one copy of all parameters at the step"),
        Optimizer("adamw-8bit", eight_bit, nothing, "exact", f"Dettmers et al. 2022; {_BITSANDBYTES}", "8 bits in blocks of 256"),
        Optimizer(
            "adamw-forloop",
            same(2),
            in_turn(lambda t: 2 * t.one, lambda t: t.one),
            "exact",
            f"{_TORCH}/adamw.py, foreach=False",
            "two copies of a tensor and one of that before it",
        ),
        Optimizer("adamw-fused", with_counters(same(2)), nothing, "exact", f"{_TORCH}/adamw.py, fused=True"),
        Optimizer(
            "adamw-paged-8bit",
            eight_bit,
            nothing,
            "exact",
            f"Dettmers et al. 2023, paged optimizers; {_BITSANDBYTES}",
            "states of 100,000 elements and more in managed memory, which leaves the device when it is short",
            pageable=True,
        ),
        Optimizer("lion", same(1), largest(2), "exact", "Chen et al. 2023; lion-pytorch 0.2.5", "bitsandbytes' Lion keeps it in fp32"),
        Optimizer("muon", muon_state, muon_workspace, "exact", f"Jordan et al. 2024; {_TORCH}/_muon.py, AdamW (foreach) for the rest"),
        Optimizer("sgd", nothing, nothing, "exact", f"{_TORCH}/sgd.py, no momentum"),
        Optimizer("sgd-momentum", same(1), nothing, "exact", f"{_TORCH}/sgd.py"),
    )
}
"""State and workspace of each were recorded from the implementation that is named: `tests/golden/training/steps_recorded.jsonl`."""


def optimizer_named(name: str) -> Optimizer:
    """The optimizer of this name. Raises UsageError with the nearest names."""
    if name not in OPTIMIZERS:
        hint = did_you_mean(name, OPTIMIZERS) or f"known: {', '.join(OPTIMIZERS)}"
        raise UsageError(f"unknown optimizer: {name!r:.60}", place="optimizer", hint=hint)
    return OPTIMIZERS[name]


def elements(tensors: Iterable[Tensor]) -> int:
    """Elements of all copies."""
    return sum(t.elements * t.copies for t in tensors)
