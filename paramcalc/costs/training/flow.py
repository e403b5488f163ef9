"""How a stream runs through the parts of a group: the grammar of `flow`, read and applied.

A step is a chain of parts. `+` adds the stream as it was when the step began; `( a | b )` hands the same input to each
alternative and adds up what they return. Without a flow the parts are applied one after another.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeVar

from paramcalc.model.parts import Group
from paramcalc.words.errors import UsageError

Stream = TypeVar("Stream")
"""What runs: a value, or none before the model has begun."""

_WORD = re.compile(r"\s*([A-Za-z_]\w*|[()|+])")


class Chain(NamedTuple):
    """Parts in a row; an item is a part's name, `+`, or alternatives."""

    items: tuple[str | tuple[Chain, ...], ...]


@cache
def parsed(step: str) -> Chain:
    """The chain of one step. Raises ValueError where it is not one."""
    words = _WORD.findall(step)
    if "".join(words) != re.sub(r"\s+", "", step):
        raise ValueError(f"cannot read the flow {step!r}")
    chain, rest = _chain(words, 0)
    if rest != len(words):
        raise ValueError(f"unexpected {words[rest]!r} in the flow {step!r}")
    return chain


def steps(group: Group) -> list[Chain]:
    """A group's flow; without one its parts, one after another. Raises UsageError for a flow that is none."""
    try:
        found = [parsed(step) for step in group.flow]
    except ValueError as error:
        raise UsageError(str(error), place="flow", hint="part names, +, and ( one | other )") from error
    unknown = set().union(*(names(step) for step in found)) - group.parts.keys()
    if unknown:
        raise UsageError(
            f"the flow names {min(unknown)!r:.60}, which is no part here", place="flow", hint=f"one of {', '.join(group.parts)}"[:200]
        )
    return found or [Chain((name,)) for name in group.parts]


def _chain(words: list[str], at: int) -> tuple[Chain, int]:
    items: list[str | tuple[Chain, ...]] = []
    while at < len(words) and words[at] not in ")|":
        if words[at] == "(":
            branches = []
            while True:
                branch, at = _chain(words, at + 1)
                branches.append(branch)
                if at >= len(words):
                    raise ValueError("a '(' in a flow is closed by ')'")
                if words[at] == ")":
                    break
            items.append(tuple(branches))
        else:
            items.append(words[at])
        at += 1
    return Chain(tuple(items)), at


def run(chain: Chain, x: Stream, apply: Callable[[str, Stream], Stream], add: Callable[[Stream, Stream], Stream]) -> Stream:
    """Apply a chain to the stream."""
    start = x
    for item in chain.items:
        if item == "+":
            x = add(start, x)
        elif isinstance(item, str):
            x = apply(item, x)
        else:
            results = [run(branch, x, apply, add) for branch in item]
            x = results[0]
            for other in results[1:]:
                x = add(x, other)
    return x


def first(chain: Chain) -> str | None:
    """The part that a chain applies first."""
    for item in chain.items:
        found = item if isinstance(item, str) else next(filter(None, map(first, item)), None)
        if found and found != "+":
            return found
    return None


def names(chain: Chain) -> set[str]:
    """The parts that a chain applies."""
    found: set[str] = set()
    for item in chain.items:
        if isinstance(item, str):
            found.add(item)
        else:
            found = found.union(*(names(branch) for branch in item))
    return found - {"+"}
