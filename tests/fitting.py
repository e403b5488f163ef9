"""Models and cards that the tests of fit, max and plan share: small ones, whose plans take a millisecond."""

from __future__ import annotations

from typing import Any

import paramcalc
from paramcalc.costs.capacity import Cards, cards_named
from paramcalc.costs.fit import Fit, fit
from paramcalc.costs.weighing import job_from
from paramcalc.model.architecture import Architecture

DENSE = paramcalc.load(
    {"family": "llama", "name": "Dense", "vocab_size": 32000, "hidden_size": 768, "layers": 12, "heads": 12, "kv_heads": 4, "ffn": 2048}
    | {"context": 4096}
)
SPARSE = paramcalc.load(
    {"family": "mixtral", "name": "Sparse", "vocab_size": 16000, "hidden_size": 256, "layers": 6, "heads": 8, "kv_heads": 2}
    | {"intermediate_size": 512, "num_experts": 8, "num_experts_per_tok": 2, "context": 2048}
)
RECURRENT = paramcalc.load("mamba-130m")
MODELS = (DENSE, SPARSE, RECURRENT)


def card(mebibytes: int) -> Cards:
    """One card that a process may use so much of."""
    return cards_named(f"{mebibytes}MiB", 1)


def fitted(model: Architecture, cards: Cards, **options: Any) -> Fit:
    return fit(model, cards, job_from(options), options)
