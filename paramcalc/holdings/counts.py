"""How many parameters a model has: folds over its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from paramcalc.holdings.inventory import inventory
from paramcalc.model.architecture import Architecture
from paramcalc.model.rows import BIAS, EMBEDDING, Row

COMPONENTS = (
    "embedding", "position_embedding", "attention", "feed_forward", "experts", "shared_experts", "router", "state_space",
    "linear_attention", "recurrent", "convolution", "norm", "projection", "head", "other",
)  # fmt: skip
"""The components of a language model or of a tower, in the order in which they are listed."""


class Share(NamedTuple):
    """A name with the parameters that fall to it."""

    name: str
    total: int
    active: int | None


class Counts(NamedTuple):
    """The parameters of one model. `embeddings + weights + biases == total`, always."""

    total: int
    active: int | None
    """Less the routed experts that a token does not visit; None where the description does not fix them."""
    embeddings: int
    weights: int
    biases: int
    by_component: dict[str, Share]
    rows: list[Row]
    """Every row the counts were folded from."""


def count_rows(rows: list[Row]) -> Counts:
    """Fold rows into counts."""
    kinds = shares(rows, lambda row: row.kind)
    components = shares(rows, lambda row: row.component)
    active = [row.active for row in rows]
    return Counts(
        total=sum(row.total for row in rows),
        active=None if None in active else sum(number or 0 for number in active),
        embeddings=kinds[EMBEDDING].total if EMBEDDING in kinds else 0,
        weights=sum(share.total for kind, share in kinds.items() if kind not in (EMBEDDING, BIAS)),
        biases=kinds[BIAS].total if BIAS in kinds else 0,
        by_component=dict(sorted(components.items(), key=_component_rank)),
        rows=rows,
    )


def count_architecture(architecture: Architecture) -> Counts:
    """Count an architecture whose parts are known."""
    return count_rows(inventory(architecture))


def shares(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, Share]:
    """Totals of the rows by a key, in the order of first appearance."""
    found: dict[str, Share] = {}
    for row in rows:
        name = key(row)
        _, total, active = found.get(name, (name, 0, 0))
        more = row.active
        found[name] = Share(name, total + row.total, None if active is None or more is None else active + more)
    return found


def _component_rank(item: tuple[str, Share]) -> tuple[str, int, str]:
    tower, _, name = item[0].rpartition(".")
    return tower, COMPONENTS.index(name) if name in COMPONENTS else len(COMPONENTS), name
