"""The tape of a model under a recipe: parameters with their formats, which of them train, adapters, quantized matrices."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from paramcalc.costs.training.adapters import bottleneck, is_prefixed, on_stack, on_table, prefixed, scaled_input, with_adapter
from paramcalc.costs.training.autograd import BYTES, LOW, Op, Ops
from paramcalc.costs.training.kernels import SDPA, AttentionRecorder
from paramcalc.costs.training.liveness import Backward, Scene, forward
from paramcalc.costs.training.loss import LOSSES, Loss
from paramcalc.costs.training.maps import MapRecorder
from paramcalc.holdings.trainable import Adapted, Site
from paramcalc.model.architecture import Placed
from paramcalc.model.parts import Block, Place
from paramcalc.model.rows import Row
from paramcalc.model.tape import FP32, TOKENS_FIRST, Storage, Value


class Recipe(NamedTuple):
    """In which formats a model is trained."""

    weights: str = "bf16"
    """Of parameters that are not quantized."""
    autocast: str | None = None
    """The low format under `torch.autocast`, or none."""
    quantized: bool = False
    """Whether dense layers but the head hold a frozen quantized matrix."""
    quantized_keeps_input: bool = False
    """Whether their product holds on to its input until the graph goes (LLM.int8)."""
    compute: str = "bf16"
    """What a quantized matrix is multiplied in."""
    implementation: str = SDPA
    adapters: str = FP32
    adapter_dropout: float = 0.0
    selective: bool = False
    """Whether attention's core is computed again on the way back, and keeps its operands alone (Korthikanti et al. 2022, §5)."""


