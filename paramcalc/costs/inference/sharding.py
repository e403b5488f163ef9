"""What one rank holds: its pipeline stage's layers, its share of each tensor, its heads of each cache.

- Tensor parallelism (Shoeybi et al. 2019) divides the axis that a row names; what names none is on every rank. Keys and
  values whose heads are fewer than the ranks are repeated; vocabularies are padded first.
- Expert parallelism gives whole experts to ranks; those stand on the tensor-parallel ranks first, then on replicas.
- Pipeline stages are runs of layers; what stands before the layers is the first stage's, what stands after the last's,
  which then holds a tied table once more. Towers (vision, audio) are the first stage's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from paramcalc.costs.quantization.tensors import Tensor, tensors
from paramcalc.model.architecture import Architecture
from paramcalc.model.blocks.attention import Attention
from paramcalc.model.parts import Block, Group, Place
from paramcalc.model.rows import CacheRow, Row
from paramcalc.words.errors import UsageError

KEYS_VALUES = frozenset({"k_proj", "v_proj", "kv_proj", "qkv_proj"})

Divide = Callable[[int, int], Sequence[int]]
"""(layers, stages) to the number of layers of each stage."""


class Piece(NamedTuple):
    """One kind of block in one stage, as one rank holds it."""

    block: Block
    place: Place
    tensors: tuple[Tensor, ...]
    caches: tuple[CacheRow, ...]
    copies: int
    """How many times the stage applies it."""


class Stage(NamedTuple):
    """One pipeline stage; all its ranks hold the same number of bytes (a rank with less than its share is not told apart)."""

    number: int
    of: int
    pieces: tuple[Piece, ...]

    @property
    def tensors(self) -> list[Tensor]:
        return [tensor for piece in self.pieces for tensor in piece.tensors]

    @property
    def caches(self) -> list[CacheRow]:
        return [row for piece in self.pieces for row in piece.caches]


class Ranks(NamedTuple):
    """How many ways a stage is divided."""

    tp: int = 1
    ep: int = 1
    vocabulary: int = 1
    """Vocabularies are padded to a multiple of this."""


def evenly(layers: int, stages: int) -> list[int]:
    """The same number of layers for each stage, one more for the first ones where they do not divide."""
    return [layers // stages + (stage < layers % stages) for stage in range(stages)]


def stages(architecture: Architecture, ranks: Ranks, pp: int = 1, divide: Divide = evenly, *, numbered: bool = False) -> list[Stage]:
    """What one rank of each stage holds. Raises UsageError where ranks do not divide what they must."""
    whole = _pieces(architecture, numbered=numbered or pp > 1)
    divided = [whole] if pp == 1 else _by_stage(architecture, whole, pp, divide)
    for piece in whole:
        _check_heads(piece, ranks)
    return [Stage(number, pp, tuple(_shared(piece, ranks) for piece in pieces)) for number, pieces in enumerate(divided)]


def _pieces(architecture: Architecture, *, numbered: bool) -> list[Piece]:
    rows = iter(tensors(architecture, numbered=numbered))
    found = []
    for placed in architecture.blocks():
        block, place = placed
        own = tuple(next(rows) for _ in placed.named)
        kept = tuple(row._replace(part=place.part, repeat=place.applied) for row in block.cache(place)) if place.cached else ()
        found.append(Piece(block, place, own, kept, place.applied))
    return found


# Pipeline stages


class Stack(NamedTuple):
    """A group of layers in their order."""

    path: str
    first: int
    """How many layers of other stacks come before."""
    group: Group

    @property
    def depth(self) -> int:
        return sum(self.group.layers.counts().values())


def _stacks(group: Group, path: str = "", before: int = 0) -> Iterator[Stack]:
    """The stacks that pipeline stages divide: not those of towers, nor those inside a layer."""
    if group.kinds:
        yield Stack(path, before, group)
        before += sum(group.layers.counts().values())
    for name, part in group.parts.items():
        if isinstance(part, Group) and not part.tower:
            for stack in _stacks(part, f"{path}.{name}" if path else name, before):
                yield stack
                before = stack.first + stack.depth


def _by_stage(architecture: Architecture, whole: list[Piece], pp: int, divide: Divide) -> list[list[Piece]]:
    found = list(_stacks(architecture.root))
    depth = sum(stack.depth for stack in found)
    if depth < pp:
        raise UsageError(f"{pp} stages need as many layers, and there are {depth}", place="pp")
    sizes = divide(depth, pp)
    bounds = [(sum(sizes[:stage]), sum(sizes[: stage + 1])) for stage in range(pp)]
    made: list[list[Piece]] = [[] for _ in range(pp)]
    passed = 0  # layers that come before, in the order of the tree
    for piece in whole:
        stack, kind = _home(piece.place.part, found)
        if stack is None:
            made[next((number for number, (_, end) in enumerate(bounds) if passed < end), pp - 1)].append(piece)
            continue
        passed = stack.first + stack.depth
        counts = [_overlap(stack, kind, start, end) for start, end in bounds]
        for number, part in enumerate(_portions(piece, counts)):
            if part is not None:
                made[number].append(part)
    return [_untied(pieces) for pieces in made]


def _home(part: str, found: list[Stack]) -> tuple[Stack | None, str]:
    """The stack that a part stands in, and its kind of layer."""
    for stack in found:
        for kind in stack.group.kinds:
            path = f"{stack.path}.{kind}" if stack.path else kind
            if part == path or part.startswith(path + "."):
                return stack, kind
    return None, ""


def _overlap(stack: Stack, kind: str, start: int, end: int) -> int:
    """Layers of a kind between two layers, counted over all stacks."""
    at, found = stack.first, 0
    for name, count in stack.group.layers.runs():
        if name == kind:
            found += max(0, min(end, at + count) - max(start, at))
        at += count
    return found


def _portions(piece: Piece, counts: list[int]) -> Iterator[Piece | None]:
    """A piece for each stage; weights that several layers share are on every stage that uses them."""
    whole, before = sum(counts), 0
    for count in counts:
        if not count:
            yield None
            continue
        applied = piece.copies * count // whole
        own = []
        for tensor in piece.tensors:
            row = tensor.row
            shared = row.repeat % whole != 0 or row.repeat < row.applied
            copies = min(row.repeat, applied) if shared else row.repeat * count // whole
            per_layer = len(tensor.layers) // whole if tensor.layers else 0
            layers = tensor.layers[before * per_layer : (before + count) * per_layer] if per_layer else tensor.layers
            own.append(tensor._replace(row=row._replace(repeat=copies, applied=row.applied * count // whole), layers=layers))
        yield piece._replace(
            tensors=tuple(own), caches=tuple(row._replace(repeat=row.repeat * count // whole) for row in piece.caches), copies=applied
        )
        before += count


def _untied(pieces: list[Piece]) -> list[Piece]:
    """A row whose owner stands on another stage has storage of its own."""
    here = {piece.place.part for piece in pieces}

    def freed(tensor: Tensor) -> Tensor:
        return tensor._replace(row=tensor.row._replace(tied=None)) if tensor.row.tied and tensor.row.tied not in here else tensor

    return [piece._replace(tensors=tuple(map(freed, piece.tensors))) for piece in pieces]


# One rank's share


def _check_heads(piece: Piece, ranks: Ranks) -> None:
    heads = getattr(piece.block, "heads", None)
    if ranks.tp == 1 or not isinstance(heads, int) or piece.place.tower:
        return
    if heads % ranks.tp:
        raise UsageError(f"{ranks.tp} ranks do not divide the {heads} heads of {piece.place.part}", place="tp")
    kv_heads = getattr(piece.block, "kv_heads", None) or heads
    if kv_heads % ranks.tp and ranks.tp % kv_heads:
        raise UsageError(f"{ranks.tp} ranks neither divide nor repeat the {kv_heads} key-value heads of {piece.place.part}", place="tp")


def _shared(piece: Piece, ranks: Ranks) -> Piece:
    """One rank's part of a piece."""
    if ranks.tp == 1 and ranks.ep == 1 and ranks.vocabulary == 1:
        return piece
    return piece._replace(
        tensors=tuple(tensor._replace(row=share_of_row(tensor.row, piece, ranks)) for tensor in piece.tensors),
        caches=tuple(share_of_cache(row, ranks.tp) for row in piece.caches),
    )


