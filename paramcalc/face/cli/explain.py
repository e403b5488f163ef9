"""paramcalc explain"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.options import AssumeOption, Format, FormatOption, Model, OutputOption, SetOption
from paramcalc.gate.load import load
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.explanations import explain, explanation_dict

if TYPE_CHECKING:
    from paramcalc.face.render.view import View


def run(
    model: Model,
    term: Annotated[str | None, typer.Argument(metavar="[TERM]", help="A component, part, module or tensor; all if left out.")] = None,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """The formula, the numbers put into it, the result, its source."""

    def ask(name: str) -> Answer:
        counts = count_architecture(load(name, assume=assume, overrides=override or ()))
        return Answer(lambda: explanation_dict(counts, term), lambda: _view(counts, term), counts.warnings)

    respond("explain", [model], ask, form, output)


def _view(counts: Counts, term: str | None) -> View:
    from paramcalc.face.render.counts import about_line
    from paramcalc.face.render.view import View
    from paramcalc.words.units import rounded

    parts = explain(counts, term)
    total = sum(part.total for part in parts)
    lines: list[str] = []
    for part in parts:
        lines += ["", f"{part.part} · {part.component} · {part.total:,}"]
        for line in part.lines:
            copies = f" × {line.copies:,} copies" if line.copies > 1 else ""
            lines += [
                f"  {line.name}",
                f"    {line.formula}{copies}",
                f"    {line.numbers}{copies and f' × {line.copies}'} = {line.total:,}",
            ]
            lines += [f"    {line.note}"] if line.note else []
        lines += [f"  {text}".rstrip() for text in part.source.split("\n\n")[0].splitlines()]
    return View(
        f"{counts.architecture.name} · {term or 'total'} · {total:,} ({rounded(total)})",
        (),
        about_line(counts.architecture),
        text="\n".join(lines),
    )
