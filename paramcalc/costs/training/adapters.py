"""What PEFT's layers compute beside a frozen one, operation by operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paramcalc.costs.training.autograd import BYTES
from paramcalc.holdings.trainable import Site
from paramcalc.model.parts import Block, Place, kind_of
from paramcalc.model.tape import HEADS_FIRST, TOKENS_FIRST, Storage, Value

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
        return made if site.on_input else tape.cast(tape.multiply(made, _scaling(tape, site)), made.dtype)
    low = tape.cast(x, tape.recipe.adapters)
    dropped = tape.dropout(low, tape.recipe.adapter_dropout)
    total = _dora(tape, site, dropped, made) if site.kind == "dora" else tape.add(made, tape.scale(_low_rank(tape, site, dropped)))
    tape.ops[-1] = tape.ops[-1]._replace(beside=(low,))
    return tape.cast(total, made.dtype)


def scaled_input(tape: ModelTape, site: Site, x: Value) -> Value:
    """The input of a dense layer that IA3 scales, in the vector's format for as long as that takes."""
    return tape.cast(tape.multiply(tape.cast(x, tape.recipe.adapters), _scaling(tape, site)), x.dtype)


def _scaling(tape: ModelTape, site: Site) -> Value:
    """IA3's vector: a product over all adapters of a module, and so new memory though there is one."""
    return tape.scale(_added(tape, site, "ia3_l"))


def _added(tape: ModelTape, site: Site, tail: str) -> Value:
    """A parameter of the adapter of a module."""
    return tape.adapter(f"{site.module.name}.{tail}", site.module.part)


def _low_rank(tape: ModelTape, site: Site, x: Value) -> Value:
    """B (A x)."""
    name = site.module.name
    above = tape.where
    tape.where = f"{name}.lora_A"
    inner = tape.product(x, _added(tape, site, "lora_A.weight"), site.rank)
    tape.where = f"{name}.lora_B"
    outer = tape.product(inner, _added(tape, site, "lora_B.weight"), site.module.outputs)
    tape.where = above
    return outer


class _Norm(NamedTuple):
    """What DoRA's norm of a weight is made of, for as long as the layer runs."""

    weight: Value
    """W in the adapter's format."""
    norm: Value
    low_rank: Value
    graph: tuple[Value, ...]
    """What is kept to make A's and B's gradients from the norm, though it gets none."""


def _dora(tape: ModelTape, site: Site, x: Value, made: Value) -> Value:
    """(m / ‖W + s·BA‖ - 1) · W x + m / ‖W + s·BA‖ · s · B A x (Liu et al. 2024, §4.3: the norm has no gradient).

    With dropout W x is computed again, of what dropout left over.
    """
    name = site.module.name
    n = _weight_norm(tape, site, x)
    factor = tape.divide(_added(tape, site, "lora_magnitude_vector.weight"), n.norm)
    low_rank = _low_rank(tape, site, x)
    base = made
    if tape.recipe.adapter_dropout:
        base = tape.product(x, n.weight, site.module.outputs)
    elif tape.row_at(f"{name}.bias"):
        base = tape.emit("subtract", (made,), made.tokens, made.width, made.dtype, passes=True)
    extra = tape.add(tape.multiply(tape.scale(factor), base), tape.scale(tape.multiply(factor, low_rank)))
    tape.ops[-1] = tape.ops[-1]._replace(beside=(n.low_rank, n.weight), graph=n.graph)
    return tape.add(made, extra)


def _weight_norm(tape: ModelTape, site: Site, x: Value) -> _Norm:
    """‖W + s·BA‖, where BA comes from A and B applied to an identity matrix: nothing of it has a gradient in the end.

    PEFT turns a matrix that is stored the other way round (GPT-2's) into a new parameter, which does have one.
    """
    module, size = site.module, tape.recipe.adapters
    weight = tape.cast(tape.base_weight(module.name), x.dtype)
    if tape.transposed and weight.storage.kind == "parameter":
        own = Storage(weight.storage.bytes, "transposed weight", module.name, "parameter")
        weight = Value(weight.tokens, weight.width, weight.dtype, own, needs_grad=True)
    identity = tape.low(_lone(tape, "identity", (), module.inputs, module.inputs, size))
    a, b = (tape.low_weight(_added(tape, site, f"lora_{side}.weight")) for side in "AB")
    inner = _lone(tape, "identity A", (identity, a), module.inputs, site.rank, identity.dtype)
    low_rank = tape.cast(_lone(tape, "low-rank weight", (inner, b), module.inputs, module.outputs, identity.dtype), x.dtype)
    scaled = _lone(tape, "scale", (low_rank,), module.inputs, module.outputs, x.dtype)
    whole = _lone(tape, "add", (weight, scaled), module.inputs, module.outputs, x.dtype)
    norm = _lone(tape, "weight norm", (whole,), 1, module.outputs, x.dtype)
    return _Norm(weight, norm, low_rank, (identity, inner))


