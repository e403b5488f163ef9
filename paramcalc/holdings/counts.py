"""How many parameters a model has: folds over its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from paramcalc.holdings.inventory import inventory
from paramcalc.model.architecture import Architecture, Reported
from paramcalc.model.rows import BIAS, EMBEDDING, Row
from paramcalc.words.errors import UsageError

if TYPE_CHECKING:
    from paramcalc.holdings.trainable import Method

COMPONENTS = (
    "embedding", "position_embedding", "attention", "feed_forward", "experts", "shared_experts", "router", "state_space",
    "linear_attention", "recurrent", "convolution", "norm", "projection", "head", "other",
)  # fmt: skip
"""The components of a language model or of a tower, in the order in which they are listed."""

GROUPINGS = ("component", "layer", "kind", "tensor")


class Share(NamedTuple):
    """A name with the parameters that fall to it."""

    name: str
    total: int
    active: int | None


class Added(NamedTuple):
    """What an adapter method adds and trains."""

    method: str
    added: int
    """Parameters that are not in the base model."""
    trainable: int
    """Parameters that receive a gradient: the added ones, and those of the base that the method trains."""
    rows: list[Row]


class Counts(NamedTuple):
    """The parameters of one model. `embeddings + weights + biases == total`, always.

    Buffers (masks, rotary tables, statistics of batch norm) are no parameters; shared storage counts once.
    """

    architecture: Architecture
    rows: list[Row]
    """Every row that the counts were folded from."""
    total: int
    active: int | None
    """Less the routed experts that a token does not visit; None where the description does not fix them."""
    embeddings: int
    weights: int
    biases: int
    by_component: dict[str, Share]
    trainable: int
    """What a method trains; without one, all that requires a gradient."""
    adapters: Added | None = None

    @property
    def warnings(self) -> list[str]:
        """What a reader should know about these numbers."""
        found = list(self.architecture.origin.warnings)
        if self.active is None:
            found.append("active is unknown: the description does not fix how many experts compute for a token")
        return found

    def to_dict(self, by: str | None = None) -> dict[str, Any]:
        """The answer of `paramcalc count --format json`."""
        from paramcalc.holdings.conventions import conventions

        parameters: dict[str, Any] = {
            "total": self.total,
            "active": self.active,
            "embeddings": self.embeddings,
            "weights": self.weights,
            "biases": self.biases,
            "trainable": self.trainable,
        }
        if self.adapters:
            parameters["added"] = self.adapters.added
        answer: dict[str, Any] = {
            "schema": "paramcalc/count/1",
            "model": identity(self.architecture),
            "parameters": parameters,
            "components": [share._asdict() for share in self.by_component.values()],
            "conventions": conventions(self),
        }
        if by:
            answer["rows"] = [dict(row) for row in grouped(self, by)]
        return answer | {"warnings": self.warnings}


def identity(architecture: Architecture) -> dict[str, Any]:
    """The `model` of every answer: its name, where it was read from, and its model type."""
    return {"name": architecture.name, "source": architecture.origin.source, "model_type": architecture.model_type}


def reported_dict(architecture: Architecture, reported: Reported) -> dict[str, Any]:
    """The answer for a model of which only a size is reported: ranges, no split, nothing computed."""
    active = [reported.active_low, reported.active_high] if reported.active_low else None
    return {
        "schema": "paramcalc/count/1",
        "model": identity(architecture),
        "parameters": None,
        "reported": {
            "total": [reported.low, reported.high],
            "active": active,
            "by": reported.by,
            "confidence": reported.confidence,
        },
        "components": [],
        "conventions": {},
        "warnings": ["reported, not computed: its makers publish no architecture"],
    }


def count_architecture(architecture: Architecture, method: Method | None = None) -> Counts:
    """Count an architecture, with what a method of fine-tuning adds and trains.

    Raises UsageError for an architecture that is not published, and for a method that does not apply.
    """
    if architecture.reported:
        raise UsageError(f"{architecture.name} is a reported size without an architecture: there is nothing to count")
    counts = fold(architecture, inventory(architecture))
    if method is None:
        return counts
    from paramcalc.holdings.trainable import adapt

    adapted = adapt(architecture, method)
    added = Added(method.name, adapted.added_total, adapted.trainable, adapted.added)
    return counts._replace(trainable=adapted.trainable, adapters=added)


def fold(architecture: Architecture, rows: list[Row]) -> Counts:
    """Fold rows into counts."""
    kinds = {kind: share.total for kind, share in shares(rows, lambda row: row.kind).items()}
    components = shares(rows, lambda row: row.component)
    active = [row.active for row in rows]
    total = sum(row.total for row in rows)
    return Counts(
        architecture=architecture,
        rows=rows,
        total=total,
        active=None if None in active else sum(number or 0 for number in active),
        embeddings=kinds.get(EMBEDDING, 0),
        weights=sum(number for kind, number in kinds.items() if kind not in (EMBEDDING, BIAS)),
        biases=kinds.get(BIAS, 0),
        by_component=dict(sorted(components.items(), key=lambda item: component_rank(item[0]))),
        trainable=sum(row.total for row in rows if row.trainable),
    )


def shares(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, Share]:
    """Totals of the rows by a key, in the order of first appearance."""
    found: dict[str, Share] = {}
    for row in rows:
        name = key(row)
        _, total, active = found.get(name, (name, 0, 0))
        more = row.active
        found[name] = Share(name, total + row.total, None if active is None or more is None else active + more)
    return found


def grouped(counts: Counts, by: str) -> list[dict[str, Any]]:
    """The rows folded by `component`, `layer` (group of equal layers), `kind`, or not at all (`tensor`)."""
    if by == "tensor":
        return [_tensor(row) for row in counts.rows]
    if by == "component":
        return [share._asdict() for share in counts.by_component.values()]
    if by == "kind":
        return [share._asdict() for share in shares(counts.rows, lambda row: row.kind).values()]
    copies: dict[str, int] = {}
    for row in counts.rows:
        copies[layer_of(row)] = max(copies.get(layer_of(row), 1), 1 if row.experts else row.applied)
    layers = shares(counts.rows, layer_of)
    return [share._asdict() | {"layers": copies[name]} for name, share in layers.items()]


def layer_of(row: Row) -> str:
    """The group of layers that a row stands in (`layers.sparse`), or the part itself outside of any."""
    return row.part.rpartition(".")[0] or row.part


def _tensor(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "shape": [int(size) for size in row.shape],
        "repeat": int(row.repeat),
        "kind": row.kind,
        "component": row.component,
        "total": row.total,
        "tied": row.tied,
    }


def component_rank(component: str) -> tuple[str, int, str]:
    """Where a component stands in a list: the language model first, then each tower, in the order of `COMPONENTS`."""
    tower, _, name = component.rpartition(".")
    return tower, COMPONENTS.index(name) if name in COMPONENTS else len(COMPONENTS), name
