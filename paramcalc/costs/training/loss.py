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


def labels(tape: Recorder, of: Loss) -> list[Storage]:
    """The shifted copy of the labels: padded by one token, it stays whole for one sequence and is copied for more."""
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
    """Cross entropy piece by piece: logits stay in the format they come in, and only a piece of them is upcast at a time."""
    tape.where = "loss"
    size = of.logits.elements * BYTES[FP32]
    piece = -(-size // CHUNKS)
    saved = (tape.kept(size, "log softmax"), *labels(tape, of), tape.kept(4, "sum of weights"))
    return tape.emit("chunked cross entropy", (of.logits,), 1, 1, FP32, saved=saved, temporary=piece, backward=2 * piece)


def fused(tape: Recorder, of: Loss) -> Value:
    """Output matrix and cross entropy in one kernel (Liger's fused linear cross entropy, Hsu et al. 2024, §3.2).

    Logits exist for a piece of the tokens at a time, of as many as make them about as large as what the matrix reads; the
    gradients of that and of the matrix are made on the way forward and kept.
    """
    if any(op.name not in ("linear", "cast") for op in of.head):
        raise UsageError(
            "a fused loss needs a plain output matrix, without an adapter or a bound on the logits", place="loss", hint="chunked"
        )
    tape.where = "loss"
    behind = next(number for number, op in enumerate(reversed(of.head), 1) if op.name == "linear")
    hidden, weight = of.head[-behind].inputs[:2]
    del tape.ops[-behind:]  # the output matrix's own operation, and a cast of the logits behind it (Mamba)
    rows, wide = hidden.tokens, of.logits.width
    pieces = -(-wide // hidden.width)
    piece = min(rows, 1 << max(0, -(-rows // pieces) - 1).bit_length())
    saved = [tape.kept(hidden.elements * BYTES[hidden.dtype], "gradient of what the output matrix reads")]
    if weight.needs_grad:
        saved.append(tape.kept(weight.elements * BYTES[weight.dtype], "gradient of the output matrix"))
    working = piece * wide * (BYTES[of.logits.dtype] + BYTES[FP32])
    made = tape.emit("fused linear cross entropy", (hidden, weight), 1, 1, FP32, saved=(*saved, *labels(tape, of)), temporary=working)
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
LOSSES: dict[str, Callable[[Recorder, Loss], Value]] = {"plain": plain, "fused": fused, "chunked": chunked}
"""Ways to compute the loss by name."""
