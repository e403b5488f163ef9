"""What PEFT's layers compute beside a frozen one, operation by operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramcalc.costs.training.autograd import BYTES
from paramcalc.holdings.modules import STACK, TABLE
from paramcalc.holdings.trainable import Site
from paramcalc.model.tape import Value

if TYPE_CHECKING:
    from paramcalc.costs.training.model_tape import ModelTape


def with_adapter(tape: ModelTape, site: Site, x: Value, made: Value) -> Value:
    """The result of a layer with its adapter's added to it."""
    if site.kind == "ia3":
        return _scaled(tape, site, made)
    low = tape.cast(x, tape.recipe.adapters)
    if site.kind == "dora":
        return tape.cast(_dora(tape, site, low, made), made.dtype)
    return tape.cast(tape.add(made, tape.scale(_low_rank(tape, site, tape.dropout(low, tape.recipe.adapter_dropout)))), made.dtype)


def _low_rank(tape: ModelTape, site: Site, x: Value) -> Value:
    """B (A x)."""
    name = site.module.name
    above = tape.where
    tape.where = f"{name}.lora_A"
    inner = tape.product(x, tape.adapter(f"{name}.lora_A.weight"), site.rank)
    tape.where = f"{name}.lora_B"
    outer = tape.product(inner, tape.adapter(f"{name}.lora_B.weight"), site.module.outputs)
    tape.where = above
    return outer


def _dora(tape: ModelTape, site: Site, x: Value, made: Value) -> Value:
    """(m / ‖W + s·BA‖ - 1) · W x + m / ‖W + s·BA‖ · s · B A x (Liu et al. 2024, §4.3: the norm has no gradient).

    B A is computed as B (A I), so that the reference keeps A's input, an identity, and B's; and it makes W + s·BA whole.
    """
    module = site.module
    dropped = tape.dropout(x, tape.recipe.adapter_dropout)
    whole = module.inputs * module.outputs
    identity = tape.emit("identity", (), module.inputs, module.inputs, x.dtype, layout="tokens")
    delta = _low_rank(tape, site, identity)
    tape.emit("weight norm", (delta,), module.outputs, 1, x.dtype, temporary=3 * whole * BYTES[x.dtype], differentiable=False)
    magnitude = tape.adapter(f"{module.name}.lora_magnitude_vector.weight")
    norm = tape.emit("norm", (), 1, module.outputs, x.dtype, layout="tokens")
    factor = tape.divide(magnitude, norm)
    low_rank = _low_rank(tape, site, dropped)
    base = made
    if dropped is not x:
        base = tape.emit("linear", (dropped,), x.tokens, module.outputs, x.dtype, temporary=whole * BYTES[x.dtype])
    extra = tape.add(tape.multiply(tape.scale(factor), base), tape.scale(tape.multiply(factor, low_rank)))
    return tape.add(made, extra)


def _scaled(tape: ModelTape, site: Site, made: Value) -> Value:
    """IA3 on an output: each column times a learned number."""
    return tape.cast(tape.multiply(made, tape.adapter(f"{site.module.name}.ia3_l")), made.dtype)


UNMODELLED = (STACK, TABLE)
"""Kinds of modules whose adapters' activations are not modelled yet."""
