"""The screens of `count`."""

from __future__ import annotations

from typing import Any

from paramcalc.face.render.view import Column, Table, View, share
from paramcalc.holdings.conventions import MEANINGS, conventions
from paramcalc.holdings.counts import Counts, grouped, identity
from paramcalc.model.architecture import Architecture, Reported
from paramcalc.words.units import rounded


def count_view(counts: Counts, by: str | None = None, all_conventions: bool = False) -> View:
    """The answer in the first line, then where the parameters are."""
    tables = [_grouped_table(counts, by)] if by else [_components(counts), _kinds(counts)]
    if all_conventions:
        figures = conventions(counts)
        own = counts.architecture.conventions
        rows = [[name, figure, MEANINGS[name] + (f"; its makers: {own[name]}" if name in own else "")] for name, figure in figures.items()]
        tables.append(Table([Column("convention"), Column("parameters", "count"), Column("meaning")], rows))
    return View(headline(counts), tables, about_line(counts.architecture), _notes(counts))


def headline(counts: Counts) -> str:
    """`Mixtral 8x7B · 46,702,792,704 parameters (46.7B), 12,879,925,248 active (12.9B)`"""
    text = f"{counts.architecture.name} · {counts.total:,} parameters ({rounded(counts.total)})"
    if counts.active is None:
        return f"{text}, active unknown"
    return text if counts.active == counts.total else f"{text}, {counts.active:,} active ({rounded(counts.active)})"


def about_line(architecture: Architecture) -> str:
    """Where the input came from and what it was read as."""
    known = identity(architecture)
    return " · ".join(str(word) for word in (known["source"], known["model_type"], architecture.source) if word)


def reported_view(architecture: Architecture, reported: Reported) -> View:
    """A size that was reported, as it was reported."""
    size = _range(reported.low, reported.high)
    notes = [f"reported by {reported.by}", f"how sure: {reported.confidence}", "not computed: its makers publish no architecture"]
    if reported.active_low and reported.active_high:
        notes.insert(0, f"active per token, as reported: {rounded(reported.active_low)} to {rounded(reported.active_high)}")
    return View(f"{architecture.name} · reported: {size} parameters", (), about_line(architecture), notes)


def _range(low: int, high: int | None) -> str:
    if high is None:
        return f"over {rounded(low)}"
    return f"{low:,} ({rounded(low)})" if low == high else f"{rounded(low)} to {rounded(high)}"


def _components(counts: Counts) -> Table:
    sparse = counts.active != counts.total
    columns = [Column("component"), Column("parameters", "count"), Column("", "rounded")]
    columns += [Column("active", "count")] if sparse else []
    columns += [Column("share", "share"), Column("", "bar")]
    rows: list[list[Any]] = []
    for name, total, active in counts.by_component.values():
        if total:
            part = share(total, counts.total)
            rows.append([name, total, total, *([active] if sparse else []), part, part])
    rows.append(["total", counts.total, counts.total, *([counts.active] if sparse else []), 1.0, 0.0])
    return Table(columns, rows, total=True)


def _kinds(counts: Counts) -> Table:
    rows: list[tuple[str, int]] = [("embeddings", counts.embeddings), ("weights", counts.weights), ("biases", counts.biases)]
    if counts.adapters:
        rows += [(f"added by {counts.adapters.method}", counts.adapters.added), ("trainable", counts.trainable)]
    elif counts.trainable != counts.total:
        rows.append(("trainable", counts.trainable))
    columns = [Column("kind"), Column("parameters", "count"), Column("", "rounded"), Column("share", "share")]
    return Table(columns, [[name, number, number, share(number, counts.total)] for name, number in rows])


def _grouped_table(counts: Counts, by: str) -> Table:
    rows = grouped(counts, by)
    if by == "tensor":
        columns = [Column("tensor"), Column("shape"), Column("copies", "count"), Column("kind"), Column("parameters", "count")]
        cells = [
            [row["name"], " × ".join(map(str, row["shape"])) or "1", row["repeat"], "tied" if row["tied"] else row["kind"], row["total"]]
            for row in rows
        ]
        return Table(columns, [*cells, ["total", "", None, "", counts.total]], total=True)
    columns = [
        Column(by),
        *([Column("layers", "count")] if by == "layer" else []),
        Column("parameters", "count"),
        Column("active", "count"),
    ]
    columns += [Column("share", "share"), Column("", "bar")]
    cells = []
    for row in rows:
        part = share(row["total"], counts.total)
        cells.append([row["name"], *([row["layers"]] if by == "layer" else []), row["total"], row["active"], part, part])
    total = ["total", *([None] if by == "layer" else []), counts.total, counts.active, 1.0, 0.0]
    return Table(columns, [*cells, total], total=True)


def _notes(counts: Counts) -> list[str]:
    ties = [f"{row.name} uses the table of {row.tied}, which is counted once" for row in counts.rows if row.tied]
    return ties[:4]
