"""`--set key=value`: fields of an input replaced by dotted path before it is read."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from paramcalc.gate.aliases import ALIASES
from paramcalc.gate.documents import parse_yaml
from paramcalc.words.errors import InputError, UsageError
from paramcalc.words.nearest import did_you_mean


def parsed(overrides: Sequence[str]) -> list[tuple[list[str], Any]]:
    """`layers.kinds.local.attention.heads=8` as a path and a value; values are read as YAML."""
    found = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or not all(key.strip().split(".")):
            raise UsageError(f"expected --set KEY=VALUE, got {text!r:.80}", hint="as in --set num_hidden_layers=12")
        try:
            found.append((key.strip().split("."), parse_yaml(value, f"--set {key.strip()}")))
        except InputError as error:
            raise UsageError(error.problems) from error
    return found


def reaches_inside(path: Sequence[str], document: Mapping[str, Any]) -> bool:
    """Whether a path leads into the tree of parts, which a simple spec or a config does not spell out."""
    return len(path) > 1 and not isinstance(document.get(path[0]), Mapping)


def replaced(document: Mapping[str, Any], overrides: Sequence[tuple[list[str], Any]]) -> dict[str, Any]:
    """A copy of a document with the overrides set. In a full form a path may leave out the leading `parts`."""
    changed = copy.deepcopy(dict(document))
    for path, value in overrides:
        parts = changed.get("parts")
        for spelling in _spellings(path[0]) if len(path) == 1 else ():
            changed.pop(spelling, None)
        within = path[0] not in changed and isinstance(parts, dict) and path[0] in parts
        _set(parts if within and isinstance(parts, dict) else changed, path, value)
    return changed


def _spellings(key: str) -> tuple[str, ...]:
    """Every spelling of a key, so that an override replaces the one that the input uses."""
    return next(((canonical, *others) for canonical, others in ALIASES.items() if key == canonical or key in others), (key,))


def _set(target: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for depth, key in enumerate(path[:-1]):
        inner = target.get(key)
        if isinstance(inner, str):  # a part that is only named by its kind
            inner = target[key] = {"kind": inner}
        if not isinstance(inner, dict):
            where = ".".join(path[: depth + 1])
            raise UsageError(f"--set {'.'.join(path)}: there is no {where!r}", hint=did_you_mean(key, map(str, target)))
        target = inner
    target[path[-1]] = value
