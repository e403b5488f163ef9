"""From recorded operations to bytes: what is kept, and how much lives at once on the way forward and on the way back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from paramcalc.costs.training.autograd import BYTES, Op
from paramcalc.model.tape import Storage, Value

KEPT_KINDS = ("activation", "copy")
"""Kinds of memory that are counted as saved; parameters, buffers and inputs are not."""


class Kept(NamedTuple):
    """A tensor that is kept for the backward pass."""

    name: str
    where: str
    bytes: int
    kind: str


def saved(ops: Iterable[Op]) -> dict[Storage, Kept]:
    """Every piece of memory that is kept, once, with the operation that keeps it first."""
    found: dict[Storage, Kept] = {}
    for op in ops:
        for storage in op.saved:
            if storage not in found and storage.kind in KEPT_KINDS:
                found[storage] = Kept(storage.name, op.where, storage.bytes, storage.kind)
    return found


def made(ops: Iterable[Op]) -> set[Storage]:
    """Memory that these operations allocate themselves."""
    ops = list(ops)
    inputs = {value.storage for op in ops for value in op.inputs}
    outputs = {op.output.storage for op in ops}
    only_kept = {storage for op in ops for storage in op.saved} - inputs
    return outputs | only_kept


def gradient_bytes(value: Value) -> int:
    return value.elements * BYTES[value.dtype]
