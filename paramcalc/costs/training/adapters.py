"""What PEFT's layers compute beside a frozen one, operation by operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramcalc.costs.training.autograd import BYTES
from paramcalc.holdings.trainable import Site
from paramcalc.model.parts import Block, Place, kind_of
from paramcalc.model.tape import HEADS_FIRST, TOKENS_FIRST, Value

if TYPE_CHECKING:
    from paramcalc.costs.training.model_tape import ModelTape

BEHIND = {
    "attention": "attention_adapter",
    "mla": "attention_adapter",
    "feed_forward": "feed_forward_adapter",
    "experts": "feed_forward_adapter",
}
"""Which of a layer's two Houlsby adapters stands behind a kind of block."""


def with_adapter(tape: ModelTape, site: Site, x: Value, made: Value) -> Value:
    """The result of a dense layer with its adapter's added to it."""
    if site.kind == "ia3":
        return (
            made
            if site.on_input
            else tape.cast(tape.multiply(made, tape.adapter(f"{site.module.name}.ia3_l", site.module.part)), made.dtype)
        )
    low = tape.cast(x, tape.recipe.adapters)
    dropped = tape.dropout(low, tape.recipe.adapter_dropout)
    if site.kind == "dora":
        return tape.cast(_dora(tape, site, low, dropped, made), made.dtype)
    return tape.cast(tape.add(made, tape.scale(_low_rank(tape, site, dropped))), made.dtype)


def _low_rank(tape: ModelTape, site: Site, x: Value) -> Value:
    """B (A x)."""
    name = site.module.name
    above = tape.where
    tape.where = f"{name}.lora_A"
    inner = tape.product(x, tape.adapter(f"{name}.lora_A.weight", site.module.part), site.rank)
    tape.where = f"{name}.lora_B"
    outer = tape.product(inner, tape.adapter(f"{name}.lora_B.weight", site.module.part), site.module.outputs)
    tape.where = above
    return outer


def _dora(tape: ModelTape, site: Site, x: Value, dropped: Value, made: Value) -> Value:
    """(m / ‖W + s·BA‖ - 1) · W x + m / ‖W + s·BA‖ · s · B A x (Liu et al. 2024, §4.3: the norm has no gradient).

    B A is computed from an identity matrix, and W + s·BA made whole, before the norm; with dropout W x is computed again.
    """
    module = site.module
    whole = module.inputs * module.outputs * BYTES[x.dtype]
    identity = module.inputs * module.inputs * BYTES[x.dtype]
    norm = tape.emit("weight norm", (), 1, module.outputs, x.dtype, temporary=3 * whole + identity, layout=TOKENS_FIRST)
    factor = tape.divide(tape.adapter(f"{module.name}.lora_magnitude_vector.weight", module.part), norm)
    low_rank = _low_rank(tape, site, dropped)
    base = made
    if dropped is not x:
        base = tape.emit("linear", (dropped,), x.tokens, module.outputs, x.dtype, temporary=whole, layout=TOKENS_FIRST)
    extra = tape.add(tape.multiply(tape.scale(factor), base), tape.scale(tape.multiply(factor, low_rank)))
    return tape.add(made, extra)


def on_table(tape: ModelTape, site: Site, found: Value) -> Value:
    """LoRA on a table: rows of Aᵀ looked up, times Bᵀ."""
    name = site.module.name
    a, b = tape.adapter(f"{name}.lora_embedding_A", site.module.part), tape.adapter(f"{name}.lora_embedding_B", site.module.part)
    rows = tape.emit("lookup", (a,), found.tokens, site.rank, a.dtype, layout=TOKENS_FIRST)
    return tape.cast(tape.add(found, tape.scale(tape.product(rows, b, found.width))), found.dtype)


def on_stack(tape: ModelTape, site: Site, weight: Value) -> Value:
    """LoRA on stacked experts (PEFT's `ParamWrapper`): W + s·BA is made whole, for all experts, and kept."""
    name = site.module.name
    a, b = tape.adapter(f"{name}.lora_A.weight", site.module.part), tape.adapter(f"{name}.lora_B.weight", site.module.part)
    delta = tape.emit("low-rank weight", (a, b), weight.tokens, weight.width, a.dtype, layout=TOKENS_FIRST)
    return tape.add(weight, tape.cast(tape.scale(delta), weight.dtype))


def prefixed(tape: ModelTape, x: Value) -> Value:
    """Keys or values with those of the virtual tokens before them."""
    table = tape.adapter("prompt_encoder.embedding.weight")
    rows = tape.batch * table.tokens
    virtual = tape.emit("prefix", (table,), rows, x.width, table.dtype, layout=HEADS_FIRST)
    return tape.emit("join", (tape.cast(virtual, x.dtype), x), rows + x.tokens, x.width, x.dtype, layout=HEADS_FIRST)


def bottleneck(tape: ModelTape, block: Block, at: Place, x: Value) -> Value:
    """x + up(gelu(down(x))) behind attention and behind the feed-forward network (Houlsby et al. 2019, §2.1)."""
    kind = BEHIND.get(kind_of(block))
    layer = at.path[: at.path.rfind("{}") + 2]
    name, group = f"{layer}.{kind}", at.part.rpartition(".")[0]
    if kind is None or (f"{name}.down_proj.weight", group) not in tape.added:
        return x
    low = tape.cast(x, tape.recipe.adapters)
    down, up = tape.adapter(f"{name}.down_proj.weight", group), tape.adapter(f"{name}.up_proj.weight", group)
    inner = tape.unary("gelu", tape.product(low, down, down.tokens))
    return tape.cast(tape.add(x, tape.product(inner, up, x.width)), x.dtype)
