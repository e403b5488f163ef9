"""How wide a model gets while it computes: elements per token that live at once at the widest moment of each layer.

A rule for every kind of block, from its rows alone. A network of matrices holds, at its widest, what those make that read
the stream, and what the last one reads: a gated feed-forward network of size f holds gate, up and their product, 3f;
attention holds queries, keys, values and its result. Routed experts hold that for each expert a token visits, or, where
that is more, the rows that go in and come out of them. Beside it live copies of the stream, as many as an engine keeps.
Norms and rotations are narrower and are not counted; scores of attention are, where they are made whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from paramcalc.costs.inference.sharding import Piece, Stage
from paramcalc.costs.quantization.scheme import Matrix
from paramcalc.costs.quantization.tensors import Tensor

WRITERS = frozenset({"down_proj", "o_proj", "out_proj", "output"})
"""Matrices whose result is added to the stream."""
WRITTEN_OUT = frozenset({"gelu_new", "gelu_fast", "gelu_python_tanh"})
"""Activations that the reference writes out in Python, where twice its input lives beside it."""


class Routed(NamedTuple):
    """Elements per token of the experts it visits, all of them together."""

    made: int = 0
    read: int = 0
    rows: int = 0
    """Rows that go in, as many elements as come out."""


class Network(NamedTuple):
    """One block while it computes; widths are elements per token."""

    part: str
    tokens: str | int
    """Its token axis: `context`, `source`, or a fixed number."""
    stream: int
    made: int
    """Results of the matrices that read the stream, or a latent of it."""
    read: int
    """What the matrices read that write to it."""
    again: int = 0
    """What an implementation in separate operations holds beside that."""
    routed: Routed = Routed()
    heads: int = 0
    """Query heads, where it is attention."""
    whole_scores: bool = False
    """Whether it needs the scores whole: they are capped, or a sink takes part of them."""
    upcast: bool = True
    """Whether their softmax is taken in fp32."""
    expands: int = 0
    """Elements per cached token that a latent is expanded to at every step, keys put together included."""


class Logits(NamedTuple):
    """What the head makes of a token."""

    width: int
    decodes: bool
    """Whether only a sequence's last token is asked: in a decoder, not in an encoder."""


def networks(stage: Stage, tp: int = 1) -> list[Network]:
    """Every block of a stage that computes, in the order of the tree; tables, norms and the head aside."""
    return [found for piece in stage.pieces if (found := _network(piece, tp)) is not None]


def logits(stage: Stage) -> Logits | None:
    """The head, where the stage has one."""
    for piece in reversed(stage.pieces):
        for tensor in piece.tensors:
            if tensor.row.role == "head" and tensor.row.op == "linear" and len(tensor.row.shape) == 2:
                return Logits(int(tensor.row.shape[1 if tensor.transposed else 0]), piece.place.cached)
    return None


def _network(piece: Piece, tp: int) -> Network | None:
    made = read = 0
    routed = Routed()
    for tensor in piece.tensors:
        row = tensor.row
        if row.role == "head" or row.op not in ("linear", "stack") or len(row.shape) < 2:
            continue
        (count, matrix), *_ = tensor.matrices()
        if row.experts is not None:
            routed = _with_expert(routed, tensor, count, matrix)
        elif _writes(tensor):
            read += matrix.inputs
        else:
            made += matrix.outputs
    if not made and not read and not routed.rows:
        return None
    block, place = piece.block, piece.place
    heads = getattr(block, "heads", 0) if block.home == "attention" else 0
    return Network(
        place.part,
        place.tokens,
        int(place.width),
        made,
        read,
        _again(block, made, read, tp),
        routed,
        -(-int(heads) // tp),
        bool(getattr(block, "softcap", None)) or bool(getattr(block, "sinks", False)),
        bool(getattr(block, "upcast", True)) and not getattr(block, "sinks", False),
        _expansion(block, tp),
    )


def _with_expert(routed: Routed, tensor: Tensor, count: int, matrix: Matrix) -> Routed:
    """One tensor of routed experts added: its matrices, for as many experts as a token visits. Where the description does not
    fix how many, one is counted (and the plan says so)."""
    row = tensor.row
    assert row.experts is not None
    held, visited = row.experts[0], row.experts[1] or 1
    each = max(1, count // held) if row.op == "stack" else 1
    if _writes(tensor):
        return routed._replace(read=routed.read + matrix.inputs * each * visited, rows=routed.rows + matrix.outputs * visited)
    return routed._replace(made=routed.made + matrix.outputs * each * visited)


def _writes(tensor: Tensor) -> bool:
    """Whether a matrix writes to the stream: by its role, or because tensor parallelism divides its inputs."""
    row = tensor.row
    return row.role.rpartition(".")[2] in WRITERS or (row.op == "linear" and row.split == (0 if tensor.transposed else 1))


def _again(block: Any, made: int, read: int, tp: int) -> int:
    """Gate and up in one matrix stay until both are used; an activation written out holds intermediate results."""
    if getattr(block, "gated", False):
        return read if getattr(block, "fused", False) is True else 0
    if getattr(block, "activation", "") in WRITTEN_OUT:
        return made + read
    if hasattr(block, "kv_rank"):  # latent attention puts its queries and keys together, head by head
        return int(2 * block.heads // tp * (block.nope_dim + block.rope_dim))
    return 0


def _expansion(block: Any, tp: int) -> int:
    """Latent attention without absorption: keys and values of every head, and the keys once more with their rotary part."""
    if not hasattr(block, "kv_rank") or not hasattr(block, "nope_dim"):
        return 0
    return int(block.heads // tp * (2 * block.nope_dim + block.rope_dim + block.v_dim))
