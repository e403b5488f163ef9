"""In which order the kinds of layers stand: `3 dense, 58 sparse`, or `8 (5 local, global), 2 local`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_TOKEN = re.compile(r"\s*(\d+|[A-Za-z_][\w-]*|[(),])")
MAX_LAYERS = 10**7


class Order(NamedTuple):
    """Runs of kinds and of groups of runs; its size is that of the text, never that of the depth."""

    items: tuple[tuple[int, str | Order], ...]

    def counts(self) -> dict[str, int]:
        """How many layers there are of each kind, in the order of first appearance."""
        totals: dict[str, int] = {}
        for count, item in self.items:
            inner = {item: 1} if isinstance(item, str) else item.counts()
            for kind, number in inner.items():
                totals[kind] = totals.get(kind, 0) + count * number
        return totals

    def runs(self) -> Iterator[tuple[str, int]]:
        """Every run of equal layers from the first layer to the last. Grows with the number of runs."""
        for count, item in self.items:
            if isinstance(item, str):
                yield item, count
            else:
                for _ in range(count):
                    yield from item.runs()

    def __str__(self) -> str:
        return ", ".join(_shown(count, item) for count, item in self.items)


def _shown(count: int, item: str | Order) -> str:
    text = item if isinstance(item, str) else f"({item})"
    return text if count == 1 and isinstance(item, str) else f"{count} {text}"


def parse_order(text: str) -> Order:
    """Read an order. Raises ValueError saying what was expected where."""
    tokens = _tokens(text)
    order, rest = _sequence(tokens, 0, 0)
    if rest != len(tokens):
        raise ValueError(f"unexpected {tokens[rest]!r} in order {text!r}")
    if not order.items:
        raise ValueError("an order names at least one kind of layer, as in '12 layer'")
    if sum(order.counts().values()) > MAX_LAYERS:
        raise ValueError(f"more than {MAX_LAYERS:,} layers")
    return order


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    text = text.rstrip()
    if len(text) > 100_000:
        raise ValueError("the order's text is longer than 100,000 characters")
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"unexpected {text[at]!r} in order {text[:60]!r}; write it as '3 dense, 58 sparse'")
        found.append(match[1])
        at = match.end()
    return found


def _sequence(tokens: list[str], at: int, depth: int) -> tuple[Order, int]:
    if depth > 8:
        raise ValueError("an order nests at most 8 deep")
    items: list[tuple[int, str | Order]] = []
    while at < len(tokens) and tokens[at] != ")":
        count = 1
        if tokens[at].isdigit():
            count = int(tokens[at][:12])
            at += 1
        if at == len(tokens) or tokens[at] in "),":
            raise ValueError("a number in an order is followed by a kind of layer, as in '3 dense'")
        if count < 1:
            raise ValueError("a count in an order is at least 1")
        if tokens[at] == "(":
            inner, at = _sequence(tokens, at + 1, depth + 1)
            if at == len(tokens) or not inner.items:
                raise ValueError("a '(' in an order is closed by ')' and holds at least one kind")
            items.append((count, inner))
        else:
            items.append((count, tokens[at]))
        at += 1
        if at < len(tokens) and tokens[at] == ",":
            at += 1
        elif at < len(tokens) and tokens[at] != ")":
            raise ValueError(f"expected ',' before {tokens[at]!r} in the order")
    return Order(tuple(items)), at


def order_of(kinds: Sequence[str]) -> str:
    """The shortest text for a list of one kind per layer: its period where it has one, else its runs.

    >>> order_of(["local", "local", "global"] * 4 + ["local"])
    '4 (2 local, global), local'
    """
    for period in range(1, min(len(kinds) // 2, 24) + 1):
        whole = len(kinds) // period
        head, tail = kinds[:period], kinds[whole * period :]
        if list(kinds[: whole * period]) == list(head) * whole and list(tail) == list(head[: len(tail)]):
            if len(set(head)) == 1:
                break
            text = f"{whole} ({_runs(head)})"
            return f"{text}, {_runs(tail)}" if tail else text
    return _runs(kinds)


def _runs(kinds: Sequence[str]) -> str:
    from itertools import groupby

    return ", ".join(_shown(len(list(run)), kind) for kind, run in groupby(kinds))
