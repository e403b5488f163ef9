"""Views as text for a terminal or a pipe, through rich."""

from __future__ import annotations

import io
import os
import shutil
import sys

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from paramcalc.face.render.cells import RIGHT, cell
from paramcalc.face.render.view import Table, View

NARROW = 64
"""Below this width bars are left out."""


def width_of_output() -> int:
    """80 columns, or the terminal's own width where there is one."""
    if sys.stdout.isatty():
        return max(24, min(shutil.get_terminal_size().columns, 140))
    columns = os.environ.get("COLUMNS", "")
    return max(24, min(int(columns), 400)) if columns.isdigit() else 80


def terminal_text(views: list[View], *, colour: bool, width: int) -> str:
    """All views, one after another. No control codes unless `colour`."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    for number, view in enumerate(views):
        if number:
            console.print()
        _print(console, view, width)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _print(console: Console, view: View, width: int) -> None:
    if view.headline:
        console.print(Text(view.headline, style="bold"))
    if view.about:
        console.print(Text(view.about, style="dim"))
    if view.text:
        console.print(Text(view.text), soft_wrap=True)
    for table in view.tables:
        console.print()
        if table.title:
            console.print(Text(table.title, style="bold"))
        console.print(_table(table, width))
    if view.notes:
        console.print()
    for note in view.notes:
        console.print(Text(f"· {note}", style="dim"))


def _table(table: Table, width: int) -> RichTable:
    shown = [number for number, column in enumerate(table.columns) if width >= NARROW or column.holds != "bar"]
    rich_table = RichTable(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
    for number in shown:
        column = table.columns[number]
        figure = column.holds in RIGHT
        rich_table.add_column(
            column.title,
            justify="right" if figure else "left",
            no_wrap=figure or column.holds == "bar",
            overflow="fold",
            style="cyan" if column.holds == "bar" else "",
        )
    for place, row in enumerate(table.rows):
        last = table.total and place == len(table.rows) - 1
        cells = [cell(row[number], table.columns[number].holds) for number in shown]
        rich_table.add_row(*cells, style="bold" if last else "")
    return rich_table
