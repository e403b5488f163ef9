"""paramcalc explain"""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.options import AssumeOption, Format, FormatOption, Model, OutputOption, SetOption
from paramcalc.gate.load import load
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.explanations import explain, explanation_dict

if TYPE_CHECKING:
    from paramcalc.face.render.view import View
    from paramcalc.holdings.explanations import Explanation
    from paramcalc.model.architecture import Architecture

WIDTH = 80
"""Columns of prose, in a terminal of any width."""


def run(
    model: Model,
    term: Annotated[
        str | None, typer.Argument(metavar="[TERM]", help="A component, part, module, tensor, kv_cache or state_cache; all if left out.")
    ] = None,
    context: Annotated[int | None, typer.Option("--context", help="Tokens of a cache; the model's own context.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Sequences of a cache.")] = 1,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """The formula, the numbers put into it, the result, its source."""

    def ask(name: str) -> Answer:
        architecture = load(name, assume=assume, overrides=override or ())
        if term in ("kv_cache", "state_cache"):
            return _cache(architecture, term, context, batch_size)
        counts = count_architecture(architecture)
        return Answer(lambda: explanation_dict(counts, term), lambda: _view(counts, term), counts.warnings)

    respond("explain", [model], ask, form, output)


def _cache(architecture: Architecture, term: str, context: int | None, batch_size: int) -> Answer:
    """What a cache needs, row by row, in bytes."""
    from paramcalc.costs.inference.explained import cache_explanation_dict, explain_cache
    from paramcalc.costs.inference.job import InferenceJob

    job = InferenceJob(context=context, batch_size=batch_size)

    def view() -> View:
        from paramcalc.words.units import bytes_text

        parts = explain_cache(architecture, term, job)
        return _lines(architecture, parts, term, bytes_text(sum(part.total for part in parts)), "layers")

    return Answer(lambda: cache_explanation_dict(architecture, term, job), view, architecture.origin.warnings)


def _view(counts: Counts, term: str | None) -> View:
    from paramcalc.words.units import rounded

    parts = explain(counts, term)
    return _lines(counts.architecture, parts, term or "total", rounded(sum(part.total for part in parts)), "copies")


def _lines(architecture: Architecture, parts: list[Explanation], term: str, total: str, repeated: str) -> View:
    """Formula, numbers and result of every row, under the part that it belongs to."""
    from paramcalc.face.render.counts import about_line
    from paramcalc.face.render.view import View

    lines: list[str] = []
    for part in parts:
        lines += ["", f"{part.part} · {part.component} · {part.total:,}"]
        for line in part.lines:
            copies = f" × {line.copies:,} {repeated}" if line.copies > 1 else ""
            result = f"{line.numbers}{copies and f' × {line.copies}'} = {line.total:,}"
            lines.append(f"  {line.name}")
            for told in (f"{line.formula}{copies}", result, line.note):
                lines += wrap(told, WIDTH, initial_indent="    ", subsequent_indent="      ", break_long_words=False)
        lines += wrap(part.source.split("\n\n")[0], WIDTH, initial_indent="  ", subsequent_indent="  ")
    figure = sum(part.total for part in parts)
    return View(f"{architecture.name} · {term} · {figure:,} ({total})", (), about_line(architecture), text="\n".join(lines))
