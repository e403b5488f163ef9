"""A model inside a model: the parts of an inner config's family, under a group of the outer one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paramcalc.gate.config import Config, defaults_of
from paramcalc.gate.families.index import family
from paramcalc.gate.families.operations import written
from paramcalc.gate.families.recipes import Tree, tree, under
from paramcalc.words.errors import UnknownArchitectureError

STREAM = ("width", "tokens", "cache", "image", "sound_rate", "flow")
"""What a document says about its stream, and so about the group it becomes."""


def told(c: Config, **values: Any) -> None:
    """Set what the class around a sub-config sets in it, whatever the input says."""
    c.given = replaced(c.given, values, c.model_type)


def replaced(given: Mapping[str, Any], values: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """A config with other values, whichever of its names each had."""
    aliases = defaults_of(model_type).aliases
    fields = {aliases.get(key, key) for key in values}
    return {**{key: value for key, value in given.items() if aliases.get(key, key) not in fields}, **values}


def seen_as(c: Config, model_type: str = "", **values: Any) -> Config:
    """The same config as pieces of another family read it: some values under the names that those use."""
    kind = model_type or c.model_type
    seen = Config(replaced(c.given, values, kind), kind, spec=c.spec, place=c.place, over=c.over, root=c.root)
    seen.declared = c.declared | frozenset(values)
    return seen


def whole(c: Config, task: str = "base") -> Tree:
    """The full form of a sub-config, built for a task whatever its own `architectures` say, written as its own family writes it."""
    c.serves = task
    if not c.model_type:
        raise UnknownArchitectureError("says no model_type", place=f"{c.place}model_type")
    try:
        recipe = family(c.model_type)
    except UnknownArchitectureError as error:
        raise UnknownArchitectureError([problem._replace(place=f"{c.place}model_type") for problem in error.problems]) from error
    return written(c, recipe(c))


def nested(c: Config, name: str, path: str, *, task: str = "base", **fields: Any) -> Tree:
    """The model of a sub-config as one group `name`, its reference names under `path`. Ties stay inside the group."""
    document = whole(c, task)
    group = tree(path=path) | {key: document[key] for key in STREAM if key in document} | fields
    parts = {part: rooted(retied(content, name), path) for part, content in document["parts"].items()}
    return {name: tree(**group) | parts}


def tower(c: Config, name: str, path: str, *, task: str = "base", **fields: Any) -> Tree:
    """An encoder of another kind of input: its components are told apart, and it keeps no cache."""
    return nested(c, name, path, task=task, **({"tower": name, "cache": False} | fields))


def retied(content: Any, group: str) -> Any:
    """A part whose ties name their owners from the tree's root, after its whole tree went into a group."""
    if not isinstance(content, dict):
        return content
    return {key: f"{group}.{value}" if key == "tied" and isinstance(value, str) else retied(value, group) for key, value in content.items()}


def rooted(content: Any, path: str) -> Any:
    """A part whose reference names from the root (`/shared`) become names below the module that the root went into."""
    if not isinstance(content, dict):
        return content
    return {
        key: f"/{path}.{value[1:]}" if key == "path" and path and isinstance(value, str) and value.startswith("/") else rooted(value, path)
        for key, value in content.items()
    }


def beneath(base: str, parts: Tree) -> Tree:
    """The parts of a model that stands as module `base` inside a class with a head; nothing changes without a name."""
    return under(f"{base}.", {name: rooted(part, base) for name, part in parts.items()}) if base else parts
