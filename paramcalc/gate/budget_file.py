"""Budget files: read with the place of everything that is wrong, their globs opened up."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from paramcalc.costs.budgets import BudgetFile, Limits, problems_of
from paramcalc.gate.documents import Document, read_document
from paramcalc.words.errors import InputError, Problem
from paramcalc.words.nearest import did_you_mean

DEFAULT = "budget.yaml"
"""The budget file of a project that names none."""
MAX_MATCHES = 10_000
"""Files that one glob may match; more is a mistake, such as `/**`."""
_GLOB = re.compile(r"[*?\[]")


class Asked(NamedTuple):
    """One model that a budget is about."""

    model: str
    """A path from the working folder, a bundled name, or a hub id."""
    limits: Limits
    key: str = ""
    """Its entry's dotted path in the budget file: `budgets.3`."""


class Asking(NamedTuple):
    """Everything a budget file asks for."""

    document: Document
    folder: Path
    models: list[Asked]
    missing: list[Problem]
    """Globs that match nothing."""


def is_budget(path: str) -> bool:
    """Whether a file is a budget rather than a model: a readable document with `budgets` at its top."""
    if not Path(path).is_file() or not path.endswith((".yaml", ".yml", ".json")):
        return False
    try:
        return "budgets" in read_document(Path(path), path).value
    except InputError:
        return False


def read_budget(path: Path) -> Asking:
    """Read a budget file. Raises InputError with every problem, each as `file:line: key`; SourceError where there is none."""
    document = read_document(path)
    if not did_you_mean("budgets", document.value):
        raise InputError("is no budget: it has no `budgets`", place=document.path, hint="a model needs limits beside it: --max-params 7B")
    try:
        budget = BudgetFile.model_validate(document.value)
    except ValidationError as error:
        problems = sorted(problems_of(error, BudgetFile.model_fields), key=lambda problem: document.line(problem.place))
        raise InputError([problem._replace(place=document.place(problem.place)) for problem in problems]) from error
    asked: list[Asked] = []
    missing: list[Problem] = []
    for number, entry in enumerate(budget.budgets):
        key = f"budgets.{number}"
        found = list(_models(entry.model, path.parent, document.place(f"{key}.model")))
        if not found:
            missing.append(Problem("no file matches this pattern", document.place(f"{key}.model"), f"it is looked for in {path.parent}"))
        asked += [Asked(model, entry.over(budget.defaults), key) for model in found]
    return Asking(document, path.parent, asked, missing)


def _models(text: str, folder: Path, place: str) -> Iterator[str]:
    """The models of one entry: files from the budget's folder, else the name as it stands."""
    if "\0" in text or not text.strip():
        raise InputError(f"expected a model, got {text!r:.60}", place=place)
    path = folder / text
    if path.exists() or not _GLOB.search(text):
        yield os.fspath(path) if path.exists() else text
        return
    top, pattern = (Path(path.anchor), os.path.relpath(path, path.anchor)) if path.is_absolute() else (folder, text)
    try:
        found = sorted(match for match in islice(top.glob(pattern), MAX_MATCHES + 1) if match.is_file())
    except (ValueError, NotImplementedError, OSError) as error:
        raise InputError(f"is no pattern: {error}"[:160], place=place) from error
    if len(found) > MAX_MATCHES:
        raise InputError(f"matches more than {MAX_MATCHES:,} files", place=place, hint="narrow the pattern")
    yield from map(os.fspath, found)
