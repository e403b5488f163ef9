"""What a weight file holds beside what its config describes: every difference by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from paramcalc.gate.weights.tensors import Folded
from paramcalc.model.rows import Row
from paramcalc.words.sizes import product

BUFFERS = {
    "inv_freq": "a rotary table",
    "masked_bias": "a mask",
    "position_ids": "a table of positions",
    "relative_position_index": "a table of positions",
    "running_mean": "a statistic of batch norm",
    "running_var": "a statistic of batch norm",
    "num_batches_tracked": "a statistic of batch norm",
    "e_score_correction_bias": "a correction of the router",
    "weight_scale_inv": "scales of a number format",
    "weight_scale": "scales of a number format",
    "input_scale": "scales of a number format",
}
"""Last parts of names that references keep as buffers, or formats add; no parameters where the model has no such row."""
FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
"""Formats whose every element is a parameter or a scale."""

Shapes = Counter[tuple[str, tuple[int, ...]]]


def reason(tensor: Folded) -> str:
    """Why a tensor is no parameter; nothing where it looks like one."""
    last = tensor.name.rpartition(".")[2]
    if last in BUFFERS:
        return BUFFERS[last]
    if last == "bias" and len(tensor.shape) > 2:
        return "a mask"
    return "" if tensor.format in FLOATS else f"stored as {tensor.format}"


def differences(rows: Sequence[Row], tensors: Sequence[Folded]) -> list[str]:
    """Sentences for all that the model and the file do not share; none where they hold the same."""
    expected: Shapes = Counter()
    for row in rows:
        if not row.tied:
            expected[row.name, tuple(map(int, row.shape))] += int(row.repeat)
    held: Shapes = Counter()
    for tensor in tensors:
        held[_renamed(tensor.name, expected), tensor.shape] += tensor.copies
    missing, surplus = expected - held, held - expected
    parameters = {key: count for key, count in surplus.items() if not _reason_of(key[0], tensors) and not _is_alias(key[0], rows)}
    if missing and _elements(missing) == _elements(parameters):  # experts one by one, a fused projection split
        missing, parameters = Counter(), {}
    told = [f"in the model, not in the file: {_shown(key, count)}" for key, count in missing.items()]
    told += [f"in the file, not in the model: {_shown(key, count)}, not counted" for key, count in parameters.items()]
    told += [
        f"in the file, no parameter: {_shown(key, count)}, {_reason_of(key[0], tensors) or 'a second copy of a tied tensor'}"
        for key, count in surplus.items()
        if _reason_of(key[0], tensors) or _is_alias(key[0], rows)
    ]
    return told


def _renamed(name: str, expected: Shapes) -> str:
    """A name as the model has it, where the file leaves out or adds the base model's prefix."""
    names = {known for known, _ in expected}
    if name in names:
        return name
    for prefix in {known.partition(".")[0] for known in names}:
        if f"{prefix}.{name}" in names:
            return f"{prefix}.{name}"
    rest = name.partition(".")[2]
    return rest if rest in names else name


def _reason_of(name: str, tensors: Iterable[Folded]) -> str:
    last = name.rpartition(".")[2]
    return BUFFERS.get(last, "") or next((reason(tensor) for tensor in tensors if tensor.name.endswith(name)), "")


def _is_alias(name: str, rows: Iterable[Row]) -> bool:
    return any(row.tied and row.name == name for row in rows)


def _elements(shapes: Counter[tuple[str, tuple[int, ...]]] | dict[tuple[str, tuple[int, ...]], int]) -> int:
    return sum(product(shape) * count for (_, shape), count in shapes.items())


def _shown(key: tuple[str, tuple[int, ...]], count: int) -> str:
    name, shape = key
    copies = f" × {count}" if count > 1 else ""
    return f"{name} [{', '.join(map(str, shape))}]{copies} ({product(shape) * count:,} elements)"
