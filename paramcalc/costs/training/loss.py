"""The loss at the end of the forward pass, as transformers computes it and as memory-saving kernels do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from paramcalc.costs.training.autograd import BYTES, Recorder
from paramcalc.model.tape import FP32, Value


class Loss(NamedTuple):
    """What a loss is taken of."""

    logits: Value
    causal: bool
    """Whether each token predicts the next one: then logits become fp32 and labels are shifted (`ForCausalLMLoss`)."""
    batch: int
    length: int


def plain(tape: Recorder, of: Loss) -> Value:
    """Cross entropy on all logits at once.

    A shifted copy of the labels is kept: padded by one token, it stays whole for one sequence and is copied for more.
    """
    tape.where = "loss"
    logits = of.logits
    if of.causal:
        logits = tape.cast(logits, FP32)
    logarithms = tape.emit("log softmax", (logits,), logits.tokens, logits.width, logits.dtype, keeps_result=True)
    logarithms = tape.high(logarithms)
    saved = [logarithms.storage, tape.kept(BYTES[logarithms.dtype], "sum of weights")]
    if of.causal:
        rows = of.length + 1 if of.batch == 1 else of.batch * of.length
        saved.insert(1, tape.kept(BYTES["int64"] * rows, "shifted labels"))
    return tape.emit("negative log-likelihood", (logarithms,), 1, 1, logarithms.dtype, saved=tuple(saved))


LOSSES: dict[str, Callable[[Recorder, Loss], Value]] = {"plain": plain}
"""Ways to compute the loss by name."""
