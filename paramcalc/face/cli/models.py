"""paramcalc models"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paramcalc.face.cli.answer import Answer, respond, write
from paramcalc.face.cli.options import Format, FormatOption, OutputOption
from paramcalc.gate.load import bundled_folder, bundled_names, load
from paramcalc.words.errors import SourceError
from paramcalc.words.nearest import did_you_mean

if TYPE_CHECKING:
    from paramcalc.face.render.view import View


def run(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Print this one's spec.")] = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """The bundled architectures with their totals; with a name, its spec, ready to copy."""
    if name is None:
        respond("models", ["models"], lambda _: _catalogue(), form, output)
    else:
        respond("models", [name], lambda wanted: _spec(wanted), form, output) if form is not Format.table else _print(name, output)


def _print(name: str, output: Any) -> None:
    from paramcalc.face.cli.answer import complain

    try:
        write(_text(name), output)
    except SourceError as error:
        complain(error)
        raise typer.Exit(error.exit_code) from error


def _text(name: str) -> str:
    path = bundled_folder() / f"{name.removesuffix('.yaml')}.yaml"
    if name.removesuffix(".yaml") not in bundled_names():
        raise SourceError("no bundled architecture of that name", place=name[:80], hint=did_you_mean(name, bundled_names()))
    return path.read_text(encoding="utf-8")


def _spec(name: str) -> Answer:
    from paramcalc.face.render.view import View

    text = _text(name)
    data = {"schema": "paramcalc/models/1", "name": name.removesuffix(".yaml"), "spec": text, "warnings": []}
    return Answer(lambda: data, lambda: View(name, text=text))


def _catalogue() -> Answer:
    rows = [_row(name) for name in bundled_names()]
    return Answer(lambda: {"schema": "paramcalc/models/1", "models": rows, "warnings": []}, lambda: _view(rows))


def _row(name: str) -> dict[str, Any]:
    from paramcalc.holdings.counts import count_architecture

    model = load(str(bundled_folder() / f"{name}.yaml"))
    row: dict[str, Any] = {
        "name": name,
        "title": model.name,
        "model_type": model.model_type,
        "total": None,
        "active": None,
        "reported": None,
    }
    if model.reported:
        return row | {"reported": [model.reported.low, model.reported.high], "source": model.source}
    counts = count_architecture(model)
    return row | {"total": counts.total, "active": counts.active, "source": model.source}


def _view(rows: list[dict[str, Any]]) -> View:
    from paramcalc.face.render.view import Column, Table, View

    cells = [
        [row["name"], row["title"], row["total"], row["total"], row["active"] if row["active"] != row["total"] else None] for row in rows
    ]
    columns = [Column("name"), Column("model"), Column("parameters", "count"), Column("", "rounded"), Column("active", "count")]
    return View(
        f"{len(rows)} bundled architectures",
        [Table(columns, cells)],
        notes=["a dash in place of a total: only a size is reported; `paramcalc count NAME` says by whom"],
    )
