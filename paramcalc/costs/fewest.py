"""The smallest number of cards that some layout fits.

With everything but the number of replicas held, a card never holds more when there are more replicas: states are shared
among more, or sequences are. So each way to divide one copy is asked once whether it could beat the best so far, and its
number of replicas is found by halving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import gcd, lcm
from typing import NamedTuple

from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.layouts import NODE, Divisible, Layout, divisors

MAX_CARDS = 65_536
"""No search goes beyond this."""


class Bounds(NamedTuple):
    """What numbers of cards and of replicas may be."""

    start: int = 1
    limit: int = MAX_CARDS
    node: int = NODE
    replicas: tuple[int, ...] | None = None
    """Those that divide what is trained in a step; None for any."""


class _Numbers(NamedTuple):
    """Numbers of replicas, ascending."""

    within: list[int]
    beyond: range

    @property
    def size(self) -> int:
        return len(self.within) + len(self.beyond)

    def at(self, index: int) -> int:
        return self.within[index] if index < len(self.within) else self.beyond[index - len(self.within)]


def fewest(able: Divisible, fits: Callable[[Layout], bool], fixed: Mapping[str, int], bounds: Bounds = Bounds()) -> int | None:
    """The smallest number of cards from `start` on: any number within a node, whole nodes beyond. None where no number will do."""
    best = bounds.limit + 1
    for copy in sorted(_copies(able, fixed, bounds.node), key=lambda layout: (_cards(layout, able), layout.zero == 0, -layout.zero)):
        each = _cards(copy, able)
        if each >= best:
            break
        numbers = _replicas(able, copy, fixed, bounds._replace(limit=best - 1))
        if numbers.size and fits(copy._replace(dp=numbers.at(numbers.size - 1))):
            best = each * _first(numbers, copy, fits)
    return best if best <= bounds.limit else None


def _copies(able: Divisible, fixed: Mapping[str, int], node: int) -> Iterator[Layout]:
    """Every way to divide one copy of the model, and what replicas of it share."""
    ways = [tp for tp in range(1, node + 1) if able.tensor(tp)] if "tp" not in fixed else [fixed["tp"]]
    stages = divisors(max(1, able.layers)) if "pp" not in fixed else [fixed["pp"]]
    experts = divisors(gcd(*able.experts) if able.experts else 1) if "ep" not in fixed else [fixed["ep"]]
    for tp in ways:
        for pp in stages:
            if not able.training:
                yield from (Layout(tp=tp, pp=pp, ep=ep) for ep in experts if ep in (1, tp) or ep % tp == 0 or "ep" in fixed)
                continue
            for cp in divisors(max(1, able.tokens // 2)) if "cp" not in fixed else [fixed["cp"]]:
                if "cp" in fixed or able.context(cp):
                    for ep in experts:
                        yield from _with_sharing(Layout(tp=tp, pp=pp, cp=cp, ep=ep), fixed)


def _with_sharing(layout: Layout, fixed: Mapping[str, int]) -> Iterator[Layout]:
    if "zero" in fixed:
        yield layout._replace(zero=fixed["zero"])
        return
    yield from (layout._replace(zero=zero) for zero in range(4) if not (zero == 2 and layout.pp > 1))


def _cards(copy: Layout, able: Divisible) -> int:
    """Cards of one replica."""
    return copy.pp * copy.cp * (copy.tp if able.training else max(copy.tp, copy.ep))


def _replicas(able: Divisible, copy: Layout, fixed: Mapping[str, int], bounds: Bounds) -> _Numbers:
    """Numbers of replicas with which the number of cards is one that may be."""
    each, node = _cards(copy, able), bounds.node
    step = copy.ep // gcd(copy.ep, copy.tp) if able.training else 1
    least = max(-(-bounds.start // each), 2 if copy.zero and able.training else 1)
    most = bounds.limit // each
    if isinstance(able.job, InferenceJob):
        most = min(most, able.job.batch_size)
    chosen = (fixed["dp"],) if "dp" in fixed else bounds.replicas
    if chosen is not None:
        return _Numbers([dp for dp in chosen if least <= dp <= most and dp % step == 0 and _whole(each * dp, node)], range(0))
    within = [dp for dp in range(least, min(most, node // each) + 1) if dp % step == 0]
    step = lcm(step, node // gcd(node, each))
    first = max(least, node // each + 1)
    return _Numbers(within, range(-(-first // step) * step, most + 1, step))


def _whole(cards: int, node: int) -> bool:
    return cards <= node or cards % node == 0


def _first(numbers: _Numbers, copy: Layout, fits: Callable[[Layout], bool]) -> int:
    """The first number that fits, where the last one does."""
    low, high = -1, numbers.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(copy._replace(dp=numbers.at(middle))) else (middle, high)
    return numbers.at(high)
