"""Attention as torch computes it: which kernel is chosen, and what each keeps for the backward pass."""

from __future__ import annotations

from typing import NamedTuple

from paramcalc.costs.training.autograd import LOW
from paramcalc.costs.training.recurrences import RecurrenceRecorder
from paramcalc.model.tape import FP32, HEADS_FIRST, TOKENS_FIRST, Storage, Value

EAGER, SDPA, FLASH = "eager", "sdpa", "flash"
IMPLEMENTATIONS = (EAGER, SDPA, FLASH)
FLASH_DIMS = 256
"""Largest head that the flash kernel takes."""
FLASH_ALIGNMENT = 8
"""Elements to a multiple of which that fills up each head."""
BIAS_ALIGNMENT = 16
"""Elements to a multiple of which the memory-efficient kernel pads a mask's rows (attention.cpp: `preprocess_mask`)."""


class Mask(NamedTuple):
    """What a query may not see."""

    causal: bool
    window: int | None
    """Tokens that it sees at most, where the sequence is longer."""
    handed: bool = False
    """Whether a layer is handed the mask by position, which checkpointing keeps."""
    chosen: bool = False
    """Whether the layer makes a mask of its own of what an indexer chose."""
    blocks: bool = False
    """Whether tokens of an image see each other, in each sequence others."""


class Plain(NamedTuple):
    """How a family writes plain attention."""

    softcap: bool
    upcast: bool
    """Whether the softmax is taken in fp32."""
    floored: bool
    """Whether masked scores are bounded below."""
    sink_scale: bool
    """Whether sinks scale the result instead of standing beside the scores."""


class Heads(NamedTuple):
    """Queries, keys and values, and how they are divided into heads."""

    query: Value
    key: Value
    value: Value
    heads: int
    kv_heads: int

    @property
    def groups(self) -> int:
        return self.heads // self.kv_heads

    @property
    def query_dim(self) -> int:
        return self.query.width // self.heads

    @property
    def value_dim(self) -> int:
        return self.value.width // self.kv_heads


