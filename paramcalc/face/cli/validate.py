"""paramcalc validate"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.options import AssumeOption, Format, FormatOption, Models, OutputOption, SetOption, StrictOption
from paramcalc.gate.load import load
from paramcalc.holdings.counts import identity
from paramcalc.model.architecture import Architecture

if TYPE_CHECKING:
    from paramcalc.face.render.view import View


def run(
    models: Models,
    full: Annotated[bool, typer.Option("--full", help="Print the full form, the tree of parts, which counts the same.")] = False,
    strict: StrictOption = False,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Whether a spec is right, in canonical form, with every default that was taken."""

    def ask(name: str) -> Answer:
        model = load(name, strict=strict, assume=assume, overrides=override or ())
        return Answer(lambda: _data(model), lambda: _view(model, full), model.origin.warnings)

    respond("validate", models, ask, form, output)


def _data(model: Architecture) -> dict[str, Any]:
    return {
        "schema": "paramcalc/validate/1",
        "model": identity(model),
        "form": model.origin.form,
        "given": model.origin.given,
        "defaults": dict(model.origin.defaults),
        "full": model.document,
        "warnings": list(model.origin.warnings),
    }


def _view(model: Architecture, full: bool) -> View:
    from paramcalc.face.render.view import Column, Table, View
    from paramcalc.gate.spec_text import full_text

    if full:
        return View("", text=full_text(model.document))
    given = [[key, _shown(value), "given"] for key, value in model.origin.given.items()]
    taken = [[key, _shown(value), f"default of {model.model_type}"] for key, value in model.origin.defaults]
    tables = [Table([Column("key"), Column("value"), Column("from")], [*given, *taken])] if given or taken else []
    return View(f"{model.name} · valid ({model.origin.form} form)", tables, model.origin.source)


def _shown(value: object) -> str:
    text = "true" if value is True else "false" if value is False else "null" if value is None else str(value)
    return text if len(text) <= 48 else f"{text[:45]}..."
