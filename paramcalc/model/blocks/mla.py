"""Multi-head latent attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import CacheRow, Row, linear, norm
from paramcalc.model.tape import FP32
from paramcalc.words.sizes import MAX_SIZE, Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class MLA(Block):
    """Keys and values are expanded from one latent of `kv_rank` per token, beside one rotary key of `rope_dim` that
    all heads share (DeepSeek-AI 2024, DeepSeek-V2, §2.1); queries may pass a latent of `q_rank`.

    Weights: q_a [q_rank, width], q_b [heads·(nope_dim + rope_dim), q_rank] (or one q from the width), kv_a
    [kv_rank + rope_dim, width], kv_b [heads·(nope_dim + v_dim), kv_rank], o [width, heads·v_dim], a norm per latent.
    Cache per token and layer: kv_rank + rope_dim elements, or heads·(nope_dim + rope_dim + v_dim) expanded.
    """

    home: ClassVar[str] = "attention"

    heads: Count
    q_rank: Count | None = None
    """Without one, queries come straight from the width."""
    kv_rank: Count
    nope_dim: Count
    rope_dim: Annotated[int, Field(ge=0, le=MAX_SIZE)]
    """0 where nothing is rotated: then there is no shared key (Mistral Large 4's layers without positions)."""
    v_dim: Count
    query_dim: Count | None = None
    """Dims of one head's query, where the reference does not take nope_dim + rope_dim (LongCat)."""
    bias: bool = False
    """Biases of the down-projections and of the output, as the references have them."""
    gate_proj: Literal["full", "head"] | None = None
    """A projection of its own for an output gate: of all dims of all heads, or of one number a head."""
    gate_wide: bool = False
    """Whether the gate's sigmoid is taken in fp32 (Ling 3)."""
    q_gate: bool = False
    """Whether queries and an output gate come from one matrix that reads two latents of queries side by side (A.X K2)."""
    rotary: bool = True
    """Whether queries and the shared key are rotated by position; Kimi Linear's are not."""
    indexed: bool = False
    """Whether an indexer beside it chooses which tokens each sees."""
    rope_norm: bool = False
    """Whether the shared rotary key has a norm (dots 3)."""
    sinks: bool = False
    """One learned logit per head that takes attention away from all tokens."""
    reuses: bool = False
    """Whether it expands an earlier layer's latent, and so makes and keeps none of its own."""
    window: Count | None = None
    """Tokens a query can look back."""
    dropout: Share = 0.0

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        query_dim: Size = n.query_dim if self.query_dim else n.nope_dim + n.rope_dim
        if self.q_rank:
            yield from linear("q_a_proj", n.q_rank, at.width, bias=self.bias)
            yield from norm("q_a_layernorm", n.q_rank)
            if self.q_gate:
                yield from linear("q_gate_proj", n.heads * (query_dim + n.v_dim), 2 * n.q_rank, split=0)
            else:
                yield from linear("q_b_proj", n.heads * query_dim, n.q_rank, split=0)
        else:
            yield from linear("q_proj", n.heads * query_dim, at.width, split=0)
        if not self.reuses:
            yield from linear("kv_a_proj_with_mqa", n.kv_rank + n.rope_dim if self.rope_dim else n.kv_rank, at.width, bias=self.bias)
            yield from norm("kv_a_layernorm", n.kv_rank)
        yield from linear("kv_b_proj", n.heads * (n.nope_dim + n.v_dim), n.kv_rank, split=0)
        yield from linear("o_proj", at.width, n.heads * n.v_dim, bias=self.bias, split=1)
        if self.rope_norm:
            yield from norm("k_rope_norm", n.rope_dim)
        if self.gate_proj:
            yield from linear("gate_proj", n.heads * n.v_dim if self.gate_proj == "full" else n.heads, at.width, split=0)
        if self.sinks:
            yield Row("sinks", (n.heads,), role="sinks", split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        if self.reuses:
            return
        yield CacheRow("latent", (n.kv_rank,), window=self.window, expanded=(n.heads, n.nope_dim + n.v_dim))
        if self.rope_dim:
            yield CacheRow("rope_key", (n.rope_dim,), window=self.window, expanded=(n.heads, n.rope_dim))

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        if self.rope_norm or self.query_dim or self.reuses or not self.rope_dim:
            raise NotImplementedError("latent attention of this form")
        heads, nope, rope, v_dim = self.heads, self.nope_dim, self.rope_dim, self.v_dim
        query, beside = self._queries(tape, x)
        joint = tape.linear("kv_a_proj_with_mqa", x)
        turned = tape.slice(joint, rope)
        if self.rotary:
            tables = tape.rotary(rope)
            query = tape.join(tape.slice(query, heads * nope), tape.rotate(tape.slice(query, heads * rope), heads, rope, tables))
            turned = tape.rotate(turned, 1, rope, tables)
        both = tape.linear("kv_b_proj", tape.rms_norm(tape.slice(joint, self.kv_rank), name="kv_a_layernorm.weight"))
        turned = tape.spread(turned, heads)
        key, value = tape.join(tape.slice(both, heads * nope), turned), tape.slice(both, heads * v_dim)
        mixed = tape.attention(
            query,
            key,
            value,
            heads=heads,
            kv_heads=heads,
            causal=at.cached,
            window=self.window,
            dropout=self.dropout,
            sinks=tape.weight("sinks") if self.sinks else None,
            chosen=self.indexed,
        )
        if beside is not None:
            mixed = tape.cast(tape.multiply(mixed, tape.unary("sigmoid", tape.cast(beside, FP32))), mixed.dtype)
        if self.gate_proj:
            gate = tape.linear("gate_proj", x)
            gate = tape.unary("sigmoid", tape.cast(gate, FP32) if self.gate_wide else gate)
            mixed = tape.multiply(mixed, tape.cast(gate, x.dtype) if self.gate_wide else gate)
        return tape.linear("o_proj", mixed)

    def _queries(self, tape: Tape, x: Value) -> tuple[Value, Value | None]:
        """Queries, and the output gate that one matrix makes beside them."""
        if not self.q_rank:
            return tape.linear("q_proj", x), None
        raw = tape.linear("q_a_proj", x)
        latent = tape.rms_norm(raw, name="q_a_layernorm.weight")
        if not self.q_gate:
            return tape.linear("q_b_proj", latent), None
        both = tape.linear("q_gate_proj", tape.join(latent, raw))
        gates = self.heads * self.v_dim
        return tape.slice(both, both.width - gates), tape.copy(tape.slice(both, gates))