def _lone(tape: ModelTape, name: str, inputs: tuple[Value, ...], tokens: int, width: int, dtype: str) -> Value:
    """An operation whose result has no gradient in the end."""
    return tape.emit(name, inputs, tokens, width, dtype, layout=TOKENS_FIRST, differentiable=False)


def on_table(tape: ModelTape, site: Site, found: Value) -> Value:
    """LoRA on a table: rows of Aᵀ looked up, times Bᵀ."""
    a, b = (_added(tape, site, f"lora_embedding_{side}") for side in "AB")
    rows = tape.emit("lookup", (a,), found.tokens, site.rank, a.dtype, layout=TOKENS_FIRST)
    return tape.cast(tape.add(found, tape.scale(tape.product(rows, b, found.width))), found.dtype)


def on_stack(tape: ModelTape, site: Site, weight: Value) -> Value:
    """LoRA on stacked experts (PEFT's `ParamWrapper`): W + s·BA in one product, made whole for all experts and kept, as are A and B
    in W's format."""
    factors = [_added(tape, site, f"lora_{side}.weight") for side in "AB"]
    low = [x if x.dtype == weight.dtype else tape.emit("cast", (x,), x.tokens, x.width, weight.dtype) for x in factors]
    saved = tuple(x.storage for x in low)
    return tape.emit("low-rank weight", (weight, *low), weight.tokens, weight.width, weight.dtype, saved=saved, layout=TOKENS_FIRST)


def begun(tape: ModelTape, found: Value) -> Value:
    """The rows looked up for the token ids, and what a method puts before them, or before the keys and values of all layers."""
    if tape.adapted.method.name == "prefix":
        prefix(tape)
    return prompted(tape, found) if tape.adapted.method.name == "prompt" else found


def prompted(tape: ModelTape, found: Value) -> Value:
    """The virtual tokens' rows before those of the token ids; from there on a sequence is so much longer."""
    if tape.source is not None:
        return found
    table = tape.adapter("prompt_encoder.embedding.weight")
    virtual = tape.adapted.method.virtual_tokens
    low = tape.cast(_virtual_rows(tape, table, table.tokens), found.dtype)
    tape.length += virtual
    return tape.emit("join", (low, found), tape.batch * virtual + found.tokens, found.width, found.dtype, layout=TOKENS_FIRST)


def _virtual_rows(tape: ModelTape, table: Value, virtual: int) -> Value:
    """Rows of all virtual tokens for each sequence, found by indices that the sequences share."""
    indices = tape.kept(BYTES["int64"] * virtual, "virtual tokens")
    return tape.emit("lookup", (table,), tape.batch * virtual, table.width, table.dtype, saved=(indices,), layout=TOKENS_FIRST)


def prefix(tape: ModelTape) -> None:
    """Keys and values of the virtual tokens for all layers at once; of a decoder where there is an encoder."""
    if tape.adapted.source and tape.source is None:
        return
    table = tape.adapter("prompt_encoder.embedding.weight")
    tape.cast(_virtual_rows(tape, table, table.tokens), tape.recipe.weights)


def is_prefixed(tape: ModelTape, *, causal: bool) -> bool:
    """Whether attention finds keys and values of virtual tokens: everywhere, or in a decoder's own where there is an encoder."""
    return tape.adapted.method.name == "prefix" and (not tape.adapted.source or causal)


def prefixed(tape: ModelTape, x: Value) -> Value:
    """Keys or values with those of the virtual tokens before them; the cache that the model returns holds them."""
    rows = tape.batch * tape.adapted.method.virtual_tokens
    past = Value(rows, x.width, x.dtype, Storage(0, "past", tape.where), needs_grad=True)
    made = tape.emit("join", (past, x), rows + x.tokens, x.width, x.dtype, layout=HEADS_FIRST)
    tape.ops[-1] = tape.ops[-1]._replace(until="step")
    return made


def bottleneck(tape: ModelTape, block: Block, at: Place, x: Value) -> Value:
    """x + up(gelu(down(x))) behind attention and behind the feed-forward network (Houlsby et al. 2019, §2.1)."""
    kind = BEHIND.get(kind_of(block))
    layer, group = at.path[: at.path.rfind("{}") + 2], at.part.rpartition(".")[0]
    name = f"{layer}.{kind}"
    if kind is None or (f"{name}.down_proj.weight", group) not in tape.added:
        return x
    low = tape.cast(x, tape.recipe.adapters)
    down, down_bias, up, up_bias = (
        tape.adapter(f"{name}.{side}_proj.{tail}", group) for side in ("down", "up") for tail in ("weight", "bias")
    )
    inner = tape.unary("gelu", tape.product(low, down, down.tokens, down_bias))
    return tape.cast(tape.add(x, tape.product(inner, up, x.width, up_bias)), x.dtype)
