"""Parallel layouts: an architecture as one tensor-parallel rank sees it, and the layers that each pipeline stage holds."""

from __future__ import annotations

from typing import Any, NamedTuple

from paramcalc.holdings.trainable import last_stack
from paramcalc.model.architecture import Architecture
from paramcalc.model.order import Order
from paramcalc.model.parts import Block, Group, Place, kind_of
from paramcalc.model.rows import Row
from paramcalc.words.errors import UsageError
from paramcalc.words.sizes import Size

WHOLE = ("norm", "dropout", "position", "tensor", "dense", "pooling")
"""Kinds of blocks that every tensor-parallel rank holds whole."""


def rank_of(architecture: Architecture, tp: int, ep: int) -> Architecture:
    """The architecture that one rank computes: heads, feed-forward sizes, vocabulary and experts divided among ranks.

    Shoeybi et al. 2019, §3 (columns, then rows); key-value heads fewer than ranks are repeated, as in Megatron-LM.
    """
    if tp == 1 and ep == 1:
        return architecture
    root = _group(architecture.root, Place(width=Size(architecture.root.width or 0, "hidden_size")), tp, ep)
    return architecture.model_copy(update={"root": root})


def _group(group: Group, at: Place, tp: int, ep: int) -> Group:
    place = at._replace(width=Size(group.width, "width")) if group.width else at
    update: dict[str, Any] = {
        field: {name: _part(part, name, place, tp, ep) for name, part in getattr(group, field).items()} for field in ("parts", "kinds")
    }
    return group.model_copy(update=update)


def _part(part: Block | Group, name: str, at: Place, tp: int, ep: int) -> Block | Group:
    place = at._replace(part=f"{at.part}.{name}" if at.part else name)
    if isinstance(part, Group):
        return part if part.tower else _group(part, place, tp, ep)
    return _block(part, place, tp, ep)


def _block(block: Block, at: Place, tp: int, ep: int) -> Block:
    kind = kind_of(block)
    fields: Any = block
    if kind == "attention":
        heads, kv_heads, head_dim, v_dim = (int(size) for size in fields.dims(at))
        update = {
            "heads": _divided(heads, tp, f"{at.part}.heads"),
            "kv_heads": max(1, kv_heads // tp),
            "head_dim": head_dim,
            "v_head_dim": v_dim,
        }
        if fields.o_inputs:
            update["o_inputs"] = _divided(fields.o_inputs, tp, f"{at.part}.o_inputs")
    elif kind == "mla":
        update = {"heads": _divided(fields.heads, tp, f"{at.part}.heads")}
    elif kind == "feed_forward":
        update = {"size": _divided(fields.size, tp, f"{at.part}.size")}
    elif kind == "experts":
        return _experts(fields, at, tp, ep)
    elif kind == "embedding":
        update = {} if fields.index == "relative" else {"vocabulary": -(-fields.vocabulary // tp)}
    elif kind == "head":
        update = {"outputs": -(-fields.outputs // tp)}
    elif kind in WHOLE or tp == 1:
        return block
    else:
        raise UsageError(f"tensor parallelism of {at.part} ({kind}) is not modelled", place="tp", hint="--tp 1, with --zero 3 --dp")
    return block.model_copy(update=update)


def _experts(block: Any, at: Place, tp: int, ep: int) -> Block:
    """Experts are divided among expert-parallel ranks, or each among tensor-parallel ones where there are none."""
    update: dict[str, Any] = {"count": _divided(block.count, ep, f"{at.part}.count")}
    if ep == 1:
        update["expert"] = block.expert.model_copy(update={"size": _divided(block.expert.size, tp, f"{at.part}.expert.size")})
    if block.shared:
        update["shared"] = block.shared.model_copy(update={"size": _divided(block.shared.size, tp, f"{at.part}.shared.size")})
    made: Block = block.model_copy(update=update)
    return made


def _divided(size: int, ranks: int, place: str) -> int:
    if size % ranks:
        raise UsageError(f"{place} ({size:,}) cannot be divided among {ranks} ranks", place="tp", hint="a number of ranks that divides it")
    return size // ranks


class Stage(NamedTuple):
    """One stage of a pipeline."""

    number: int
    stages: int
    first_layer: int
    layers: int
    depth: int
    path: str
    """Tree path of the stack that is divided."""
    kinds: dict[str, tuple[int, int]]
    """Layers of each kind that it holds, and that there are in all."""

    @property
    def is_first(self) -> bool:
        return self.number == 0

    @property
    def is_last(self) -> bool:
        return self.number == self.stages - 1

    def holds(self, row: Row) -> Row | None:
        """The row with the copies that this stage holds."""
        if row.part.startswith(f"{self.path}."):
            kind = row.part.removeprefix(f"{self.path}.").partition(".")[0]
            own, every = self.kinds.get(kind, (1, 1))
            copies = row.repeat * own // every
            return row._replace(repeat=copies, applied=copies) if copies else None
        if self.is_last and row.tied:
            # the head's matrix is the first stage's table: the last stage holds a second copy
            return row._replace(tied=None) if not self.is_first else row
        behind = row.component == "head" or row.part.startswith(("norm", "head"))
        return row if (self.is_last if behind else self.is_first) else None


def stages(architecture: Architecture, count: int) -> list[Stage]:
    """The stages of a pipeline: as many layers each, one more in the first ones where that leaves a rest."""
    path, stack = last_stack(architecture)
    depth = sum(stack.layers.counts().values())
    if count > depth:
        raise UsageError(f"{count} stages for {depth} layers", place="pp", hint=f"--pp {depth} at most")
    if sum(1 for part in architecture.root.parts.values() if isinstance(part, Group) and not part.tower) > 1:
        raise UsageError("a pipeline of an encoder and a decoder is not modelled", place="pp", hint="--zero 3 --dp, or --tp")
    found, at = [], 0
    for number in range(count):
        layers = depth // count + (number < depth % count)
        found.append(Stage(number, count, at, layers, depth, path, _kinds(stack.layers, at, at + layers)))
        at += layers
    return found


def _kinds(order: Order, first: int, end: int) -> dict[str, tuple[int, int]]:
    every = order.counts()
    own = dict.fromkeys(every, 0)
    at = 0
    for kind, count in order.runs():
        own[kind] += max(0, min(end, at + count) - max(first, at))
        at += count
    return {kind: (own[kind], every[kind]) for kind in every}


def in_flight(stage: Stage, micro_batches: int, virtual: int) -> tuple[int, int]:
    """Micro-batches whose activations a stage holds at once, as a fraction of its layers: (chunks, chunks of a stage).

    1F1B (Narayanan et al. 2021, §2.2.1): stages behind it and itself. Interleaved (§2.2.2): Megatron's warm-up, and one.
    """
    left = stage.stages - stage.number
    if virtual == 1:
        return min(left, micro_batches), 1
    chunks = (left - 1) * 2 + (virtual - 1) * stage.stages + 1
    return min(chunks, micro_batches * virtual), virtual
