"""paramcalc: how many parameters an architecture has, and how much memory it takes to run, train or fine-tune it."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "paramcalc.model.architecture",
    "BudgetError": "paramcalc.words.errors",
    "ParamcalcError": "paramcalc.words.errors",
    "UsageError": "paramcalc.words.errors",
    "InputError": "paramcalc.words.errors",
    "SourceError": "paramcalc.words.errors",
    "UnknownArchitectureError": "paramcalc.words.errors",
    "load": "paramcalc.gate.load",
    "assert_budget": "paramcalc.api",
    "count": "paramcalc.api",
    "fit": "paramcalc.api",
    "infer": "paramcalc.api",
    "train": "paramcalc.api",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Load what is used, when it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'paramcalc' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
