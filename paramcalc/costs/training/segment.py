"""A part of a forward pass: what is simulated as one."""

from __future__ import annotations

from typing import NamedTuple

from paramcalc.costs.training.autograd import Ops
from paramcalc.model.tape import Value


class Segment(NamedTuple):
    """Operations between two points of the stream, and how many times in a row they are done."""

    name: str
    ops: Ops
    entry: Value | None
    """The stream as it comes in; None at the model's beginning."""
    exit: Value
    times: int = 1
    layer: bool = False
    """Whether it is a layer: what checkpointing recomputes, and what ZeRO-3 gathers."""
    frozen: bool = False
    """Whether nothing in it trains, by choice (`last-n`)."""
    stored_once: bool = False
    """Whether all its copies use the same weights (ALBERT)."""