class ModelTape(AttentionRecorder, MapRecorder):
    """Records the forward pass of one architecture."""

    def __init__(
        self, batch: int, length: int, recipe: Recipe, adapted: Adapted, *, sequence_parallel: int = 1, expert_parallel: bool = False
    ) -> None:
        super().__init__(batch, length, autocast=recipe.autocast)
        self.shares = sequence_parallel
        """Ranks that divide the stream's tokens among them outside of attention and feed-forward."""
        self.expert_parallel = expert_parallel
        """Whether experts are divided among ranks and tokens go where theirs are; else a rank has a part of each expert."""
        self.recipe = recipe
        self.implementation = recipe.implementation
        self.adapted = adapted
        self.trained = {row.name for row in adapted.trained}
        self.added = {(row.name, row.part): row for row in adapted.added}
        self.rows: dict[str, Row] = {}
        self.transposed = False
        self.whole: list[Value] = []
        """Stacks of experts with their adapters, which are there until the block has returned."""
        self.storages: dict[str, Storage] = {}
        self.copies: dict[tuple[Storage, int], Value] = {}
        self.frozen = False
        """Whether the layer that is recorded is one of those that do not train (`last-n`)."""
        self.given = 2 * BYTES["int64"] * batch * length
        """Bytes that the caller hands in: token ids and labels, or features."""

    @property
    def stream_dtype(self) -> str:
        return self.recipe.weights

    # what another stack does in its own way

    def block(self, block: Block, x: Value, at: Place) -> Value:
        """A block's forward pass."""
        return block.forward(self, x, at)

    def loss(self, kind: str, of: Loss) -> Value:
        """The loss at the end of it."""
        return LOSSES[kind](self, of)

    # parameters

    def enter(self, block: Block, at: Place) -> None:
        self.rows = dict(Placed((block, at)).named)
        self.transposed = block.turned
        self.whole = []
        self.where = at.path or at.part

    def has(self, name: str) -> bool:
        return name in self.rows

    def names(self) -> list[str]:
        return list(self.rows)

    def weight(self, name: str) -> Value:
        return self.parameter(self.rows[name])

    def parameter(self, row: Row, dtype: str | None = None, *, trains: bool | None = None) -> Value:
        """A parameter as a value; a tied one is that of its owner."""
        alone = row.op in ("embedding", "") and sum(each.op == row.op for each in self.rows.values()) == 1
        key = row.tied or (row.part if alone or row.role == "head" else f"{row.part} {row.name}")
        format_ = dtype or self.recipe.weights
        storage = self.storages.setdefault(key, Storage(row.elements * BYTES[format_], row.name, row.name, "parameter"))
        needs_grad = row.name in self.trained and not self.frozen if trains is None else trains
        if row.tied:
            needs_grad = bool(self.trained) and self._owner_trains(row.tied)
        shape = [int(size) for size in row.shape] or [1]
        return Value(1 if len(shape) == 1 else row.elements // shape[-1], shape[-1], format_, storage, needs_grad=needs_grad)

    def _owner_trains(self, part: str) -> bool:
        return any(row.part == part for row in self.adapted.trained)

    def low_weight(self, weight: Value) -> Value:
        """Autocast's copy of a weight, made once and kept for the pass."""
        if self.autocast is None or weight.dtype != FP32 or weight.storage.kind != "parameter":
            return self.low(weight)
        part = weight.storage, weight.elements  # parts of one matrix are cast apart
        if part not in self.copies or not weight.needs_grad:
            self.copies[part] = self.low(weight)
        return self.copies[part]

    # layers

    def linear(self, name: str, x: Value) -> Value:
        row = self.rows.get(f"{name}.weight") or self.rows[name or "weight"]
        outputs = int(row.shape[1] if self.transposed else row.shape[0])
        module = row.name.removesuffix(".weight")
        above, self.where = self.where, module
        site = self.site(module, row) or self.site(row.name, row)
        if site and site.kind == "ia3" and site.on_input:
            x = scaled_input(self, site, x)
        made = self._quantized(row, x, outputs) if self.is_quantized(row) else self._divided(row, x, outputs)
        if site:
            made = with_adapter(self, site, x, made)
        self.where = above
        return made

    def _divided(self, row: Row, x: Value, outputs: int) -> Value:
        """x Wᵀ. Under sequence parallelism columns read all tokens, gathered for the moment, and rows hand back this rank's
        (Korthikanti et al. 2022, §4.2.2): what is kept is the rank's own part."""
        axis = row.split if row.split is None or not self.transposed else 1 - row.split
        bias = self.row_at(f"{row.name.removesuffix('.weight')}.bias")
        added = None if bias is None else self.parameter(bias)
        if self.shares == 1 or axis is None:
            return self.product(x, self.parameter(row), outputs, added)
        whole = x.elements * self.shares * BYTES[x.dtype]
        made = self.product(x, self.parameter(row), outputs, added)
        made.tokens = x.tokens * self.shares if axis == 0 else x.tokens // self.shares
        made.storage.bytes = made.elements * BYTES[made.dtype]
        if axis == 0:
            self.ops[-1] = self.ops[-1]._replace(temporary=whole, backward=whole)
        return made

    def is_quantized(self, row: Row) -> bool:
        return self.recipe.quantized and row.op in ("linear", "stack") and row.role != "head" and row.role != "router"

    def _quantized(self, row: Row, x: Value, outputs: int) -> Value:
        """A frozen quantized matrix needs no input on the way back: the matrix alone, made whole again each time. LLM.int8 holds on to
        it all the same (bitsandbytes 0.50, `MatMul8bitLt`); on the way forward it makes an fp16 and an int8 copy, and int32 sums."""
        whole = row.elements * BYTES[self.recipe.compute]
        low, keeps = self.cast(x, self.recipe.compute), self.recipe.quantized_keeps_input
        ahead = low.elements * (BYTES["fp16"] + BYTES["int8"]) + x.tokens * outputs * BYTES["int32"] if keeps else whole
        saved = (low.storage,) if keeps else ()
        made = self.emit(
            "quantized linear", (low,), x.tokens, outputs, low.dtype, saved=saved, temporary=ahead, backward=whole, layout=TOKENS_FIRST
        )
        self.ops[-1] = self.ops[-1]._replace(stays=keeps)
        return self.cast(made, x.dtype)

    def row_at(self, path: str) -> Row | None:
        """The row of the block that is recorded whose full name this is."""
        return next((row for row in self.rows.values() if row.name == path), None)

    def base_weight(self, module: str) -> Value:
        """The matrix that an adapter stands beside; made whole where it is quantized."""
        row = self.row_at(f"{module}.weight")
        assert row is not None
        if not self.is_quantized(row):
            return self.parameter(row)
        return self.emit("dequantize", (), row.elements // int(row.shape[-1]), int(row.shape[-1]), self.recipe.compute)

    def features(self, width: int, rows: int | None = None) -> Value:
        """The input of a model that looks nothing up, in place of token ids; `rows` a sequence."""
        rows = self.batch * (rows or self.length)
        made = Value(rows, width, self.stream_dtype, Storage(rows * width * BYTES[self.stream_dtype], "features", "", "input"))
        self.given = made.storage.bytes
        return made

    def pixels(self, channels: int, image: tuple[int, ...]) -> Value:
        """The input of a model that sees images of a height and a width."""
        made = self.features(channels, prod(image))
        made.grid = image
        return made

    def site(self, module: str, row: Row) -> Site | None:
        """The adapter on a module of the part that is recorded."""
        return self.adapted.sites.get((module, row.part))

    def adapter(self, name: str, part: str = "") -> Value:
        """A parameter that the method adds, to a module of a part where it does."""
        row = self.added[name, part]
        storage = self.storages.setdefault(f"{name} {part}", Storage(row.elements * BYTES[self.recipe.adapters], name, name, "parameter"))
        return Value(int(row.shape[0]), row.elements // int(row.shape[0]), self.recipe.adapters, storage, needs_grad=True)

    def lookup(self, name: str, index: str = "given", columns: int = 1) -> Value:
        row = self.rows[name]
        table = self.parameter(row)
        rows = self.length if index in ("shared", "kept") else self.batch * self.length
        saved: tuple[Storage, ...] = ()
        if index in ("made", "shared"):
            saved = (self.kept(rows * BYTES["int64"], "indices"),)
        elif index == "columns":
            saved = (self.constant(rows, columns, "int64", "indices together").storage,)
        found = self.emit("lookup", (table,), rows // self.shares, table.width, table.dtype, saved=saved, layout=TOKENS_FIRST)
        site = self.site(row.name.removesuffix(".weight"), row)
        return on_table(self, site, found) if site else found

    def layer_norm(self, x: Value, name: str = "", parts: int = 1, *, unit: bool = False) -> Value:
        """Keeps its input, and mean and reciprocal deviation of each row in fp32."""
        prefix = f"{name}." if name else ""
        weights = tuple(self.weight(prefix + tail) for tail in ("weight", "bias") if self.has(prefix + tail))
        if unit:
            x, weights = self.low(x), (self.low(self.scale(weights[0])), *(self.low(weight) for weight in weights[1:]))
        else:
            x, weights = self.high(x), tuple(self.high(weight) for weight in weights)
        dtype = x.dtype
        if any(w.dtype != dtype for w in weights) and dtype in LOW:
            x, dtype = self.cast(x, FP32), FP32
        saved = (x.storage, self.kept(8 * x.tokens * parts, "mean and deviation"), *(weight.storage for weight in weights))
        return self.emit("layer norm", (x, *weights), x.tokens, x.width, dtype, saved=saved, layout=TOKENS_FIRST)

    def fused_rms_norm(self, x: Value, name: str = "weight", parts: int = 1) -> Value:
        weights = (self.weight(name),) if self.has(name) else ()
        saved = (x.storage, self.kept(4 * x.tokens * parts, "reciprocal deviation"))
        return self.emit("rms norm", (x, *weights), x.tokens, x.width, x.dtype, saved=saved, layout=TOKENS_FIRST)

    # positions

    def beside(self, block: Block, at: Place) -> None:
        """A part of a layer that the stream does not pass: a table of relative positions, from which the bias is made."""
        self.enter(block, at)
        table = self.weight("weight")
        keys = self.length + (self.adapted.method.virtual_tokens if is_prefixed(self, causal=self.source is not None) else 0)
        saved = (self.kept(self.length * keys * BYTES["int64"], "relative positions"),)
        found = self.emit("lookup", (table,), self.length * keys, table.width, table.dtype, saved=saved, layout=TOKENS_FIRST)
        self.relative = Value(self.length, keys * table.width, found.dtype, found.storage, needs_grad=found.needs_grad)

    # attention under a method or a policy

    def attention(self, query: Value, key: Value, value: Value, **options: Any) -> Value:
        if is_prefixed(self, causal=options["causal"]):
            key, value = prefixed(self, key), prefixed(self, value)
        if not self.recipe.selective:
            return super().attention(query, key, value, **options)
        start = len(self.ops)
        made = super().attention(query, key, value, **options)
        self._fold(start, (query, key, value), made)
        return made

    def _fold(self, start: int, operands: tuple[Value, ...], made: Value) -> None:
        """Put one operation in the place of those since `start`: it keeps its operands, and does the rest again on the way back.

        Not where that keeps more: flash attention after fp32 rotary positions holds its operands in the low format.
        """
        inner = Ops(self.ops[start:])
        if sum(value.storage.bytes for value in operands) >= sum(kept.bytes for kept in inner.saved.values()) - made.storage.bytes:
            return
        ahead = forward(Scene(inner, None, made, keeps=False)).peak
        again = Backward(Scene(inner, None, made)).run().meter.peak
        del self.ops[start:]
        inputs = tuple(dict.fromkeys((*operands, *_outside(inner))))
        kept = tuple(value.storage for value in operands)
        self.ops.append(Op("attention, computed again", inputs, made, kept if made.needs_grad else (), False, ahead, again, self.where))

    def after(self, block: Block, at: Place, made: Value) -> Value:
        """What a method puts behind a block."""
        return bottleneck(self, block, at, made) if self.adapted.method.name == "adapter" else made

    # experts

    def top(self, scores: Value, visited: int) -> Value:
        """The largest scores; their places are kept."""
        places = self.places = self.kept(BYTES["int64"] * scores.tokens * visited, "chosen experts")
        return self.emit("top", (scores,), scores.tokens, visited, scores.dtype, saved=(places,))

    def of_each(self, name: str, chosen: Value) -> Value:
        weight = self.weight(name)
        return self.emit("index", (weight,), chosen.tokens, chosen.width, weight.dtype, saved=(self.places,), layout=TOKENS_FIRST)

    def route(self, x: Value, scores: Value, visited: int) -> tuple[Value, Value]:
        """Tokens sorted by expert, with which the reference calls one grouped product for all experts (`grouped_mm`)."""
        rows, experts = x.tokens * visited, self.experts
        order = self.order = self.kept(BYTES["int64"] * rows, "token of each row")
        chosen = self.emit("index", (x,), rows, x.width, x.dtype, saved=(order,))
        permutation = self.permutation = self.kept(BYTES["int64"] * rows, "order of rows")
        weights = self.emit("index", (scores,), rows, 1, scores.dtype, saved=(permutation,))
        self.offsets = self.kept(BYTES["int32"] * experts, "rows of each expert")
        return chosen, weights

    @property
    def experts(self) -> int:
        """Experts of the block that is recorded."""
        return next(int(row.experts[0]) for row in self.rows.values() if row.experts)

    def grouped(self, name: str, x: Value, width: int, *, routed: bool = True) -> Value:
        row = self.rows[name]
        above, self.where = self.where, row.name
        weight = self.parameter(row)
        site = self.site(row.name, row)
        if site:
            weight = on_stack(self, site, weight)
            self.whole.append(weight)
        if self.is_quantized(row) and not site:
            whole = row.elements * BYTES[self.recipe.compute]
            made = self.emit("quantized experts", (x,), x.tokens, width, x.dtype, temporary=whole, backward=whole)
        elif not routed:
            made = self.product(x, weight, width)
        else:
            saved = ((x.storage,) if weight.needs_grad else ()) + ((weight.storage,) if x.needs_grad else ()) + (self.offsets,)
            made = self.emit("grouped linear", (x, weight), x.tokens, width, x.dtype, saved=saved)
        self.where = above
        return made

    def unsorted(self, rows: Value, visited: int) -> Value:
        saved = (rows.storage, self.permutation)
        return self.emit("index add", (rows,), rows.tokens // visited, rows.width * visited, rows.dtype, saved=saved)

    def sorted_again(self, x: Value, visited: int) -> Value:
        return self.emit("index", (x,), x.tokens * visited, x.width // visited, x.dtype, saved=(self.permutation,), layout=TOKENS_FIRST)

    def dispatch(self, x: Value, weights: Value, visited: int) -> tuple[Value, Value]:
        """`torch.where` finds token and choice together: two numbers a row."""
        rows = x.tokens * visited
        self.order = self.kept(2 * BYTES["int64"] * rows, "token and choice of each row")
        chosen = self.emit("index", (x,), rows, x.width, x.dtype, saved=(self.order,), layout=TOKENS_FIRST)
        return chosen, self.emit("index", (weights,), rows, 1, weights.dtype, saved=(self.order,), layout=TOKENS_FIRST)

    def collect(self, rows: Value, weights: Value, visited: int) -> Value:
        weighted = self.cast(self.multiply(rows, weights), rows.dtype)
        saved = (weighted.storage, self.order)
        return self.emit("index add", (weighted,), rows.tokens // visited, rows.width, rows.dtype, saved=saved)

    def gather(self, rows: Value, weights: Value, visited: int) -> Value:
        weighted = self.multiply(rows, weights)
        back = self.kept(BYTES["int64"] * rows.tokens, "place of each row")
        sorted_back = self.emit("index", (weighted,), rows.tokens, rows.width, weighted.dtype, saved=(back,))
        total = self.emit("sum", (sorted_back,), rows.tokens // visited, rows.width, weighted.dtype)
        self.ops[-1] = self.ops[-1]._replace(beside=tuple(self.whole))
        return self.cast(total, rows.dtype)


def _outside(ops: tuple[Op, ...]) -> list[Value]:
    """Values that operations read and did not make."""
    made = {op.output for op in ops}
    return [value for op in ops for value in op.inputs if value not in made]
