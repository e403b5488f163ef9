"""From a result to the screen: load each input, render all, report what failed, set the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from paramcalc.face.cli.options import Format
from paramcalc.words.errors import ParamcalcError, UsageError

if TYPE_CHECKING:
    from paramcalc.face.render.view import View


class Answer(NamedTuple):
    """One input's answer in both forms; only the one that is asked for is made."""

    data: Callable[[], dict[str, Any]]
    view: Callable[[], View]
    warnings: Sequence[str] = ()
    verdict: int = 0
    """1 for a "no"."""


def respond(schema: str, inputs: Sequence[str], ask: Callable[[str], Answer], form: Format, output: Path | None) -> None:
    """Ask each input in turn and write all answers; a failing input carries `error` in its place."""
    code = 0
    data: list[dict[str, Any]] = []
    views: list[View] = []
    remarks: list[str] = []
    for name in inputs:
        try:
            answer = ask(name)
            if form is Format.json:
                data.append(answer.data())
            else:
                views.append(answer.view())
                remarks += [f"warning: {name + ': ' if len(inputs) > 1 else ''}{warning}" for warning in answer.warnings]
            code = code or answer.verdict
        except ParamcalcError as error:
            data.append(failure(schema, name, error))
            remarks += complaints(error)
            code = code or error.exit_code
    if form is Format.json:
        from paramcalc.face.render.plain import json_text

        write(json_text(data, several=len(inputs) > 1), output)
    elif views:
        write(views_text(views, form), output)
    for remark in remarks:
        note(remark)
    if code:
        raise typer.Exit(code)


def views_text(views: list[View], form: Format) -> str:
    """Views in a format for people, or CSV."""
    if form is Format.csv:
        from paramcalc.face.render.plain import csv_text

        return csv_text(views)
    if form is Format.markdown:
        from paramcalc.face.render.plain import markdown_text

        return markdown_text(views)
    from paramcalc.face.render.terminal import terminal_text, width_of_output

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return terminal_text(views, colour=colour, width=width_of_output())


def failure(schema: str, name: str, error: ParamcalcError) -> dict[str, Any]:
    """What stands in JSON in the place of an answer that failed."""
    problems = [problem._asdict() for problem in error.problems]
    return {
        "schema": f"paramcalc/{schema}/1",
        "model": {"name": None, "source": name, "model_type": None},
        "error": {"exit_code": error.exit_code, "kind": type(error).__name__, "message": str(error), "problems": problems},
        "warnings": [],
    }


def complaints(error: ParamcalcError) -> list[str]:
    """Every problem of a refusal, as stderr shows it."""
    shown = [f"error: {problem}" for problem in error.problems[:50]]
    return [*shown, f"error: and {len(error.problems) - 50} more problems"] if len(error.problems) > 50 else shown


def complain(error: ParamcalcError) -> None:
    """Every problem of a refusal, to stderr."""
    for line in complaints(error):
        note(line)


def note(text: str) -> None:
    """A line to stderr, where notes and warnings go."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        _silence(sys.stderr)


def write(text: str, output: Path | None) -> None:
    """To stdout, or to a file whole or not at all."""
    if output is not None:
        _write_file(text, output)
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)  # what is left in its buffer would fail again at exit
        raise _unwritten("standard output", error) from error


def _write_file(text: str, output: Path) -> None:
    scratch = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(output)
    except (OSError, ValueError) as error:
        scratch.unlink(missing_ok=True)
        raise _unwritten(str(output), error) from error


def _unwritten(place: str, error: Exception) -> typer.Exit:
    refusal = UsageError(f"cannot be written: {getattr(error, 'strerror', None) or error}", place=place)
    complain(refusal)
    return typer.Exit(refusal.exit_code)


def _silence(stream: Any) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
