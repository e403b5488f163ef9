"""Linear attention by delta rules, chunk by chunk, as transformers writes it without the kernels of flash-linear-attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from paramcalc.model.tape import FP32, HEADS_FIRST

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

CHUNK = 64
"""Tokens of a chunk, within which all pairs of tokens are computed at once."""


class Chunks(NamedTuple):
    """What the loop over chunks reads: all chunks of all sequences, head by head."""

    query: Value
    key: Value
    sums: Value
    """Logs of the decay since a chunk's beginning: one for each head, or for each channel of its keys."""
    values: Value
    """What each token would write to an empty state."""
    known: Value
    """Keys with which it reads what the state holds for it already."""
    pairs: Value
    """Of each two tokens of a chunk: scores, or decays where those of the channels differ."""


def gated_delta_rule(tape: Tape, query: Value, key: Value, value: Value, decay: Value, beta: Value, heads: int, key_heads: int) -> Value:
    """The gated delta rule with one decay for each head and token (Yang et al. 2025, §3.3), in fp32 throughout.

    The updates within a chunk are one triangular system (Yang et al. 2024, DeltaNet, §3.2). `torch_chunk_gated_delta_rule`.
    """
    dtype = query.dtype
    if key_heads != heads:
        query, key = (tape.copy(x, x.width // key_heads * heads) for x in (query, key))
    query, key, value, beta, decay = (tape.cast(x, FP32) for x in (query, key, value, beta, decay))
    query, key = (tape.multiply(x, tape.unary("rsqrt", _squares(tape, x, heads))) for x in (query, key))
    query, key, value, beta, decay = (_whole_chunks(tape, x, dtype) for x in (tape.scale(query), key, value, beta, decay))
    value, step = tape.multiply(value, beta), tape.multiply(key, beta)
    sums = tape.cumulative(decay)
    pairs = _decay_of_pairs(tape, sums)
    system = tape.multiply(tape.matmul(_side_by_side(tape, step, dtype), _side_by_side(tape, key, dtype), heads * CHUNK), pairs)
    scores = tape.multiply(tape.matmul(_side_by_side(tape, query, dtype), _side_by_side(tape, key, dtype), heads * CHUNK), pairs)
    known = tape.solve(system, tape.multiply(step, tape.unary("exp", sums)))
    chunks = Chunks(query, key, sums, tape.solve(system, value), known, scores)
    made = _scan(tape, chunks, heads, _turn_of_heads(tape, chunks))
    made = _part(tape, made if _count(tape, made) == 1 else tape.copy(made), tape.batch * tape.length)
    return tape.copy(made) if dtype == FP32 else tape.cast(made, dtype)


def kimi_delta_rule(tape: Tape, query: Value, key: Value, value: Value, decay: Value, beta: Value, heads: int) -> Value:
    """The same with a decay for each channel of a key (Kimi Team 2025, Kimi Linear, §3), so that products within a chunk are
    taken channel by channel. Autocast runs in its format what is left of matrix products. `chunk_kimi_delta_attention`."""
    dtype = query.dtype
    query, key, value, beta, decay = (tape.cast(tape.by_head(x), FP32) for x in (query, key, value, beta, decay))
    query, key = (tape.divide(x, tape.unary("sqrt", _squares(tape, x, heads))) for x in (query, key))
    query, key, value, decay, beta = (_whole_chunks(tape, x) for x in (query, key, value, decay, beta))
    query, value, step = tape.scale(query), tape.multiply(value, beta), tape.multiply(key, beta)
    sums = tape.cumulative(decay)
    pairs = _decay_of_pairs(tape, sums)
    system = tape.scale(tape.masked(_by_channel(tape, step, key, pairs, heads), _mask(tape)))
    system = tape.scale(tape.substituted(system, CHUNK))
    values = tape.matmul(system, value, value.width)
    known = tape.matmul(system, tape.multiply(step, tape.unary("exp", sums)), step.width)
    chunks = Chunks(query, key, sums, values, known, pairs)
    made = _part(tape, _scan(tape, chunks, heads, _turn_of_channels(tape, chunks, heads)), tape.batch * tape.length)
    return tape.cast(tape.copy(made), dtype)


def _squares(tape: Tape, x: Value, heads: int) -> Value:
    """The square of the length of each head's vector."""
    return tape.scale(tape.mean(tape.multiply(x, x), heads))


def _whole_chunks(tape: Tape, x: Value, dtype: str = "") -> Value:
    """Sequences made as long as whole chunks; a copy even where they are. It lies head by head, but for one that was neither
    cast nor made longer, and lies as it did."""
    made = tape.padded(x, tape.batch * -(-tape.length // CHUNK) * CHUNK)
    if not _as_it_came(tape, dtype):
        made.layout = HEADS_FIRST
    return made


def _as_it_came(tape: Tape, dtype: str) -> bool:
    return dtype == FP32 and tape.length % CHUNK == 0


def _side_by_side(tape: Tape, x: Value, dtype: str) -> Value:
    """An operand of a product for each chunk: a copy where the chunks of a head do not lie one behind another."""
    return tape.by_head(x) if _as_it_came(tape, dtype) and tape.length > CHUNK else x


def _part(tape: Tape, x: Value, tokens: int) -> Value:
    """A view of so many rows."""
    return tape.view(x, tokens, x.width)


def _count(tape: Tape, x: Value) -> int:
    """Chunks of one sequence."""
    return x.tokens // CHUNK // tape.batch


def _mask(tape: Tape) -> Value:
    """Of what a token would see of later ones in its chunk."""
    return tape.fresh(CHUNK, CHUNK, "bool", "mask")


def _decay_of_pairs(tape: Tape, sums: Value) -> Value:
    """Decays between each two tokens of a chunk."""
    between = tape.subtract(tape.spread(sums, CHUNK), tape.spread(sums, CHUNK))
    return tape.unary("exp", tape.masked(between, _mask(tape)))


def _by_channel(tape: Tape, x: Value, y: Value, decays: Value, heads: int) -> Value:
    """Scores of each two tokens of a chunk, with a decay for each channel."""
    products = tape.multiply(tape.spread(x, CHUNK), tape.spread(y, CHUNK))
    made = tape.mean(tape.multiply(products, decays), heads * CHUNK)
    made.layout = HEADS_FIRST
    return made


Turn = Callable[["Value", bool], "tuple[Value, Value]"]
"""Of the state before a chunk: what the chunk makes, and the state behind it unless it is the last."""


def _scan(tape: Tape, chunks: Chunks, heads: int, turn: Turn) -> Value:
    """One chunk after another reads the state and updates it. The first begins with zeros, and what the last would leave behind
    nobody reads; those between are alike, and one stands for all of them."""
    values, number = chunks.values, _count(tape, chunks.values)
    state = tape.fresh(tape.batch, chunks.known.width * values.width // heads, values.dtype, "state")
    state.layout = HEADS_FIRST
    made = tape.fresh(values.tokens, values.width, values.dtype, "chunks")
    for times, last in ((1, False), (number - 2, False), (1, True)) if number > 1 else ((1, True),):
        if times:
            with tape.repeated(times, state) as (held,):
                piece, state = turn(held, last)
                made = tape.write(made, piece)
    return made


def _turn_of_heads(tape: Tape, chunks: Chunks) -> Turn:
    """What decays by heads is decayed for all chunks before the loop."""
    rows, batch, sums = tape.batch * CHUNK, tape.batch, chunks.sums
    query, key, over = tape.multiply(chunks.query, tape.unary("exp", sums)), chunks.key, sums
    if _count(tape, key) > 1:
        key = tape.multiply(key, tape.unary("exp", tape.subtract(sums, sums)))
        over = tape.unary("exp", _part(tape, sums, sums.tokens // CHUNK))

    def turn(held: Value, last: bool) -> tuple[Value, Value]:
        new = _corrected(tape, chunks, held)
        read = tape.contract(_part(tape, query, rows), held, rows, new.width, sequences=batch)
        piece = tape.add(read, tape.contract(_part(tape, chunks.pairs, rows), new, rows, new.width, sequences=batch))
        if last:
            return piece, held
        old = tape.multiply(held, _part(tape, over, batch))
        return piece, tape.add(old, tape.contract(_part(tape, key, rows), new, batch, held.width, sequences=batch))

    return turn


def _turn_of_channels(tape: Tape, chunks: Chunks, heads: int) -> Turn:
    """What decays by channels is decayed chunk by chunk."""
    rows, batch, mask = tape.batch * CHUNK, tape.batch, _mask(tape)

    def turn(held: Value, last: bool) -> tuple[Value, Value]:
        query, key, sums, pairs = (_part(tape, x, rows) for x in (chunks.query, chunks.key, chunks.sums, chunks.pairs))
        read = tape.contract(tape.multiply(query, tape.unary("exp", sums)), held, rows, chunks.values.width, sequences=batch)
        scores = tape.masked(_by_channel(tape, query, key, pairs, heads), mask)
        new = _corrected(tape, chunks, held)
        piece = tape.add(read, tape.contract(scores, new, rows, new.width, sequences=batch))
        if last:
            return piece, held
        old = tape.multiply(held, tape.unary("exp", _part(tape, sums, batch)))
        key = tape.multiply(key, tape.unary("exp", tape.subtract(sums, sums)))
        return piece, tape.add(old, tape.contract(key, new, batch, held.width, sequences=batch))

    return turn


def _corrected(tape: Tape, chunks: Chunks, held: Value) -> Value:
    """What a chunk's tokens write: their values without what the state holds for their keys."""
    rows = tape.batch * CHUNK
    known = tape.contract(_part(tape, chunks.known, rows), held, rows, chunks.values.width, sequences=tape.batch)
    return tape.subtract(_part(tape, chunks.values, rows), known)
