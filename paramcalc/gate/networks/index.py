"""Which module knows a network's name; only that one is imported."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.options import Options
from paramcalc.words.errors import UnknownArchitectureError
from paramcalc.words.nearest import did_you_mean

MODULES: dict[str, str] = {
    "fastvit": "fastvit_",
    "resnet": "ecaresn resne senet seresn wide_resnet",
}
"""Module to how the names that it holds begin."""

HOMES = {start: module for module, starts in MODULES.items() for start in starts.split()}


class Network(NamedTuple):
    """What is known by a name."""

    options: Options
    recipe: Callable[..., Tree]
    """Options to parts."""


def networks(module: str) -> dict[str, Options]:
    """All names that a module knows, with what they stand for."""
    found: dict[str, Options] = importlib.import_module(f"paramcalc.gate.networks.{module}").NETWORKS
    return found


def known_names() -> list[str]:
    """Every name, by module."""
    return [name for module in MODULES for name in networks(module)]


def network(name: str, place: str) -> Network:
    """The network of a name, whose tag behind the dot says what the weights were trained on. Raises UnknownArchitectureError
    with the nearest names."""
    plain = name.partition(".")[0]
    starts = sorted((start for start in HOMES if plain.startswith(start)), key=len)
    if starts and plain in (known := networks(HOMES[starts[-1]])):
        module = importlib.import_module(f"paramcalc.gate.networks.{HOMES[starts[-1]]}")
        return Network(known[plain], module.network)
    raise UnknownArchitectureError(f"unknown network of timm: {name[:80]!r}", place=place, hint=did_you_mean(plain, known_names()))
