"""Linear attention by the gated delta rule, chunk by chunk, as transformers writes it without the kernels of
flash-linear-attention (`torch_chunk_gated_delta_rule`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paramcalc.model.tape import FP32, HEADS_FIRST

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

CHUNK = 64
"""Tokens of a chunk, within which all pairs of tokens are computed at once."""


class Chunks(NamedTuple):
    """What the loop over chunks reads: all chunks of all sequences, head by head."""

    values: Value
    """What each token would write to an empty state."""
    keys: Value
    """With which it reads what the state holds for it already."""
    query: Value
    key: Value | None
    """With which it writes to the state; none where no chunk comes after."""
    within: Value
    """Scores of each token for those before it in its chunk."""
    decay: Value | None
    """Of the state over a whole chunk."""


def gated_delta_rule(tape: Tape, query: Value, key: Value, value: Value, decay: Value, beta: Value, heads: int) -> Value:
    """The gated delta rule with one decay for each head and token (Yang et al. 2025, §3.3), in fp32 throughout.

    The updates within a chunk are one triangular system (Yang et al. 2024, DeltaNet, §3.2).
    """
    dtype = query.dtype
    query, key, value, beta, decay = (tape.cast(x, FP32) for x in (query, key, value, beta, decay))
    query, key = tape.scale(unit_length(tape, query, heads)), unit_length(tape, key, heads)
    query, key, value, beta, decay = (whole_chunks(tape, x) for x in (query, key, value, beta, decay))
    value, step = tape.multiply(value, beta), tape.multiply(key, beta)
    sums = tape.cumulative(decay)
    between = tape.subtract(tape.spread(sums, CHUNK), tape.spread(sums, CHUNK))
    between = tape.unary("exp", tape.masked(between, tape.fresh(CHUNK, CHUNK, "bool", "mask")))
    system = tape.multiply(tape.matmul(step, key, heads * CHUNK), between)
    within = tape.multiply(tape.matmul(query, key, heads * CHUNK), between)
    step = tape.multiply(step, tape.unary("exp", sums))
    values, keys = tape.solve(system, value), tape.solve(system, step)
    query = tape.multiply(query, tape.unary("exp", sums))
    if count(tape, value) == 1:
        made = scan(tape, Chunks(values, keys, query, None, within, None), heads)
    else:
        key = tape.multiply(key, tape.unary("exp", tape.subtract(sums, sums)))
        over = tape.unary("exp", part(tape, sums, sums.tokens // CHUNK))
        made = tape.copy(scan(tape, Chunks(values, keys, query, key, within, over), heads))
    made = part(tape, made, tape.batch * tape.length)
    return tape.copy(made) if dtype == FP32 else tape.cast(made, dtype)


def unit_length(tape: Tape, x: Value, heads: int) -> Value:
    """Each head's vector over its length."""
    return tape.multiply(x, tape.unary("rsqrt", tape.scale(tape.mean(tape.multiply(x, x), heads))))


def whole_chunks(tape: Tape, x: Value) -> Value:
    """Sequences made as long as whole chunks, head by head; a copy even where they are."""
    made = tape.padded(x, tape.batch * -(-tape.length // CHUNK) * CHUNK)
    made.layout = HEADS_FIRST
    return made


def part(tape: Tape, x: Value, tokens: int) -> Value:
    """A view of so many rows."""
    return tape.view(x, tokens, x.width)


def count(tape: Tape, x: Value) -> int:
    """Chunks of one sequence."""
    return x.tokens // CHUNK // tape.batch


def scan(tape: Tape, chunks: Chunks, heads: int) -> Value:
    """One chunk after another reads the state and updates it. The first begins with zeros, and what the last leaves behind
    nobody reads; those between are alike, and one stands for all of them."""
    number, size = count(tape, chunks.values), chunks.keys.width * (chunks.values.width // heads)
    state = tape.fresh(tape.batch, size, FP32, "state")
    state.layout = HEADS_FIRST
    made = tape.fresh(chunks.values.tokens, chunks.values.width, FP32, "chunks")
    for times, last in ((1, number == 1), (number - 2, False), (1, True)) if number > 1 else ((1, True),):
        if times:
            made, state = _turn(tape, chunks, made, state, times, last=last)
    return made


def _turn(tape: Tape, chunks: Chunks, made: Value, state: Value, times: int, *, last: bool) -> tuple[Value, Value]:
    rows, batch = tape.batch * CHUNK, tape.batch
    with tape.repeated(times, state) as held:
        known = tape.contract(part(tape, chunks.keys, rows), held, rows, chunks.values.width, sequences=batch)
        new = tape.subtract(part(tape, chunks.values, rows), known)
        read = tape.contract(part(tape, chunks.query, rows), held, rows, new.width, sequences=batch)
        made = tape.write(made, tape.add(read, tape.contract(part(tape, chunks.within, rows), new, rows, new.width, sequences=batch)))
        if last or chunks.key is None or chunks.decay is None:
            return made, held
        old = tape.multiply(held, part(tape, chunks.decay, batch))
        return made, tape.add(old, tape.contract(part(tape, chunks.key, rows), new, batch, held.width, sequences=batch))
