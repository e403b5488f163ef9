"""YAML and JSON documents, read with limits: size, depth, duplicate keys, aliases, odd numbers."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from paramcalc.words.errors import InputError, SourceError

MAX_BYTES = 16 * 2**20
"""No spec or config comes near this; a larger file is something else."""
MAX_DEPTH = 64
_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)


class Document:
    """A mapping with the line of each of its keys, found when a message needs one."""

    def __init__(self, value: dict[str, Any], path: str, text: str) -> None:
        self.value, self.path, self._text = value, path, text
        self._nodes: list[Any] = []

    def line(self, key: str | Sequence[str]) -> int:
        """The line of a path (dotted, or key by key), or of as much of it as the document has; 0 where it has none of it."""
        if not self._nodes:
            self._nodes.append(_composed(self._text))
        return _line_of(self._nodes[0], key.split(".") if isinstance(key, str) else key)

    def place(self, key: str | Sequence[str]) -> str:
        """`file:line: key` of a path, or of as much of it as the document has."""
        line = self.line(key)
        key = key if isinstance(key, str) else ".".join(key)
        return f"{self.path}:{line}: {key}" if line else f"{self.path}: {key}" if key else self.path


def read_text(path: Path, name: str) -> str:
    """The text of a file. Raises SourceError where there is none to read, InputError where it is no text."""
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise InputError("is a folder, expected a file", place=name)
        if not stat.S_ISREG(facts.st_mode):
            raise InputError("is not a regular file", place=name)
        if facts.st_size > MAX_BYTES:
            raise InputError(f"is {facts.st_size:,} bytes; a spec or config has at most {MAX_BYTES:,}", place=name)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not text in UTF-8", place=name) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SourceError(f"cannot be read: {reason.lower()}", place=name) from error


def read_document(path: Path, name: str | None = None) -> Document:
    """A `.json` or YAML file that holds one mapping."""
    name = name or os.fspath(path)
    text = read_text(path, name)
    value = parse_json(text, name) if path.suffix == ".json" else parse_yaml(text, name)
    if not isinstance(value, dict):
        raise InputError(f"expected a mapping of keys to values, got {_type_name(value)}", place=name)
    return Document(value, name, text)


def parse_json(text: str, name: str) -> Any:
    """JSON with duplicate keys and NaN refused; `{"__float__": "Infinity"}` is how a config writes infinity."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            keys = [key for key, _ in items]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"the key {twice!r:.60} stands twice", place=name)
        return found

    def constant(word: str) -> float:
        if word == "NaN":
            raise InputError("NaN is no value", place=name)
        return math.inf if word == "Infinity" else -math.inf

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise InputError(f"is not JSON: {error.msg.lower()}, column {error.colno}", place=f"{name}:{error.lineno}") from error
    except RecursionError as error:
        raise InputError("nests too deep", place=name) from error
    except ValueError as error:  # an integer of thousands of digits
        raise InputError(f"holds a number that is no number: {error}"[:160], place=name) from error


def parse_yaml(text: str, name: str) -> Any:
    """YAML without anchors, tags and duplicate keys."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _value(loader, node, name, 0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"is not YAML: {problem}", place=f"{name}:{mark.line + 1}" if mark else name) from error
    except RecursionError as error:
        raise InputError("nests too deep", place=name) from error
    except ValueError as error:
        raise InputError(f"holds a value that cannot be read: {error}"[:160], place=name) from error
    finally:
        loader.dispose()


def _value(loader: Any, node: Any, name: str, depth: int, seen: set[int] | None = None) -> Any:
    seen = set() if seen is None else seen
    place = f"{name}:{node.start_mark.line + 1}"
    if depth > MAX_DEPTH:
        raise InputError(f"nests more than {MAX_DEPTH} deep", place=place)
    if id(node) in seen:
        raise InputError("anchors and aliases are not allowed", place=place, hint="repeat the value, or use `like`")
    seen.add(id(node))
    if node.tag not in _TAGS:
        _refuse(f"the tag {node.tag} is not allowed", place)
    if node.id == "mapping":
        return _mapping(loader, node, name, depth, seen)
    if node.id == "sequence":
        return [_value(loader, item, name, depth + 1, seen) for item in node.value]
    value = loader.construct_object(node)
    if isinstance(value, float) and math.isnan(value):
        _refuse("NaN is no value", place)
    if value is not None and not isinstance(value, str | int | float | bool):
        return node.value  # a date or the like is the word that stands there
    return value


def _mapping(loader: Any, node: Any, name: str, depth: int, seen: set[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = f"{name}:{key_node.start_mark.line + 1}"
        if key_node.id != "scalar":
            _refuse("expected a word as key", place)
        key = key_node.value
        if key == "<<":
            _refuse("merge keys are not allowed", place)
        if key in found:
            _refuse(f"the key {key!r:.60} stands twice", place)
        found[key] = _value(loader, value_node, name, depth + 1, seen)
    return found


def _refuse(message: str, place: str) -> NoReturn:
    raise InputError(message, place=place)


def _composed(text: str) -> Any:
    """The text read once more as YAML, of which JSON is a part, this time with the line of everything; None if that fails."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        return loader.get_single_node()
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    finally:
        loader.dispose()


def _line_of(node: Any, keys: Sequence[str]) -> int:
    """The line of a key, or of the last one on the way to it; 0 where not even the first is found. An item of a list counts."""
    line = 0
    for key in keys:
        inner = node.value if node is not None and node.id in ("mapping", "sequence") else []
        if node is not None and node.id == "sequence":
            node = inner[int(key)] if key.isdecimal() and len(key) < 10 and int(key) < len(inner) else None
            line = node.start_mark.line + 1 if node is not None else line
        else:
            found = next(((name, value) for name, value in inner if name.value == key), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
    return line


def _type_name(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)
