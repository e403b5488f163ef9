"""Multi-head attention in the forms in which queries, keys and values share projections and heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import CacheRow, Row, linear, norm
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

Rotary = Literal["halves", "joined", "wide", "repeated", "repeated_joined", "repeated_wide", "each", "each_wide", "own_joined", "complex"]


class Attention(Block):
    """Attention with `heads` queries and `kv_heads` keys and values (MHA: Vaswani et al. 2017; MQA: Shazeer 2019;
    GQA: Ainslie et al. 2023, kv_heads between 1 and heads).

    Weights: q [heads·head_dim, width], k [kv_heads·head_dim, width], v [kv_heads·v_head_dim, width],
    o [width, heads·v_head_dim]; cross attention reads k and v from a source of another width.
    Cache per token and layer: kv_heads · (head_dim + v_head_dim) elements, of the last `window` tokens at most.
    """

    home: ClassVar[str] = "attention"

    heads: Count
    kv_heads: Count | None = None
    """`heads` if left out."""
    head_dim: Count | None = None
    """width / heads if left out."""
    v_head_dim: Count | None = None
    """`head_dim` if left out."""
    inputs: Count | None = None
    outputs: Count | None = None
    """Widths of what it reads and writes; the stream's if left out."""
    projected: Count | None = None
    """What queries, keys and values each project to and the output from, where the reference does not take heads · head_dim
    for it: the stream's width, which its heads do not divide."""
    v_outputs: Count | None = None
    """Outputs of the value projection, where the reference does not take kv_heads · v_head_dim for it (Nemotron 3.5 Transcribe)."""
    o_inputs: Count | None = None
    """Inputs of the output projection, where the reference does not take heads · v_head_dim for it (Helium)."""
    bias: bool | list[Literal["q", "k", "v", "o"]] = False
    fused: Literal["qkv", "kv"] | None = None
    """Which projections are one matrix."""
    transposed: bool = False
    """Whether weights are stored [inputs, outputs], as GPT-2's are."""
    gate: bool = False
    """Whether the query projection also makes an output gate of the same size (gated attention, Qiu et al. 2025)."""
    gate_proj: Literal["full", "head"] | None = None
    """A projection of its own for an output gate: of all dims of all heads, or of one number a head."""
    qk_norm: Literal["head", "heads", "each", "full"] | None = None
    """Norm of queries and keys: over one head's dims with one gain for all of them (`head`, [head_dim]), a gain of its own
    for each head (`heads`, [heads, head_dim]; `each`, a module per head), or over all heads at once (`full`)."""
    qk_norm_type: Literal["rms", "layer"] = "rms"
    qk_norm_bias: bool = False
    qk_norm_style: Literal["cast", "promote", "unit", "late", "wide", "power", "fused"] = "cast"
    """How the reference writes that norm (see `norm`)."""
    qk_norm_gain: bool = True
    """Whether that norm has a gain; Llama 4's has none."""
    qk_norm_sizes: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = None
    """What the norms over all heads of queries and of keys are made for, where that is not what they are handed (OLMoE)."""
    v_norm: bool = False
    """Whether values are normalised too, without a gain (Gemma 4)."""
    norm_last: bool = False
    """Whether queries and keys are rotated first, and then normalised (Hunyuan)."""
    relative: bool = False
    """Whether a position bias of the layer, or of the first of its layers, is added to the scores (T5)."""
    sinks: bool = False
    """One learned logit per head that takes attention away from all tokens (gpt-oss)."""
    sink_scale: bool = False
    """Whether the reference scales the result by what sinks leave, instead of putting them beside the scores (Granite)."""
    plain: bool = False
    """Whether the reference does not hand it to torch's kernels (`sdpa`) but computes it in plain operations."""
    floored: bool = False
    """Whether its plain attention bounds masked scores below, and layers are handed the mask as an argument (XGLM)."""
    sparse_from: Count | None = None
    """Tokens of a sequence from which on only blocks of it are compared (BigBird), which training does not know."""
    differential: bool = False
    """Whether it is the normalised difference of two attentions on halves of the values (Ye et al. 2024, §2.1)."""
    padding: bool = False
    """Whether the reference makes a mask of padding and hands it to the kernel, whatever it hides (LayoutLM)."""
    window: Count | None = None
    """Tokens a query can look back (sliding window, Beltagy et al. 2020)."""
    chunk: Count | None = None
    """Size of the chunks outside of which nothing is seen (Llama 4)."""
    source: Count | None = None
    """Width of the source that keys and values are made from: cross attention where given."""
    source_tokens: Count | None = None
    """Tokens of that source, where every input has the same number (Whisper: 1,500)."""
    optional: bool = False
    """Whether the reference leaves out the whole layer where there is no source (Llama 3.2 Vision: text without an image)."""
    merged: bool = False
    """Whether it attends to the encoder's output beside its own stream, both through the same projections (T5Gemma 2)."""
    lends: str | None = None
    borrows: str | None = None
    """Names under which its keys and values are there for later layers, and of those that it reads where it `reuses` them."""
    reuses: bool = False
    """Whether it uses an earlier layer's keys and values, and so has no projection and no cache for them."""
    value_is_key: bool = False
    """Whether values are the keys, so that there is no value projection."""
    softcap: float | None = None
    """Bound of the attention logits (Gemma 2)."""
    rotary: bool = False
    """Whether queries and keys are rotated by position."""
    clip: bool = False
    """Whether what the fused projection makes is bounded (DBRX)."""
    tuned: Literal["fp32", "stream"] | None = None
    """Whether queries are scaled by a number of their position (Nakanishi 2025), in fp32 (Llama 4) or the stream's format."""
    rotary_dims: Count | None = None
    """Dims of a head that are rotated; all of them if left out."""
    rotary_style: Rotary = "halves"
    """How the reference writes that: with tables of the stream's format (`halves`, Llama) or of fp32 (`wide`, OLMo), `repeated`
    for pairs of dims in every layer (Helium) or for queries and keys `each` (GPT-J), made in every layer in the format of keys
    (`own`, RecurrentGemma), and `joined` to the dims that are not turned even where there are none (Phi-3); or as a product of
    `complex` numbers in fp32 (Llama 4)."""
    blocks: bool = False
    """Whether tokens of one image see each other whatever their order, for which a mask is made of every batch with images (Gemma 3)."""
    token_tables: bool = False
    """Whether positions are told apart for each sequence, so that the tables have a row for each token of the batch (Qwen2-VL)."""
    local_tables: bool = False
    """Whether the model has rotary tables of their own for such windows (Gemma 3)."""
    handed_mask: bool = False
    """Whether layers are handed the mask by position, so that checkpointing keeps it (RecurrentGemma)."""
    ungrouped: bool = False
    """Whether the reference hands fewer key heads to a fused kernel without saying so, which then falls back (Falcon)."""
    contiguous: bool = False
    """Whether the reference copies queries to lie head by head (Whisper)."""
    upcast: bool = True
    """Whether the reference's plain attention takes its softmax in fp32."""
    wide_scores: bool = False
    """Whether it casts queries and keys to fp32 first (GPT-J)."""
    dropout: Share = 0.0
    """Of the attention weights."""
    output_dropout: Share = 0.0
    """Of what the output projection makes, before it is added to the stream."""
    scaled: bool = False
    """Whether what it reads is multiplied by a constant (Falcon-H1's µP)."""
    queries: bool = True
    """Whether it projects its queries itself (JetMoE's are made by experts)."""
    output: bool = True
    """Whether there is an output projection."""

    def inconsistencies(self, at: Place) -> Iterator[str]:
        if self.kv_heads and self.heads % self.kv_heads:
            yield f"kv_heads ({self.kv_heads}) does not divide heads ({self.heads})"
        if self.projected and self.projected % self.heads:
            yield f"heads ({self.heads}) does not divide projected ({self.projected})"

    def has_bias(self, projection: str) -> bool:
        return self.bias if isinstance(self.bias, bool) else projection in self.bias

    def dims(self, at: Place) -> tuple[Size, Size, Size, Size]:
        """Heads, KV heads, and the dims of a key and of a value of one head."""
        heads: Size = self.sized.heads
        kv_heads = Size(self.kv_heads, "kv_heads") if self.kv_heads else heads
        if self.head_dim:
            head_dim = Size(self.head_dim, "head_dim")
        elif at.width % self.heads:
            raise ValueError(f"heads ({self.heads}) does not divide the width ({int(at.width)}); give head_dim")
        else:
            head_dim = at.width // heads
        v_dim = Size(self.v_head_dim, "v_head_dim") if self.v_head_dim else head_dim
        return heads, kv_heads, head_dim, v_dim

    def parameters(self, at: Place) -> Iterator[Row]:
        heads, kv_heads, head_dim, v_dim = self.dims(at)
        inputs = Size(self.inputs, "inputs") if self.inputs else at.width
        outputs = Size(self.outputs, "outputs") if self.outputs else at.width
        yield from self._projections(heads, kv_heads, head_dim, v_dim, inputs)
        if self.output:
            joined = Size(self.o_inputs, "o_inputs") if self.o_inputs else self._projected or heads * v_dim
            yield from linear("o_proj", outputs, joined, bias=self.has_bias("o"), split=1, transposed=self.transposed)
        if self.gate_proj:
            yield from linear("gate_proj", heads * v_dim if self.gate_proj == "full" else heads, inputs, split=0)
        if self.qk_norm:
            yield from self._qk_norm("q_norm", heads, head_dim)
            if not self.reuses:
                yield from self._qk_norm("k_norm", kv_heads, head_dim)
        if self.differential:
            yield from (Row(f"lambda_{name}", (head_dim,), role="lambda") for name in ("q1", "k1", "q2", "k2"))
        if self.sinks:
            yield Row("sinks", (heads,), split=0, role="sinks")

    @property
    def _projected(self) -> Size | None:
        return Size(self.projected, "projected") if self.projected else None

    def _qk_norm(self, name: str, heads: Size, head_dim: Size) -> Iterator[Row]:
        size = heads * head_dim if self.qk_norm == "full" else head_dim
        if self.qk_norm_sizes:
            size = Size(self.qk_norm_sizes[name == "k_norm"], f"qk_norm_sizes.{name}")
        for row in norm(name, size, bias=self.qk_norm_bias, scale=self.qk_norm_gain):
            if self.qk_norm == "heads":
                yield row._replace(shape=(heads, head_dim))
            else:
                yield row._replace(repeat=heads if self.qk_norm == "each" else 1)

    def _projections(self, heads: Size, kv_heads: Size, head_dim: Size, v_dim: Size, inputs: Size) -> Iterator[Row]:
        queries = heads * head_dim * (2 if self.gate else 1)
        keys, values = kv_heads * head_dim, Size(self.v_outputs, "v_outputs") if self.v_outputs else kv_heads * v_dim
        if self._projected:
            queries = keys = values = self._projected
        source = Size(self.source, "source") if self.source else inputs

        def projection(name: str, outputs: Size, read: Size, bias: bool) -> Iterator[Row]:
            return linear(name, outputs, read, bias=bias, split=0, transposed=self.transposed)

        if self.fused == "qkv":
            yield from projection("qkv_proj", queries + keys + values, inputs, self.has_bias("q"))
            return
        if self.queries:
            yield from projection("q_proj", queries, inputs, self.has_bias("q"))
        if self.reuses:
            return
        if self.fused == "kv":
            yield from projection("kv_proj", keys + values, source, self.has_bias("k"))
            return
        yield from projection("k_proj", keys, source, self.has_bias("k"))
        if not self.value_is_key:
            yield from projection("v_proj", values, source, self.has_bias("v"))

    def cache(self, at: Place) -> Iterator[CacheRow]:
        if self.reuses:
            return
        _, kv_heads, head_dim, v_dim = self.dims(at)
        if self.source_tokens:
            yield CacheRow("key", (self.sized.source_tokens, kv_heads, head_dim), "sequence", split=1)
            yield CacheRow("value", (self.sized.source_tokens, kv_heads, v_dim), "sequence", split=1)
            return
        per = "source" if self.source else "token"
        window = self.window or self.chunk
        yield CacheRow("key", (kv_heads, head_dim), per, window, split=0)
        yield CacheRow("value", (kv_heads, v_dim), per, window, split=0)
        if self.merged:
            yield CacheRow("source_key", (kv_heads, head_dim), "source", split=0)
            yield CacheRow("source_value", (kv_heads, v_dim), "source", split=0)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        heads, kv_heads, head_dim, v_dim = (int(size) for size in self.dims(at))
        x = tape.scale(x) if self.scaled else x
        query, key, value = self._read(tape, x, (heads * head_dim, kv_heads * head_dim, kv_heads * v_dim))
        gate = None
        if self.gate:
            query, gate = tape.slice(query, heads * head_dim), tape.slice(query, heads * head_dim)
        steps = (self._normalized, self._rotated)
        for step in reversed(steps) if self.norm_last else steps:
            query, key = step(tape, query, key, (heads, kv_heads, head_dim))
        if self.v_norm and not self.reuses:
            value = tape.rms_norm(value, self.qk_norm_style, "", kv_heads, gain=False)
        if self.lends:
            tape.set_aside(f"keys {self.lends}", key)
            tape.set_aside(f"values {self.lends}", value)
        if self.tuned:
            query = tape.cast(
                tape.multiply(query, tape.fresh(tape.length, 1, "fp32" if self.tuned == "fp32" else query.dtype, "scales of positions")),
                query.dtype,
            )
        mixed = self._differential(tape, query, key, value, at) if self.differential else self._attend(tape, query, key, value, at)
        if gate is not None or self.gate_proj:
            weight = tape.unary("sigmoid", tape.linear("gate_proj", x) if gate is None else gate)
            mixed = tape.multiply(mixed, weight)
        return tape.dropout(tape.linear("o_proj", mixed), self.output_dropout) if self.output else mixed

    def _attend(self, tape: Tape, query: Value, key: Value, value: Value, at: Place) -> Value:
        if self.sparse_from and tape.length >= self.sparse_from:
            raise NotImplementedError(f"block-sparse attention, which {self.sparse_from:,} tokens or more have")
        return tape.attention(
            tape.by_head(query) if self.contiguous else query,
            key,
            value,
            heads=self.heads,
            kv_heads=self.kv_heads or self.heads,
            causal=at.cached and not self.source,
            window=self.window or self.chunk,
            blocks=self.blocks and at.cached and tape.pictured,
            softcap=self.softcap is not None,
            dropout=self.dropout,
            relative="" if not self.relative else "zeros" if self.source else "table",
            sinks=tape.weight("sinks") if self.sinks else None,
            upcast=self.upcast,
            wide_scores=self.wide_scores,
            ungrouped=self.ungrouped,
            handed=self.handed_mask or self.floored,
            plain=self.plain,
            floored=self.floored,
            sink_scale=self.sink_scale,
            padding=self.padding,
        )

    def _differential(self, tape: Tape, query: Value, key: Value, value: Value, at: Place) -> Value:
        """Each half of the value heads for all keys; the difference of the two halves of heads of what that makes."""
        kv_heads = self.kv_heads or self.heads
        halves = [tape.by_head(tape.spread(tape.slice(value, value.width // 2), 2)) for _ in range(2)]
        both = tape.join(*(self._attend(tape, query, key, half, at) for half in halves))
        one, other = tape.slice(both, both.width // 2), tape.slice(both, both.width // 2)
        vectors = [tape.multiply(tape.weight(f"lambda_q{number}"), tape.weight(f"lambda_k{number}")) for number in "12"]
        scales = [tape.cast(tape.unary("exp", tape.mean(tape.cast(each, "fp32"))), query.dtype) for each in vectors]
        scale = tape.scale(tape.subtract(*scales))
        mixed = tape.subtract(one, tape.multiply(scale, other))
        return tape.scale(tape.rms_norm(mixed, "cast", "", max(1, kv_heads // 2 * (self.heads // kv_heads)), gain=False))

    def _read(self, tape: Tape, x: Value, widths: tuple[int, int, int]) -> tuple[Value, Value, Value]:
        """Queries, keys and values: projections of their own, or slices of a fused one."""
        if self.fused == "qkv":
            whole = tape.linear("qkv_proj", x)
            if self.clip:
                whole = tape.unary("clamp", whole)
            if self.ungrouped and self.kv_heads == 1:
                return tape.slice(whole, widths[0]), tape.pick(whole, widths[1]), tape.pick(whole, widths[2])
            query, key, value = (tape.slice(whole, width) for width in widths)
            return query, key, value
        if not self.queries or (self.reuses and not self.borrows):
            raise NotImplementedError("attention that reuses keys and values")
        if self.borrows:
            return tape.linear("q_proj", x), tape.aside[f"keys {self.borrows}"], tape.aside[f"values {self.borrows}"]
        read = x if not self.source else tape.source
        if read is None:
            raise NotImplementedError("cross attention to something that is not an encoder before it")
        query = tape.linear("q_proj", x)
        if self.fused == "kv":
            whole = tape.linear("kv_proj", read)
            return query, tape.slice(whole, widths[1]), tape.slice(whole, widths[2])
        key = tape.linear("k_proj", read)
        return query, key, key if self.value_is_key else tape.linear("v_proj", read)

    def _normalized(self, tape: Tape, query: Value, key: Value, dims: tuple[int, int, int]) -> tuple[Value, Value]:
        if not self.qk_norm:
            return query, key
        parts = (1, 1) if self.qk_norm == "full" else dims[:2]
        query = self._normed(tape, "q_norm", query, parts[0])
        return query, key if self.reuses else self._normed(tape, "k_norm", key, parts[1])

    def _rotated(self, tape: Tape, query: Value, key: Value, dims: tuple[int, int, int]) -> tuple[Value, Value]:
        if not self.rotary:
            return query, key
        heads, kv_heads, head_dim = dims
        width, style = min(self.rotary_dims or head_dim, head_dim), self.rotary_style
        rows = tape.batch * tape.length if self.token_tables else tape.length
        tables = tape.rotary(width, style, key.dtype, local=self.local_tables, rows=rows)
        query = tape.rotate(query, heads, head_dim, tables, style)
        if style.startswith("each"):
            tables = tape.rotary(width, style, key.dtype, rows=rows)
        return query, key if self.reuses else tape.rotate(key, kv_heads, head_dim, tables, style)

    def _normed(self, tape: Tape, name: str, x: Value, parts: int) -> Value:
        if self.qk_norm_type == "layer":
            return tape.layer_norm(x, name, parts)
        return tape.rms_norm(x, self.qk_norm_style, f"{name}.weight", parts, gain=self.qk_norm_gain)