def share_of_row(row: Row, piece: Piece, ranks: Ranks) -> Row:
    """A tensor as one rank holds it."""
    if row.experts is not None:
        return _share_of_experts(row, ranks)
    if row.role in ("embedding", "head") and row.component in ("embedding", "head") and row.split is not None:
        rows = -(-int(row.shape[0]) // ranks.vocabulary) * ranks.vocabulary
        return _with(row, 0, -(-rows // ranks.tp))
    if row.split is None or ranks.tp == 1:
        return row
    if row.role in KEYS_VALUES and isinstance(piece.block, Attention):
        return _with(row, row.split, _keys_and_values(row, piece.block, piece.place, ranks.tp))
    return _divided(row, ranks.tp, tower=bool(piece.place.tower))


def _share_of_experts(row: Row, ranks: Ranks) -> Row:
    """Whole experts to expert-parallel ranks; what tensor parallelism is left over divides each of them."""
    assert row.experts is not None
    held = row.experts[0]
    mine = -(-held // ranks.ep)
    if ranks.ep > 1:
        row = _with(row, 0, row.shape[0] // held * mine) if row.op == "stack" else row._replace(repeat=row.repeat // held * mine)
        row = row._replace(experts=(mine, None if row.experts is None or row.experts[1] is None else min(row.experts[1], mine)))
    within = ranks.tp // ranks.ep
    return _divided(row, within) if within > 1 and row.split is not None else row


def _divided(row: Row, ways: int, *, tower: bool = False) -> Row:
    assert row.split is not None
    size = int(row.shape[row.split])
    if size % ways:
        if tower:  # engines then keep the tower whole on every rank
            return row
        raise UsageError(f"{ways} ranks do not divide {row.name}, which is {' × '.join(str(int(n)) for n in row.shape)}", place="tp")
    return _with(row, row.split, size // ways)


def _keys_and_values(row: Row, block: Attention, place: Place, ways: int) -> int:
    """Outputs of one rank's projection: its own queries, and at least one head of keys and of values."""
    heads, kv_heads, head_dim, v_dim = block.dims(place)
    mine = max(1, int(kv_heads) // ways)
    if row.role == "qkv_proj":
        queries = int(heads * head_dim) * (2 if block.gate else 1)
        return queries // ways + mine * int(head_dim + v_dim)
    return int(row.shape[row.split or 0]) // int(kv_heads) * mine


def share_of_cache(row: CacheRow, ways: int) -> CacheRow:
    """A cache as one rank keeps it: its heads, at least one; a latent is whole on every rank."""
    if ways == 1:
        return row
    expanded = None if row.expanded is None else (max(1, int(row.expanded[0]) // ways), *row.expanded[1:])
    row = row._replace(expanded=expanded)
    if row.split is None:
        return row

    def less(shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(max(1, -(-int(size) // ways)) if axis == row.split else size for axis, size in enumerate(shape))

    return row._replace(shape=less(row.shape), suffices=None if row.suffices is None else less(row.suffices))


def _with(row: Row, axis: int, size: int) -> Row:
    return row._replace(shape=tuple(size if number == axis else old for number, old in enumerate(row.shape)))
