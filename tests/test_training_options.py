"""Every option on every recorded model: an answer that holds together, or a refusal. Never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import paramcalc
from paramcalc import ParamcalcError

GOLDEN = Path(__file__).parent / "golden"
CONFIGS = {
    model["name"]: model["config"]
    for path in sorted(GOLDEN.glob("activations*.jsonl"))
    for model in map(json.loads, path.read_text().splitlines())
}
OPTIONS: tuple[dict[str, Any], ...] = (
    {"stack": "mamba-ssm"},
    {"loss": "fused"},
    {"loss": "chunked", "grad_accum": 2},
    {"checkpointing": "selective"},
    {"checkpointing": "full", "precision": "bf16-mixed", "ema": True},
    {"precision": "fp16-master", "optimizer": "adamw-8bit"},
    {"precision": "megatron", "stack": "megatron"},
    {"method": "lora", "lora_targets": "all-linear", "lora_dropout": 0.1},
    {"method": "qlora", "prepare_kbit": True, "checkpointing": "full"},
    {"method": "lora", "quant": "llm-int8", "checkpointing": "full"},
    {"method": "dora", "attention": "flash"},
    {"method": "prompt"},
    {"method": "prefix"},
    {"method": "ia3"},
    {"method": "adapter"},
    {"method": "bitfit"},
    {"method": "last-n"},
    {"tp": 2},
    {"tp": 2, "sequence_parallel": True},
    {"zero": 3, "dp": 2, "offload": "params"},
    {"pp": 2, "grad_accum": 4},
    {"cp": 2},
    {"ep": 2, "dp": 2},
)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_option_is_answered_or_refused(name: str) -> None:
    model = paramcalc.load(CONFIGS[name])
    for options in OPTIONS:
        try:
            plan = paramcalc.train(model, batch_size=2, seq_len=12, **options)
        except ParamcalcError:
            continue
        assert min(term.bytes for term in plan.terms) >= 0, options
        assert plan.low <= plan.total <= plan.high, options
        assert plan.saved_for_backward >= 0, options
        assert {phase.name for phase in plan.phases} >= {"loaded", "forward", "backward", "optimizer"}, options
