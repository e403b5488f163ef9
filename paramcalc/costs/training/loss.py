"""The loss at the end of the forward pass, as transformers computes it and as memory-saving kernels do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from paramcalc.costs.training.autograd import BYTES, Op, Recorder
from paramcalc.model.tape import FP32, Storage, Value
from paramcalc.words.errors import UsageError

CHUNKS = 8
"""Pieces of the sequence whose logits are upcast at once (torchtune's `CEWithChunkedOutputLoss`)."""


class Loss(NamedTuple):
    """What a loss is taken of."""

    logits: Value
    causal: bool
    """Whether each token predicts the next one: then logits become fp32 and labels are shifted (`ForCausalLMLoss`)."""
    batch: int
    length: int
    head: tuple[Op, ...]
    """The operations that made the logits."""
    wide: bool = False
    """Whether logits become fp32 although no labels are shifted (`ForMaskedLMLoss`)."""
    chosen: bool = False
    """Whether labels are chosen from scores on the way."""


def labels(tape: Recorder, of: Loss) -> list[Storage]:
    """The shifted copy of the labels: padded by one token, it stays whole for one sequence and is copied for more."""
    if of.chosen:
        return [tape.kept(BYTES["int64"] * of.logits.tokens, "chosen labels")]
    if not of.causal:
        return []
    rows = of.length + 1 if of.batch == 1 else of.batch * of.length
    return [tape.kept(BYTES["int64"] * rows, "shifted labels")]


def plain(tape: Recorder, of: Loss) -> Value:
    """Cross entropy on all logits at once."""
    tape.where = "loss"
    logits = tape.cast(of.logits, FP32) if of.causal or of.wide else of.logits
    return cross_entropy(tape, logits, *labels(tape, of))


def cross_entropy(tape: Recorder, logits: Value, *labels: Storage) -> Value:
    """The framework's own, with labels that were made for it."""
    logarithms = tape.high(tape.emit("log softmax", (logits,), logits.tokens, logits.width, logits.dtype, keeps_result=True))
    saved = (logarithms.storage, *labels, tape.kept(BYTES[logarithms.dtype], "sum of weights"))
    return tape.emit("negative log-likelihood", (logarithms,), 1, 1, logarithms.dtype, saved=saved)


def chunked(tape: Recorder, of: Loss) -> Value:
    """Output matrix and cross entropy piece by piece: logits stay in the format they come in, and only a piece is upcast at a time.

    On the way back all pieces of the loss come first; then the matrix's gradients, one a piece (torchtune's `chunked_output`), of
    which the second, the first and their sum are there at once with what is left of the logits' gradients.
    """
    hidden, weight, dtype = plain_head(of, "plain")
    del tape.ops[-len(of.head) :]
    tape.where = "loss"
    low, copies = tape.low(hidden), 1 if weight.needs_grad else CHUNKS
    matrix = tape.low_weight(weight)
    size = of.logits.elements * BYTES[FP32]
    piece, whole = -(-size // CHUNKS), matrix.elements * BYTES[matrix.dtype]
    kept = [tape.kept(size, "log softmax"), *labels(tape, of), tape.kept(4 * CHUNKS, "sums of weights")]
    if weight.needs_grad:
        kept.append(low.storage)
    if matrix is not weight and low.needs_grad:
        kept.append(tape.kept(copies * whole, "output matrix"))
    made = tape.emit("chunked output", (low,), of.logits.tokens, of.logits.width, dtype, differentiable=False)
    of.logits.storage = made.storage
    backward = 2 * piece
    if weight.needs_grad:
        own = weight.elements * BYTES[weight.dtype]
        sums = 3 * whole + made.storage.bytes * (CHUNKS - 2) // CHUNKS - size
        backward = max(0, sums - own, backward - own)
    return tape.emit("chunked cross entropy", (low, weight), 1, 1, FP32, saved=tuple(kept), temporary=piece, backward=backward)


def plain_head(of: Loss, instead: str) -> tuple[Value, Value, str]:
    """What the output matrix reads, itself, as they are before any cast, and the format of what it makes, which may be cast behind
    it (Mamba). Raises UsageError where there is more to it."""
    if any(op.name not in ("linear", "cast") for op in of.head):
        raise UsageError(
            "a fused or chunked loss needs a plain output matrix, without an adapter or a bound on the logits", place="loss", hint=instead
        )
    made = {op.output: op.inputs[0] for op in of.head}
    linear = next(op for op in reversed(of.head) if op.name == "linear")
    hidden, weight = linear.inputs[:2]
    return made.get(hidden, hidden), made.get(weight, weight), linear.output.dtype


def fused(tape: Recorder, of: Loss) -> Value:
    """Output matrix and cross entropy in one kernel (Hsu et al. 2024, §3.2; Liger-Kernel 0.8.2, `fused_linear_cross_entropy.py`).

    Logits exist for a piece of the tokens at a time, of as many as make them about as large as what the matrix reads, and become
    their own gradient in place; the gradients of what the matrix reads and of the matrix are made on the way forward and kept.
    """
    hidden, weight, dtype = plain_head(of, "chunked")
    del tape.ops[-len(of.head) :]
    tape.where = "loss"
    saved = [tape.kept(hidden.elements * BYTES[hidden.dtype], "gradient of what the output matrix reads")]
    if weight.needs_grad:
        saved.append(tape.kept(weight.elements * BYTES[weight.dtype], "gradient of the output matrix"))
    working = _pieces(of.logits.width, hidden, weight, dtype) + of.logits.tokens * (BYTES["int64"] + BYTES[FP32] + 1)
    made = tape.emit("fused linear cross entropy", (hidden, weight), 1, 1, FP32, saved=tuple(saved), temporary=working)
    tape.ops[-1] = tape.ops[-1]._replace(ahead=True)
    return made


def softmax_contrast(tape: Recorder, logits: Value, name: str) -> Value:
    """Half the sum of two cross entropies, of a text among images and of an image among texts; the labels are made on the way."""
    _plain_only(name)
    halves = []
    for _ in ("texts", "images"):
        numbers = tape.kept(BYTES["int64"] * logits.tokens, "numbers of pairs")
        halves.append(cross_entropy(tape, logits, numbers))
    return tape.scale(tape.add(*halves))


def sigmoid_contrast(tape: Recorder, logits: Value, name: str) -> Value:
    """The logarithm of a sigmoid of each pair, with a sign (in fp32) that tells whether the two belong together."""
    _plain_only(name)
    signs = tape.kept(logits.elements * BYTES[FP32], "signs of pairs")
    signed = tape.emit("multiply", (logits,), logits.tokens, logits.width, FP32, saved=(signs,))
    return tape.scale(tape.mean(tape.unary("logsigmoid", signed)))


def alignments(tape: Recorder, logits: Value, name: str, *, mean: bool, bounded: bool) -> Value:
    """Connectionist temporal classification: keeps the labels that are no padding, the loss of each sequence, and the score of every
    label and every blank between two at every frame."""
    _plain_only(name)
    tape.where = "loss"
    wide = tape.cast(logits, FP32)
    logarithms = tape.emit("log softmax", (wide,), wide.tokens, wide.width, wide.dtype, keeps_result=True)
    saved = [
        logarithms.storage,
        tape.kept(BYTES["int64"] * tape.batch * tape.length, "labels"),
        tape.kept(BYTES[FP32] * tape.batch, "loss of each sequence"),
        tape.kept(BYTES[FP32] * logits.tokens * (2 * tape.length + 1), "scores of alignments"),
    ]
    if bounded:
        saved.append(tape.kept(BYTES["bool"] * tape.batch, "infinite losses"))
    if mean:
        saved.append(tape.kept(BYTES[FP32] * tape.batch, "numbers of labels"))
    return tape.emit("alignments", (logarithms,), 1, 1, FP32, saved=tuple(saved))


def _plain_only(name: str) -> None:
    if name != "plain":
        raise UsageError(f"the {name} loss is one of tokens, and this model's is of whole sequences", place="loss", hint="plain")


CONTRASTS: dict[str, Callable[[Recorder, Value, str], Value]] = {"softmax": softmax_contrast, "sigmoid": sigmoid_contrast}
"""Losses of pairs by the kind of the contrast."""


def _pieces(wide: int, hidden: Value, weight: Value, dtype: str) -> int:
    """The most that one piece needs: its logits, with those of the piece before or with a gradient of the matrix to be added.

    That one is made in the logits' format, then in fp32; it is added where it lies only if the gradient is in fp32 and logits are not.
    """
    rows, size = hidden.tokens, BYTES[dtype]
    piece = min(rows, 1 << max(0, -(-rows // -(-wide // hidden.width)) - 1).bit_length())
    logits = piece * wide * size
    copy = weight.elements * size if weight.dtype != dtype else 0
    gradient = 0
    if weight.needs_grad and not copy:
        gradient = weight.elements * (size if size == BYTES[FP32] else size + BYTES[FP32])
    cached = copy if weight.needs_grad else 0
    return cached + max(logits * (2 if piece < rows else 1) + copy, logits + gradient)


LOSSES: dict[str, Callable[[Recorder, Loss], Value]] = {"plain": plain, "fused": fused, "chunked": chunked}
"""Ways to compute the loss by name."""
