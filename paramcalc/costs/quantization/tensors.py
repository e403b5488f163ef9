"""The tensors of an architecture with what a scheme asks about them: their matrices, and the layers they stand in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from paramcalc.costs.quantization.scheme import Matrix
from paramcalc.model.architecture import Architecture
from paramcalc.model.parts import Group
from paramcalc.model.rows import BIAS, Row
from paramcalc.words.sizes import product

MAX_NUMBERED = 100_000
"""Layers that are numbered one by one; deeper models have no numbers, and schemes that ask for them refuse."""


class Tensor(NamedTuple):
    """A row with the block it belongs to."""

    row: Row
    block: object = None
    """The block that made it; None where only the row is known."""
    layers: tuple[int, ...] = ()
    """Index of each copy's layer within its stack; empty outside of stacks, or where nobody numbered them."""

    @property
    def transposed(self) -> bool:
        """Whether the reference stores [inputs, outputs]."""
        return bool(getattr(self.block, "transposed", False)) and self.row.op in ("linear", "stack") and self.row.kind != BIAS

    def matrices(self) -> list[tuple[int, Matrix]]:
        """(how many, matrix) of one copy. Stacked experts are one matrix each, and gate and up are two, as checkpoints
        hold them; a vector is one row; a convolution's kernel is flattened onto its inputs."""
        shape = tuple(int(size) for size in self.row.shape)
        if len(shape) < 2:
            return [(1, Matrix(1, product(shape)))]
        if self.row.op == "stack" and len(shape) == 2 and self.row.experts and self.row.kind != BIAS:
            return [self._folded(shape)]
        if self.row.op != "stack" or len(shape) < 3:
            outputs, inputs = (product(shape[1:]), shape[0]) if self.transposed else (shape[0], product(shape[1:]))
            return [(1, Matrix(outputs, inputs))]
        experts, outputs, inputs = shape[0], shape[1], product(shape[2:])
        if self.transposed:
            inputs, outputs = outputs, inputs
        if self.row.role.endswith("gate_up_proj") and outputs % 2 == 0:
            return [(2 * experts, Matrix(outputs // 2, inputs))]
        return [(experts, Matrix(outputs, inputs))]

    def _folded(self, shape: tuple[int, ...]) -> tuple[int, Matrix]:
        """Experts folded into the first of two axes (DBRX): [experts · size, width], the down projection as well."""
        experts = self.row.experts[0] if self.row.experts else 1
        size, width = shape[0] // experts, shape[1]
        return experts, Matrix(width, size) if self.row.role.endswith("down_proj") else Matrix(size, width)


def tensors(architecture: Architecture, *, numbered: bool = False) -> list[Tensor]:
    """Every tensor of an architecture; `numbered` says which layers the copies stand in."""
    layers = dict(_layers(architecture.root, "", ())) if numbered else {}
    return [
        Tensor(row, placed[0], layers.get(placed[1].part.rpartition(".")[0], ())[: row.repeat])
        for placed in architecture.blocks()
        for row in placed.rows
    ]


def _layers(group: Group, path: str, at: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(path of a group, layer of each of its copies), for every group inside."""
    yield path, at
    for name, part in group.parts.items():
        if isinstance(part, Group):
            yield from _layers(part, f"{path}.{name}" if path else name, _repeated(at, part.repeat))
    counts = group.layers.counts()
    depth = sum(counts.values())
    if not depth or depth * max(len(at), 1) > MAX_NUMBERED:
        return
    positions: dict[str, list[int]] = {}
    index = 0
    for kind, count in group.layers.runs():
        positions.setdefault(kind, []).extend(range(index, index + count))
        index += count
    for name, part in group.kinds.items():
        numbers = tuple(outer * depth + inner for outer in at or (0,) for inner in positions.get(name, ()))
        if isinstance(part, Group):
            yield from _layers(part, f"{path}.{name}" if path else name, _repeated(numbers, part.repeat))


def _repeated(at: tuple[int, ...], repeat: int) -> tuple[int, ...]:
    if repeat == 1 or max(len(at), 1) * repeat > MAX_NUMBERED:
        return at
    return tuple(outer * repeat + inner for outer in at or (0,) for inner in range(repeat))
