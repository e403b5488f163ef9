"""Attention to content and to relative positions apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import BIAS, Row, linear

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class DisentangledAttention(Block):
    """DeBERTa's attention (He et al. 2021, §3.1): scores of content on content, and of content on position (`c2p`) and of
    position on content (`p2c`), where positions are those of `relative_table`, through projections of their own or shared ones.

    Weights: q, k, v, o [width, width] (or qkv [3·width, width]), position_key and position_query [width, width] where they are
    not shared, logits and weights [heads, heads] of talking heads (Shazeer et al. 2020).
    """

    home: ClassVar[str] = "attention"

    heads: Count
    fused: bool = False
    """Whether queries, keys and values are one matrix, as in the first version, which adds biases to queries and values apart."""
    relative: bool = False
    """Whether positions are attended to."""
    directions: list[Literal["c2p", "p2c"]] = []
    shared: bool = False
    """Whether positions pass the projections of content."""
    span: Count | None = None
    """Distances that are told apart in each direction; no more than there are tokens in the first version."""
    talking: bool = False
    """Whether heads are mixed before and after the softmax."""
    dropout: Share = 0.0
    """Of the attention weights."""
    position_dropout: Share = 0.0
    """Of the table of positions."""
    output_dropout: Share = 0.0

    def parameters(self, at: Place) -> Iterator[Row]:
        width, heads = at.width, self.sized.heads
        if self.fused:
            yield from linear("qkv_proj", 3 * width, width, split=0)
            yield from (Row(f"{name}_bias", (width,), BIAS, role=f"{name}_bias", split=0) for name in "qv")
        else:
            for name in ("q_proj", "k_proj", "v_proj"):
                yield from linear(name, width, width, bias=True, split=0)
        if self.relative and not self.shared:
            for direction, name in (("c2p", "position_key"), ("p2c", "position_query")):
                if direction in self.directions:
                    yield from linear(name, width, width, bias=not self.fused or direction == "p2c")
        if self.talking:
            for name in ("head_logits", "head_weights"):
                yield from linear(name, heads, heads)
        yield from linear("o_proj", width, width, bias=True, split=1)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        query, key, value = self._fused(tape, x) if self.fused else (self._heads(tape, f"{name}_proj", x) for name in "qkv")
        length, scale = tape.length, tape.number(query, query.dtype)
        if self.fused:
            query = tape.divide(query, scale)
            scores = tape.matmul(query, key, self.heads * length)
        else:
            scores = tape.matmul(query, tape.divide(key, scale), self.heads * length)
        if self.relative and self.directions:
            scores = tape.add(scores, self._positions(tape, query, key))
        scores = self._mixed(tape, "head_logits", scores)
        mask = tape.constant(tape.batch * length, length, "fp32", "attention mask", argument=True)
        weights = tape.dropout(tape.softmax(tape.masked(scores, tape.cast(mask, "bool"))), self.dropout)
        weights = self._mixed(tape, "head_weights", weights)
        made = tape.copy(tape.matmul(weights, value, int(at.width)))
        return tape.dropout(tape.linear("o_proj", made), self.output_dropout)

    def _heads(self, tape: Tape, name: str, x: Value) -> Value:
        return tape.by_head(tape.linear(name, x))

    def _fused(self, tape: Tape, x: Value) -> tuple[Value, Value, Value]:
        both = tape.linear("qkv_proj", x)
        query, key, value = (tape.slice(both, both.width // 3) for _ in range(3))
        return tape.add(query, tape.weight("q_bias")), key, tape.add(value, tape.weight("v_bias"))

    def _positions(self, tape: Tape, query: Value, key: Value) -> Value:
        """Scores of the two directions, each picked out of those of all distances."""
        table = tape.aside["relative positions"]
        table = tape.dropout(table, self.position_dropout)
        rows = 2 * min(self.span or table.tokens // 2, tape.length if self.fused else table.tokens // 2)
        table = tape.view(table, min(rows, table.tokens), table.width)
        position_query, position_key = (self._of_positions(tape, name, table) for name in ("query", "key"))
        total = None
        for direction, content, position in (("c2p", query, position_key), ("p2c", key, position_query)):
            if position is None or direction not in self.directions:
                continue
            if self.fused and direction == "p2c":
                position = tape.divide(position, tape.number(position, "fp32"))
            scores = tape.matmul(content, tape.over_batch(position, always=not self.fused), self.heads * rows)
            index = tape.fresh(tape.length, tape.length, "int64", "relative distances")
            found = tape.take(scores, index, scores.tokens, self.heads * tape.length)
            if not self.fused:
                found = tape.divide(found, tape.number(found, found.dtype))
            total = found if total is None else tape.add(total, found)
        assert total is not None
        return total

    def _of_positions(self, tape: Tape, name: str, table: Value) -> Value | None:
        """Positions as queries or as keys; both are made where projections are shared, asked for or not."""
        if self.shared:
            return self._heads(tape, f"{name[0]}_proj", table)
        if {"query": "p2c", "key": "c2p"}[name] not in self.directions:
            return None
        made = tape.linear(f"position_{name}", table)
        return made if self.fused else tape.by_head(made)

    def _mixed(self, tape: Tape, name: str, scores: Value) -> Value:
        if not self.talking:
            return scores
        rows = scores.elements // self.heads
        made = tape.linear(name, tape.view(tape.copy(scores), rows, self.heads))
        return tape.view(made, scores.tokens, scores.width)
