"""The screens and the JSON of `diff`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from paramcalc.costs.weight_changes import byte_changes
from paramcalc.face.render.view import Column, Table, View
from paramcalc.holdings.counts import Counts, identity
from paramcalc.holdings.differences import Change, Figures, components, figures_of, grouped_changes, kinds, tensor_changes
from paramcalc.words.units import rounded


class Difference(NamedTuple):
    """Two models side by side, what to fold their difference by, and how much growth is allowed."""

    before: Counts
    after: Counts
    by: str
    limit: Fraction | None

    @property
    def allowed(self) -> int | None:
        """Parameters that the model may have; None without a limit."""
        return None if self.limit is None else self.before.total + int(self.before.total * self.limit)

    @property
    def breached(self) -> bool:
        return self.allowed is not None and self.after.total > self.allowed

    @property
    def sides(self) -> tuple[Figures, Figures]:
        return figures_of(self.before), figures_of(self.after)


def diff_view(difference: Difference) -> View:
    """The change in the first line, then what changed, then what that is in bytes."""
    before, after = difference.before, difference.after
    about = " → ".join(str(identity(side.architecture)["source"]) for side in (before, after))
    if before.rows == after.rows:
        return View(headline(difference), (), about, _notes(difference))
    tables = [*_by(difference), _table("parameters", "count", kinds(*difference.sides))]
    tables.append(_table("weights in", "bytes", byte_changes(before.architecture, after.architecture)))
    return View(headline(difference), tables, about, _notes(difference))


def headline(difference: Difference) -> str:
    """`Tiny → Small · +1,048,576 parameters (+1.05M, +2.1%)`"""
    before, after = difference.before, difference.after
    names = [side.architecture.name for side in (before, after)]
    name = names[0] if names[0] == names[1] else " → ".join(names)
    change = after.total - before.total
    if not change:
        same = "nothing changed" if before.rows == after.rows else "as many parameters as before"
        return f"{name} · {same}: {after.total:,} ({rounded(after.total)})"
    sign = "+" if change > 0 else "-"
    share = f", {change / before.total:+.2%}" if before.total else ""
    return f"{name} · {change:+,} parameters ({sign}{rounded(abs(change))}{share})"


def diff_dict(difference: Difference, warnings: Sequence[str]) -> dict[str, Any]:
    """The answer of `paramcalc diff --format json`."""
    before, after = difference.before, difference.after
    answer: dict[str, Any] = {
        "schema": "paramcalc/diff/1",
        "before": identity(before.architecture),
        "after": identity(after.architecture),
        "parameters": {change.name: _sides(change) for change in kinds(*difference.sides)},
        "components": [change.to_dict() for change in components(*difference.sides)],
        "bytes": {change.name: _sides(change) for change in byte_changes(before.architecture, after.architecture)},
    }
    if difference.by == "tensor":
        answer["rows"] = [change.to_dict() for change in tensor_changes(before, after)]
    else:
        answer["rows"] = [change.to_dict() for change in grouped_changes(before, after, difference.by)]
    if difference.allowed is not None:
        excess = after.total - difference.allowed
        answer["growth"] = {"limit": difference.allowed, "value": after.total, "excess": excess, "breached": difference.breached}
    return answer | {"warnings": list(warnings)}


def _by(difference: Difference) -> list[Table]:
    before, after = difference.before, difference.after
    if difference.by != "tensor":
        return [_table(difference.by, "count", grouped_changes(before, after, difference.by), total=True)]
    columns = [Column("tensor"), Column("before"), Column("after"), Column("change", "change")]
    changes = tensor_changes(before, after)
    rows: list[list[Any]] = [[each.name, each.before or "–", each.after or "–", each.parameters.change] for each in changes]
    return [Table(columns, [*rows, ["total", "", "", after.total - before.total]], total=True)] if rows else []


def _table(title: str, holds: str, changes: Sequence[Change], *, total: bool = False) -> Table:
    columns = [Column(title), Column("before", holds), Column("after", holds), Column("change", "change" if holds == "count" else "bytes")]
    rows: list[list[Any]] = [[each.name, each.before, each.after, each.change] for each in changes]
    if total:
        sums = [sum(getattr(each, side) or 0 for each in changes) for side in ("before", "after")]
        rows.append(["total", *sums, sums[1] - sums[0]])
    return Table(columns, rows, total=total)


def _notes(difference: Difference) -> list[str]:
    if difference.allowed is None or difference.limit is None:
        return []
    allowed = f"{float(difference.limit * 100):g}% growth allows {difference.allowed:,} parameters"
    excess = difference.after.total - difference.allowed
    return [f"{allowed}: {excess:,} too many" if excess > 0 else f"{allowed}: {-excess:,} left"]


def _sides(change: Change) -> dict[str, int | None]:
    return {"before": change.before, "after": change.after, "change": change.change}
