"""`[tool.paramcalc]` of a project's pyproject.toml: defaults for those who work in it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from paramcalc.words.errors import InputError, Problem, UsageError
from paramcalc.words.nearest import did_you_mean

FORMATS = ("table", "json", "csv", "markdown")
_TABLE = re.compile(r"^\s*\[\s*tool\s*\.\s*[\"']?paramcalc[\"']?\s*\]", re.MULTILINE)


class Project(NamedTuple):
    """What a project sets; None where it sets nothing."""

    format: str | None = None
    """How answers are written."""
    budget: Sequence[str] = ()
    """Budget files that `check` checks when it is told none, as paths from the working folder."""
    baseline: str | None = None
    """The lock file, as a path from the working folder."""
    max_growth: str | None = None
    """A limit on growth for entries that set none."""


def project() -> Project:
    """The defaults of the project that the working folder lies in: the nearest pyproject.toml that sets any.

    Raises InputError with every problem, each as `file:line: key`.
    """
    return _project(os.getcwd())  # noqa: PTH109 - Path.cwd is no cheaper, and this runs at every start


@cache
def _project(folder: str) -> Project:
    start = Path(folder)
    for where in (start, *start.parents):
        path = where / "pyproject.toml"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        if _TABLE.search(text):
            return _read(text, os.path.relpath(path, start), Path(os.path.relpath(where, start)))
    return Project()


def _read(text: str, name: str, folder: Path) -> Project:
    import tomllib

    try:
        table = tomllib.loads(text)["tool"]["paramcalc"]
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"is not TOML: {error}"[:200], place=name) from error
    problems: list[Problem] = []

    def fail(key: str, message: str, hint: str = "") -> None:
        line = _line(text, key)
        problems.append(Problem(message, f"{name}:{line}: tool.paramcalc.{key}" if line else f"{name}: tool.paramcalc.{key}", hint))

    values: dict[str, Any] = {}
    for key, value in table.items():
        field = key.replace("-", "_")
        if field not in Project._fields:
            fail(key, "unknown key", did_you_mean(field, Project._fields) or f"keys: {', '.join(Project._fields)}")
        elif field == "budget" and isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            values[field] = value
        elif not isinstance(value, str) or not value:
            fail(key, f"expected a text, got {value!r:.60}")
        elif field == "format" and value not in FORMATS:
            fail(key, f"expected one of {', '.join(FORMATS)}, got {value!r:.60}", did_you_mean(value, FORMATS))
        elif field == "max_growth" and not _is_share(value):
            fail(key, f"expected a share with its unit, as in 1%, got {value!r:.60}")
        else:
            values[field] = [value] if field == "budget" else value
    if problems:
        raise InputError(problems)
    if "budget" in values:
        values["budget"] = [os.fspath(folder / item) for item in values["budget"]]
    if "baseline" in values:
        values["baseline"] = os.fspath(folder / values["baseline"])
    return Project(**values)


def _is_share(text: str) -> bool:
    from paramcalc.words.units import parse_share

    try:
        parse_share(text)
    except UsageError:
        return False
    return True


def _line(text: str, key: str) -> int:
    """The line of a key in the table; 0 where it is not found as a plain line."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            inside = bool(_TABLE.match(line))
        elif inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return 0
