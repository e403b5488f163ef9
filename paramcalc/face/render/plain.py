"""Views as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from paramcalc.face.render.cells import RIGHT, cell
from paramcalc.face.render.view import Column, Table, View


def json_text(answers: list[dict[str, Any]], *, several: bool) -> str:
    """One document: an object for one input, an array for several, in the order given."""
    return json.dumps(answers if several else answers[0], ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def csv_text(views: list[View]) -> str:
    """The first table of each view with plain values; with several inputs the model stands in the first column.

    Left out is what only repeats a value for the eye: bars, rounded counts, and bytes in a column without a title.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    several = len(views) > 1
    header: list[str] | None = None
    for view in views:
        if not view.tables:
            continue
        table = view.tables[0]
        kept = [number for number, column in enumerate(table.columns) if not _repeats(column)]
        titles = (["model"] if several else []) + [table.columns[number].title for number in kept]
        if titles != header:
            writer.writerow(titles)
            header = titles
        for row in table.rows:
            writer.writerow(([view.headline.split(" · ")[0]] if several else []) + [_plain(row[number]) for number in kept])
    return out.getvalue()


def markdown_text(views: list[View]) -> str:
    """Headings and pipe tables, as a comment on a pull request shows them."""
    lines: list[str] = []
    for view in views:
        lines += [f"### {view.headline}", ""]
        if view.about:
            lines += [view.about, ""]
        if view.text:
            lines += ["```yaml", view.text.rstrip(), "```", ""]
        for table in view.tables:
            lines += ([f"**{table.title}**", ""] if table.title else []) + _pipes(table) + [""]
        lines += [f"- {note}" for note in view.notes] + ([""] if view.notes else [])
    return "\n".join(lines).rstrip() + "\n"


def _pipes(table: Table) -> list[str]:
    columns = [(number, column) for number, column in enumerate(table.columns) if column.holds != "bar"]
    rule = ["---:" if column.holds in RIGHT else "---" for _, column in columns]
    rows = [[cell(row[number], column.holds).replace("|", "\\|") for number, column in columns] for row in table.rows]
    return [f"| {' | '.join(cells)} |" for cells in ([column.title for _, column in columns], rule, *rows)]


def _repeats(column: Column) -> bool:
    return column.holds in ("bar", "rounded") or (column.holds in ("bytes", "short") and not column.title)


def _plain(value: Any) -> Any:
    return "" if value is None else round(value, 6) if isinstance(value, float) else value
