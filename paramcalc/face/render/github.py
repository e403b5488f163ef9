"""What GitHub shows of a check: annotations on the lines of a pull request, and a summary of the run."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from paramcalc.face.render.check import check_views, line
from paramcalc.face.render.plain import markdown_text
from paramcalc.gate.budget_check import Checked, Report
from paramcalc.words.errors import ParamcalcError, UsageError

SUMMARY_BYTES = 1_000_000
"""GitHub refuses a step's summary above 1 MiB (docs.github.com, workflow commands, "Adding a job summary")."""
_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+)(: (?P<key>.*))?\Z", re.DOTALL)


def annotation_lines(reports: Sequence[Report]) -> str:
    """Workflow commands: an error on the model's file for each breach, on the place of each problem for what is wrong."""
    lines = [each for report in reports for each in _annotations(report)]
    return "".join(f"{each}\n" for each in lines)


def guarded(text: str) -> str:
    """Text for a log in which no line can be a workflow command, whatever names and reasons say."""
    token = secrets.token_hex(16)
    return f"::stop-commands::{token}\n{text}::{token}::\n"


def summary(reports: Sequence[Report]) -> str:
    """The Markdown of a step's summary: all limits, each breach, and what could not be checked."""
    text = "\n".join(markdown_text(check_views(report, errors=True)) for report in reports)
    data = text.encode(errors="replace")
    if len(data) <= SUMMARY_BYTES:
        return text
    return data[:SUMMARY_BYTES].decode(errors="ignore").rpartition("\n")[0] + "\n\n(cut off: the summary is longer than GitHub shows)\n"


def write_summary(reports: Sequence[Report]) -> None:
    """Append the summary to the file that GitHub names, where it names one. Raises UsageError where it cannot be written."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        try:
            with Path(path).open("a", encoding="utf-8", errors="replace") as file:
                file.write(summary(reports))
        except OSError as error:
            raise UsageError(f"cannot be written: {error.strerror or error}", place="GITHUB_STEP_SUMMARY") from error


def _annotations(report: Report) -> Iterator[str]:
    if report.error:
        yield from _refused(report.error, report.name, "the budget cannot be read")
    for model in report.models:
        if model.error:
            yield from _refused(model.error, model.file or report.name, f"{model.model} cannot be checked")
        for verdict, place in zip(model.verdicts, model.places, strict=True):
            if verdict.breached:
                yield _command(*_where(model, place), f"{model.model} is over {verdict.name}", _message(model, verdict.sentence(), place))


def _where(model: Checked, place: str) -> tuple[str, int]:
    """The model's own file, which the pull request changes; the line of the limit where the model is no file here."""
    return (model.file, 1) if model.file else split_place(place)


def _message(model: Checked, sentence: str, place: str) -> str:
    about = [sentence, model.limits.reason and f"why: {line(model.limits.reason)}"]
    about += [model.limits.owner and f"owner: {line(model.limits.owner)}", place and f"limit: {place}"]
    return "\n".join(filter(None, about))


def _refused(error: ParamcalcError, name: str, title: str) -> Iterator[str]:
    for problem in error.problems:
        file, number = split_place(problem.place)
        message = f"{problem.message}\nhint: {problem.hint}" if problem.hint else problem.message
        yield _command(file or name, number or 1, title, message)


def split_place(place: str) -> tuple[str, int]:
    """The file and line of `file:line: key`; nothing and 0 where there is no line."""
    match = _PLACE.match(place)
    return (match["file"], int(match["line"])) if match else ("", 0)


def from_root(file: str) -> str:
    """A path as the repository calls it: from GITHUB_WORKSPACE where that is set, else from the working folder."""
    root = os.environ.get("GITHUB_WORKSPACE") or "."
    return Path(os.path.relpath(file, root)).as_posix()


def _command(file: str, number: int, title: str, message: str) -> str:
    where = f"file={_property(from_root(file))},line={max(number, 1)}," if file else ""
    return f"::error {where}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
