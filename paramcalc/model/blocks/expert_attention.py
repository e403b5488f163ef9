"""Attention whose queries and output are made by experts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import BIAS, WEIGHT, CacheRow, Row, linear

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class ExpertAttention(Block):
    """Mixture of attention heads (Zhang et al. 2022) as JetMoE has it (Shen et al. 2024, §2.2): `visited` of `count` experts make
    a token's queries, each for all key heads, and read what attention makes of them; keys and values are shared.

    Weights: router [count, width], queries [count, kv_heads·head_dim, width], output [count, width, kv_heads·head_dim], kv
    [2·kv_heads·head_dim, width], a bias [width]. Cache per token and layer: 2·kv_heads·head_dim elements.
    """

    home: ClassVar[str] = "attention"

    count: Count
    visited: Count
    kv_heads: Count
    head_dim: Count
    dropout: Share = 0.0
    """Of the attention weights."""

    @model_validator(mode="after")
    def _visits_what_is_there(self) -> Self:
        if self.visited > self.count:
            raise ValueError(f"visited ({self.visited}) is more than count ({self.count}) experts")
        return self

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        size = n.kv_heads * n.head_dim
        yield from linear("router", n.count, at.width, component="router")
        for name, shape, split in (("up_proj", (n.count, size, at.width), 1), ("down_proj", (n.count, at.width, size), 2)):
            row = Row(f"experts.{name}", shape, WEIGHT, "stack", role=f"experts.{name}", split=split)
            yield row._replace(experts=(self.count, self.visited))
        yield Row("bias", (at.width,), BIAS, role="bias")
        yield from linear("kv_proj", 2 * size, at.width, split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        for name in ("key", "value"):
            yield CacheRow(name, (self.sized.kv_heads, self.sized.head_dim), split=0)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        size, heads = self.kv_heads * self.head_dim, self.kv_heads * self.visited
        shares = tape.chosen(tape.linear("router", x), self.visited, "chosen", normalized=True)
        rows, weights = tape.route(x, tape.cast(shares, x.dtype), self.visited)
        query = tape.unsorted(tape.join(tape.grouped("experts.up_proj", rows, size, routed=False)), self.visited)
        both = tape.linear("kv_proj", x)
        key, value = tape.slice(both, size), tape.slice(both, size)
        tables = tape.rotary(self.head_dim)
        query, key = tape.rotate(query, heads, self.head_dim, tables), tape.rotate(key, self.kv_heads, self.head_dim, tables)
        key, value = (tape.by_head(tape.spread(each, self.visited)) for each in (key, value))
        mixed = tape.attention(query, key, value, heads=heads, kv_heads=heads, causal=at.cached, dropout=self.dropout)
        read = tape.sorted_again(mixed, self.visited)
        made = tape.join(tape.grouped("experts.down_proj", read, int(at.width), routed=False))
        return tape.add(tape.collect(made, weights, self.visited), tape.weight("bias"))