class AttentionRecorder(RecurrenceRecorder):
    """A recorder that knows torch's attention kernels."""

    implementation = SDPA
    relative: Value | None = None
    """The position bias that the first layer made, for those after it."""

    def attention(
        self,
        query: Value,
        key: Value,
        value: Value,
        *,
        heads: int,
        kv_heads: int,
        causal: bool,
        window: int | None = None,
        blocks: bool = False,
        softcap: bool = False,
        dropout: float = 0.0,
        relative: str = "",
        sinks: Value | None = None,
        upcast: bool = True,
        wide_scores: bool = False,
        ungrouped: bool = False,
        chosen: bool = False,
        handed: bool = False,
        plain: bool = False,
        floored: bool = False,
        sink_scale: bool = False,
        padding: bool = False,
    ) -> Value:
        parts = Heads(query, key, value, heads, kv_heads)
        mask = Mask(causal, window if window and self.length > window else None, handed, chosen, blocks)
        bias = self.position_bias(parts, relative) if relative else None
        eager = self.implementation == EAGER or (plain and self.implementation == SDPA)
        if wide_scores and eager:
            parts = parts._replace(query=self.cast(query, FP32), key=self.cast(key, FP32))
        if ungrouped and eager:
            parts = self._broadcast(parts)
        if eager or softcap or (sinks is not None and self.implementation == SDPA):
            form = Plain(softcap, upcast, floored, sink_scale)
            return self._eager(parts, mask, form, dropout=dropout, bias=bias, sinks=sinks)
        if self.implementation == FLASH and bias is None:
            return self._flash(self._low(parts, "bf16"))
        if ungrouped and parts.groups > 1:
            return self._math(self._low(parts), dropout, broadcast=True)
        if padding and bias is None:
            bias = self.constant(self.batch, self.source_length(key), self.stream_dtype, "padding mask keys", argument=True)
            bias.layout = HEADS_FIRST
        return self._sdpa(parts, mask, dropout, bias)

    def position_bias(self, parts: Heads, kind: str) -> Value:
        """What is added to the scores: the bias of the first layer that has one, or zeros of the queries' format."""
        if kind == "zeros" or self.relative is None:
            length = self.source_length(parts.key)
            name = f"zero bias {parts.heads}"
            zeros = self.constant(self.length, parts.heads * length, parts.query.dtype, name, argument=True)
            zeros.layout = HEADS_FIRST
            return zeros
        return self.relative

    def source_length(self, key: Value) -> int:
        """Tokens of one sequence of keys."""
        return max(1, key.tokens // self.batch)

    def _low(self, parts: Heads, default: str = "") -> Heads:
        """The operands as autocast casts them; with a default format for a kernel that takes no fp32."""
        query, key, value = (self.low(v) for v in parts[:3])
        if default:
            query, key, value = (self.cast(v, self.autocast or default) if v.dtype == FP32 else v for v in (query, key, value))
        return parts._replace(query=query, key=key, value=value)

    def _eager(self, parts: Heads, mask: Mask, form: Plain, *, dropout: float, bias: Value | None, sinks: Value | None) -> Value:
        """Scores, softmax and weighted values one after another (`eager_attention_forward`)."""
        length = self.source_length(parts.key)
        key, value = self.repeat(parts.key, parts.groups), self.repeat(parts.value, parts.groups)
        scores = self.scale(self.matmul(parts.query, key, parts.heads * length))
        if form.softcap:
            scores = self.scale(self.unary("tanh", self.scale(scores)))
        if bias is not None:
            scores = self.add(scores, bias)
        if mask.causal or mask.window:
            wide = form.floored or form.sink_scale or mask.handed  # then the sum is kept, or the mask, in the wider format
            scores = self.add(scores, self.mask_table(length, self.stream_dtype if wide else scores.dtype, handed=mask.handed))
        if form.floored:
            scores = self.emit(
                "maximum",
                (scores, self.number(scores, FP32)),
                scores.tokens,
                scores.width,
                scores.dtype,
                saved=(scores.storage, self.ops[-1].output.storage),
            )
        scale = self._sink_scale(parts, scores, sinks) if form.sink_scale and sinks is not None else None
        if sinks is not None and scale is None:
            scores = self.join(scores, self.add_columns(sinks, parts.query.tokens, scores.dtype))
            rows = self.kept(8 * scores.tokens * parts.heads, "places of largest scores")
            scores = self.add(scores, self.emit("max", (scores,), scores.tokens, parts.heads, scores.dtype, saved=(rows,)))
        weights = self.softmax(scores, FP32 if form.upcast else None)
        if sinks is not None and scale is None:
            weights = self.slice(weights, parts.heads * length)
        weights = self.dropout(self.cast(weights, parts.value.dtype), dropout)
        mixed = self.matmul(weights, value, parts.heads * parts.value_dim)
        if scale is not None:
            mixed = self.multiply(mixed, self.cast(scale, mixed.dtype))
        return self.by_token(mixed)

    def _sink_scale(self, parts: Heads, scores: Value, sinks: Value) -> Value:
        """σ(log-sum-exp of the scores less the sink), in fp32: what a sink leaves of the attention (Granite)."""
        sums = self.emit("log-sum-exp", (scores,), scores.tokens, parts.heads, scores.dtype, saved=(scores.storage,), keeps_result=True)
        return self.unary("sigmoid", self.cast(self.subtract(sums, sinks), FP32))

    def mask_table(self, length: int, dtype: str, *, handed: bool = False) -> Value:
        """An additive mask [batch, 1, queries, keys] that the model makes once."""
        return self.constant(self.batch * self.length, length, dtype, f"attention mask {length}", argument=handed)

    def add_columns(self, sinks: Value, tokens: int, dtype: str) -> Value:
        """One logit for each head beside every row of scores."""
        return self.emit("expand", (sinks,), tokens, sinks.elements, dtype)

    def _sdpa(self, parts: Heads, mask: Mask, dropout: float, bias: Value | None) -> Value:
        """`scaled_dot_product_attention`: flash without a mask and in a half format, else memory-efficient, else plain math.

        Without a mask grouped heads are handed on (`enable_gqa`), which the memory-efficient kernel cannot take.
        """
        if parts.query_dim != parts.value_dim or parts.query_dim > FLASH_DIMS:
            parts = self._repeated(parts)
        longer = mask.causal and self.source_length(parts.key) > self.length
        masked = mask.window is not None or mask.blocks or longer
        if bias is not None:
            bias = self._bias_mask(bias, causal=mask.causal)
        elif mask.chosen:
            bias = self.fresh(self.batch * self.length, self.source_length(parts.key), "bool", "mask of chosen tokens")
        elif masked:
            length = self.source_length(parts.key)
            rows, kind = (self.batch * self.length, "blocks") if mask.blocks else (self.length, "window")
            bias = self.constant(rows, length, "bool", f"attention mask {kind}", argument=mask.handed)
        if bias is not None:
            parts = self._repeated(parts)
        parts = self._low(parts)
        plain = parts.query_dim == parts.value_dim <= FLASH_DIMS
        if bias is None and parts.query.dtype in LOW and plain:
            return self._flash(parts)
        if parts.groups == 1:
            return self._efficient(parts, bias, dropout)
        return self._math(parts, dropout)

    def _repeated(self, parts: Heads) -> Heads:
        key, value = self.repeat(parts.key, parts.groups), self.repeat(parts.value, parts.groups)
        return parts._replace(key=key, value=value, kv_heads=parts.heads)

    def _broadcast(self, parts: Heads) -> Heads:
        """Key and value heads shown to each query head of their group without a copy."""
        key, value = self.spread(parts.key, parts.groups), self.spread(parts.value, parts.groups)
        return parts._replace(key=key, value=value, kv_heads=parts.heads)

    def _bias_mask(self, bias: Value, *, causal: bool) -> Value:
        """A position bias as a mask (`create_position_bias_mask`): where a query may not look, the lowest number; in new memory."""
        if bias.layout == HEADS_FIRST:
            return bias
        if causal:
            seen = self.kept(self.length * self.length, "causal mask")
            bias = self.emit("where", (bias,), bias.tokens, bias.width, bias.dtype, saved=(seen,))
        return self.emit("contiguous", (bias,), bias.tokens, bias.width, bias.dtype, layout=HEADS_FIRST)

    def _flash(self, parts: Heads) -> Value:
        """Keeps queries, keys and values as they come, its output, and for each row and head one fp32 sum; no mask of dropout."""
        dim, wide = parts.value_dim, -(-parts.value_dim // FLASH_ALIGNMENT) * FLASH_ALIGNMENT
        query, key, value = parts[:3] if dim == wide else (self._filled(part, dim, wide) for part in parts[:3])
        states = (self.kept(4 * query.tokens * parts.heads, "log-sum-exp"), self.kept(24, "random state"))
        saved = (query.storage, key.storage, value.storage, *states)
        layout = HEADS_FIRST if query.layout == HEADS_FIRST else TOKENS_FIRST
        made = self.emit(
            "flash attention",
            (query, key, value),
            query.tokens,
            parts.heads * wide,
            query.dtype,
            saved=saved,
            keeps_result=True,
            layout=layout,
        )
        return self.by_token(made) if dim == wide else self.copy(self.slice(made, parts.heads * dim))

    def _filled(self, x: Value, dim: int, wide: int) -> Value:
        """Each head's vector with zeros behind it."""
        return self.emit("pad", (x,), x.tokens, x.width // dim * wide, x.dtype)

    def _efficient(self, parts: Heads, bias: Value | None, dropout: float) -> Value:
        """The memory-efficient kernel: as flash, with its sums padded to 32 rows, and with the mask it was given."""
        query, key, value = parts[:3]
        rows = self.batch * parts.heads * (-(-max(1, query.tokens // self.batch) // 32) * 32)
        states: tuple[Storage, ...] = (self.kept(4 * rows, "log-sum-exp"), self.kept(16, "random state"))
        inputs: tuple[Value, ...] = (query, key, value)
        if bias is not None:
            bias = self._padded(self._additive(bias, query.dtype), key)
            inputs, states = (*inputs, bias), (*states, bias.storage)
        saved = (query.storage, key.storage, value.storage, *states)
        width = parts.heads * parts.value_dim
        return self.emit(
            "memory-efficient attention", inputs, query.tokens, width, query.dtype, saved=saved, keeps_result=True, layout=TOKENS_FIRST
        )

    def _padded(self, bias: Value, key: Value) -> Value:
        """A mask whose rows the kernel can read 16 at a time: a copy with longer rows where they are not (`pad_bias`)."""
        length = self.source_length(key)
        if length % BIAS_ALIGNMENT == 0:
            return bias
        return self.emit("padded mask", (bias,), bias.tokens, bias.width // length * (length + -length % BIAS_ALIGNMENT), bias.dtype)

    def _additive(self, bias: Value, dtype: str) -> Value:
        if bias.dtype != "bool":
            return self.low(bias) if dtype in LOW else bias
        return self.emit("additive mask", (bias,), self.batch * self.length, bias.width, dtype)

    def _math(self, parts: Heads, dropout: float, *, broadcast: bool = False) -> Value:
        """The kernel written in plain operations: in fp32, with the factor on queries and keys, scores kept whole."""
        query, key, value = (self.cast(v, FP32) for v in parts[:3])
        if broadcast:
            query, key, value = self._broadcast(parts._replace(query=self.scale(query), key=self.scale(key), value=value))[:3]
        else:
            query, key = self.scale(query), self.scale(self.repeat(key, parts.groups))
            value = self.repeat(value, parts.groups)
        length = self.source_length(key)
        scores = self.matmul32(query, key, parts.heads * length)
        weights = self.emit("softmax", (scores,), scores.tokens, scores.width, FP32, keeps_result=True)
        weights = self.dropout(weights, dropout)
        made = self.by_token(self.matmul32(weights, value, parts.heads * parts.value_dim))
        return self.cast(made, parts.query.dtype)

    def matmul32(self, x: Value, y: Value, width: int) -> Value:
        """A batched product inside a kernel, where autocast has no say."""
        x, y = self.batched(x), self.batched(y)
        saved = ((y.storage,) if x.needs_grad else ()) + ((x.storage,) if y.needs_grad else ())
        return self.emit("matmul", (x, y), x.tokens, width, x.dtype, saved=saved, layout=HEADS_FIRST)
