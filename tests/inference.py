"""What the tests of inference share: small configs, and a plan in one call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import paramcalc
from paramcalc.costs.inference import InferenceJob, InferencePlan, plan_inference

GOLDEN = Path(__file__).parent / "golden"

TINY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 101,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
"""6 heads of 8 dims over 2 key-value heads, in 3 layers: a token's keys and values are 2 · 2 · 8 · 3 = 96 elements."""
HEAD_ELEMENTS = 96


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text())


def plan(config: Any = None, **options: Any) -> InferencePlan:
    """A plan for a config with changes (`TINY` if none is given)."""
    return plan_inference(paramcalc.load(config or TINY), InferenceJob(**options))


def size(found: InferencePlan, name: str) -> int:
    term = found.term(name)
    return term.bytes if term else 0


def ideal(found: InferencePlan, name: str = "kv_cache") -> int:
    term = found.term(name)
    assert term is not None
    return dict(term.extra)["ideal"]
