"""What changed between two models, or between a model and figures that were written down: folds over the rows of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from paramcalc.holdings.counts import Counts, Share, component_rank, layer_of
from paramcalc.model.rows import Row


class Figures(NamedTuple):
    """What is written down of a model to compare it with later: parameters by kind and by component."""

    total: int
    active: int | None
    """None where the description does not fix how many experts a token visits."""
    embeddings: int
    weights: int
    biases: int
    trainable: int
    components: Mapping[str, int]


class Change(NamedTuple):
    """A name with its figure on both sides; None where a side does not have it."""

    name: str
    before: int | None
    after: int | None

    @property
    def change(self) -> int | None:
        """How much was added; what a side does not have counts as nothing, what it does not know makes no difference known."""
        if self.before is None and self.after is None:
            return None
        return (self.after or 0) - (self.before or 0)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "before": self.before, "after": self.after, "change": self.change}


class TensorChange(NamedTuple):
    """A tensor of the reference implementation that is not the same on both sides."""

    name: str
    """With `{}` for each index."""
    before: str
    """Shapes and copies, as in `32 × [4096, 4096]`; empty where it is not there."""
    after: str
    parameters: Change

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "before_shape": self.before or None, "after_shape": self.after or None} | {
            key: value for key, value in self.parameters.to_dict().items() if key != "name"
        }


def figures_of(counts: Counts) -> Figures:
    """The figures of one model that are worth writing down."""
    components = {name: share.total for name, share in counts.by_component.items() if share.total}
    numbers = (counts.total, counts.active, counts.embeddings, counts.weights, counts.biases, counts.trainable)
    return Figures(*numbers, components=components)


def kinds(before: Figures, after: Figures) -> list[Change]:
    """Total, active, embeddings, weights, biases and trainable parameters on both sides."""
    changes = [Change(name, getattr(before, name), getattr(after, name)) for name in Figures._fields if name != "components"]
    return [change for change in changes if change.name != "active" or None not in change]


def components(before: Figures, after: Figures) -> list[Change]:
    """Every component of either side, in the order in which components are listed."""
    names = sorted({**before.components, **after.components}, key=component_rank)
    return [Change(name, before.components.get(name), after.components.get(name)) for name in names]


def grouped_changes(before: Counts, after: Counts, by: str) -> list[Change]:
    """The same by `component`, `layer` (group of equal layers) or `kind`, whether changed or not."""
    if by == "component":
        return components(figures_of(before), figures_of(after))
    first, second = (_totals(counts, by) for counts in (before, after))
    return [Change(name, first.get(name), second.get(name)) for name in {**first, **second}]


def tensor_changes(before: Counts, after: Counts) -> list[TensorChange]:
    """Tensors that were added, removed, or have other shapes, copies or ties, in the order of the model."""
    first, second = (_by_name(counts) for counts in (before, after))
    changes = []
    for name in {**second, **first}:
        old, new = first.get(name, []), second.get(name, [])
        shapes = _shapes(old), _shapes(new)
        if shapes[0] != shapes[1]:
            sums = [sum(row.total for row in rows) if rows else None for rows in (old, new)]
            changes.append(TensorChange(name, *shapes, Change(name, *sums)))
    return changes


def largest(changes: list[Change]) -> Share | None:
    """What grew the most; None where nothing grew."""
    grown = max(changes, key=lambda change: change.change or 0, default=None)
    if grown is None or (grown.change or 0) <= 0:
        return None
    return Share(grown.name, grown.change or 0, None)


def _totals(counts: Counts, by: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in counts.rows:
        name = layer_of(row) if by == "layer" else row.kind
        found[name] = found.get(name, 0) + row.total
    return found


def _by_name(counts: Counts) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in counts.rows:
        found.setdefault(row.name, []).append(row)
    return found


def _shapes(rows: list[Row]) -> str:
    """Shapes with their copies, equal ones together, whichever layers they stand in."""
    copies: dict[str, int] = {}
    for row in rows:
        shape = f"[{', '.join(str(int(size)) for size in row.shape)}]{' tied' if row.tied else ''}"
        copies[shape] = copies.get(shape, 0) + int(row.repeat)
    return ", ".join(f"{number} × {shape}" if number > 1 else shape for shape, number in sorted(copies.items()))
