"""The parameters of a live module, by what it says itself: anything with `named_parameters()`, as a torch.nn.Module has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from paramcalc.gate.weights.tensors import template
from paramcalc.holdings.counts import Counts, fold
from paramcalc.model.architecture import Architecture, Origin
from paramcalc.model.rows import BIAS, EMBEDDING, WEIGHT, Row
from paramcalc.words.errors import InputError


class _Alike(NamedTuple):
    """What parameters have in common that one row can stand for."""

    name: str
    shape: tuple[int, ...]
    kind: str
    tied: str | None
    trainable: bool


def is_module(model: object) -> bool:
    """Whether something can be asked for its parameters."""
    return callable(getattr(model, "named_parameters", None)) and not isinstance(model, type)


def count_module(module: Any) -> Counts:
    """Count a live module: tensors that several names share count once, frozen ones are not trainable, buffers are none.

    A parameter is an embedding where its own module's class is one by name, a bias where it is named one. `active` is
    unknown: a module does not say which experts a token visits. A quantized or partitioned parameter counts as what it stands for.
    """
    tables = _tables(module)
    owners: dict[int, str] = {}
    copies: dict[_Alike, int] = {}
    for name, parameter in _parameters(module):
        owner = owners.setdefault(id(parameter), name)
        kind = EMBEDDING if name.rpartition(".")[0] in tables else BIAS if name.rpartition(".")[2].endswith("bias") else WEIGHT
        tied = template(owner) if owner != name else None
        alike = _Alike(template(name), _shape(name, parameter), kind, tied, bool(getattr(parameter, "requires_grad", True)))
        copies[alike] = copies.get(alike, 0) + 1
    rows = [_row(alike, number) for alike, number in copies.items()]
    architecture = Architecture(name=type(module).__name__, origin=Origin("live module", "module"))
    counts = fold(architecture, rows)
    parts = {name: share._replace(active=None) for name, share in counts.by_component.items()}
    return counts._replace(active=None, by_component=parts)


def _row(alike: _Alike, number: int) -> Row:
    role = "embedding" if alike.kind == EMBEDDING else ""
    return Row(
        alike.name, alike.shape, alike.kind, "", "other", role, alike.name, number, number, tied=alike.tied, trainable=alike.trainable
    )


def _parameters(module: Any) -> Iterator[tuple[str, Any]]:
    """Every name of every parameter, shared ones under each of their names where the module can list them so."""
    try:
        named = module.named_parameters(remove_duplicate=False)
    except TypeError:  # before torch 2.0, and in look-alikes
        named = module.named_parameters()
    yield from named


def _tables(module: Any) -> set[str]:
    """The paths of modules whose class says that they are tables looked up by index."""
    named = getattr(module, "named_modules", None)
    if not callable(named):
        return set()
    return {name for name, inner in named() if any(base.__name__ in ("Embedding", "EmbeddingBag") for base in type(inner).__mro__)}


def _shape(name: str, parameter: Any) -> tuple[int, ...]:
    """The shape that a parameter stands for, whatever it is packed or split into."""
    packed = getattr(getattr(parameter, "quant_state", None), "shape", None)  # bitsandbytes, 4 bits in a column of bytes
    split = getattr(parameter, "ds_shape", None)  # DeepSpeed ZeRO-3, a share of it on each rank
    try:
        return tuple(int(size) for size in (packed or split or parameter.shape))
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:  # a lazy parameter has no shape before its first call
        raise InputError("has no shape yet", place=name[:120], hint="run the module once, so that lazy parameters are made") from error
