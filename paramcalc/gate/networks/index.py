"""Which recipe a network's name stands for, and with which options; only the tables and the recipe that are needed are read.

A table holds for each name what timm hands to the network's class (`tests/reference/timm_tables.py` writes them down), or
the present name of an older one.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.options import Options, tupled
from paramcalc.words.errors import UnknownArchitectureError
from paramcalc.words.nearest import did_you_mean

TABLES = Path(__file__).with_name("tables")


class Network(NamedTuple):
    """What is known by a name."""

    options: Options
    recipe: Callable[..., Tree]
    """Options to parts."""


def recipes() -> list[str]:
    """The modules that hold recipes."""
    return sorted(path.stem for path in TABLES.glob("*.json"))


@lru_cache(maxsize=64)
def table(recipe: str) -> dict[str, Any]:
    """The names that a recipe knows, with what sets them apart from its defaults."""
    found: dict[str, Any] = json.loads((TABLES / f"{recipe}.json").read_bytes())["networks"]
    return found


def known_names() -> list[str]:
    """Every name, by recipe."""
    return [name for recipe in recipes() for name in table(recipe)]


def home(name: str) -> str | None:
    """The recipe whose table holds a name; a table is parsed only where the name stands in it."""
    quoted = json.dumps(name).encode()
    holders = (recipe for recipe in recipes() if quoted in (TABLES / f"{recipe}.json").read_bytes())
    return next((recipe for recipe in holders if name in table(recipe)), None)


def row(name: str) -> Any:
    """What stands in the table for a known name: options, or the present name of an older one."""
    return table(home(name) or "")[name]


def network(name: str, place: str) -> Network:
    """The network of a name, whose tag behind the dot says what its weights were trained on. Raises
    UnknownArchitectureError with the nearest names."""
    plain = name.partition(".")[0]
    recipe = home(plain)
    if recipe is None:
        raise UnknownArchitectureError(f"unknown network of timm: {name[:80]!r}", place=place, hint=did_you_mean(plain, known_names()))
    options = row(plain)
    if isinstance(options, str):
        options = row(options)
    module = importlib.import_module(f"paramcalc.gate.networks.{recipe}")
    return Network(replace(module.DEFAULT, **{key: tupled(value) for key, value in options.items()}), module.network)
