"""The Python front door: the same verbs as the command line, on the same values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from paramcalc.gate.load import load
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.model.architecture import Architecture


def count(model: str | os.PathLike[str] | Mapping[str, Any] | Architecture) -> Counts:
    """Count the parameters of any MODEL."""
    return count_architecture(load(model))
