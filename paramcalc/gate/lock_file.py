"""`paramcalc.lock`: what models held when somebody last accepted it, as text that reads well in a review."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paramcalc.gate.documents import Document, parse_json, parse_yaml, read_text
from paramcalc.holdings.differences import Figures
from paramcalc.words.errors import InputError, Problem

NAME = "paramcalc.lock"
SCHEMA = "paramcalc/lock/1"
UPDATE = "`paramcalc check --update` writes it"
_HEADER = """\
# Parameters of the models that `paramcalc check` watches, as they were last accepted.
# Written by `paramcalc check --update`; a limit on growth is measured from here.
"""
_PLAIN = re.compile(r"[A-Za-z.][\w./-]*\Z", re.ASCII)
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_NUMBERS = tuple(name for name in Figures._fields if name != "components")


class Lock:
    """A lock file that was read."""

    def __init__(self, path: Path, models: Mapping[str, Figures]) -> None:
        self.name, self.path, self.models = os.fspath(path), path, models

    def figures(self, model: str) -> Figures:
        """What a model held. Raises InputError where the lock file does not have it."""
        key = key_of(model, self.path.parent)
        if key not in self.models:
            raise InputError(f"has no {key!r:.120} to measure growth from", place=self.name, hint=UPDATE)
        return self.models[key]


def key_of(model: str, folder: Path) -> str:
    """How a lock file in a folder calls a model: its path from there, with / between folders; a name or hub id as it is."""
    if not os.path.exists(model):  # noqa: PTH110 - a hub id is no path
        return model
    try:
        return Path(os.path.relpath(model, folder)).as_posix()
    except ValueError:  # on another drive
        return Path(model).resolve().as_posix()


def lock_text(models: Mapping[str, Figures]) -> str:
    """The text of a lock file: sorted, one figure a line, the same for the same figures."""
    lines = [_HEADER + f"schema: {SCHEMA}", "models:" if models else "models: {}"]
    for key in sorted(models):
        figures = models[key]
        lines.append(f"  {_quoted(key)}:")
        lines += [f"    {name}: {'null' if getattr(figures, name) is None else getattr(figures, name)}" for name in _NUMBERS]
        lines.append("    components:" if figures.components else "    components: {}")
        lines += [f"      {_quoted(name)}: {figures.components[name]}" for name in sorted(figures.components)]
    return "\n".join(lines) + "\n"


def read_lock(path: Path) -> Lock:
    """Read a lock file, in YAML or JSON. Raises InputError with every problem and its line, SourceError where there is none."""
    name = os.fspath(path)
    text = read_text(path, name)
    value = parse_json(text, name) if text.lstrip().startswith("{") else parse_yaml(text, name)
    if not isinstance(value, dict):
        raise InputError("is no lock file: expected a mapping", place=name, hint=UPDATE)
    document = Document(value, name, text)
    if value.get("schema") != SCHEMA:
        stated = value.get("schema")
        message = f"expected {SCHEMA}, got {stated!r:.60}" if stated is not None else f"is no lock file: it says no schema ({SCHEMA})"
        raise InputError(message, place=document.place("schema"), hint=f"written by another version of paramcalc? {UPDATE} anew")
    models = value.get("models")
    if not isinstance(models, dict):
        raise InputError("expected a mapping of models", place=document.place("models"), hint=UPDATE)
    problems: list[Problem] = []
    read = {key: _figures(entry, key, document, problems) for key, entry in models.items()}
    if problems:
        raise InputError(problems)
    return Lock(path, read)


def _figures(entry: Any, key: str, document: Document, problems: list[Problem]) -> Figures:
    fields = entry if isinstance(entry, dict) else {}
    parts = fields.get("components")
    numbers: dict[str, Any] = {name: fields.get(name) for name in _NUMBERS}
    for name, number in numbers.items():
        if not _is_count(number) and not (name == "active" and number is None and name in fields):
            place = document.place(("models", key, name))
            problems.append(Problem(f"expected a number of parameters, got {number!r:.40}", place, UPDATE))
    if not isinstance(parts, dict) or not all(_is_count(number) for number in parts.values()):
        problems.append(Problem("expected parameters by component", document.place(("models", key, "components")), UPDATE))
        parts = {}
    return Figures(**numbers, components=parts)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _quoted(text: str) -> str:
    """A key as YAML reads it back: plain where nothing can be mistaken, else in double quotes."""
    return text if _PLAIN.match(text) and text.lower() not in _WORDS else json.dumps(text)
