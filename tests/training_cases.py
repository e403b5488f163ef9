"""What the tests of training share: recorded rows, and rows as jobs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import TrainingPlan, plan_training
from paramcalc.model.architecture import Architecture

FOLDER = Path(__file__).with_name("golden") / "training"
WHOLE = {"lora_r", "batch_size", "seq_len", "zero", "dp", "tp", "pp", "bits", "group_size"}

Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


@cache
def named(model: str) -> Architecture:
    return paramcalc.load(json.loads((FOLDER / "models.json").read_text())["models"][model])


def architecture(row: Row) -> Architecture:
    return paramcalc.load(row["config"]) if "config" in row else named(row["model"])


def job(args: list[str]) -> TrainingJob:
    """The options of a recorded call."""
    fields: dict[str, Any] = {}
    words = iter([*args, "--"])
    word = next(words)
    while word != "--":
        field, word = word.removeprefix("--").replace("-", "_"), next(words)
        if word.startswith("--"):
            fields[field] = True
        else:
            fields[field], word = word, next(words)
    fields |= {field: int(value) for field, value in fields.items() if field in WHOLE}
    if "lora_dropout" in fields:
        fields["lora_dropout"] = float(fields["lora_dropout"])
    return TrainingJob(**fields)


def plan(row: Row) -> TrainingPlan:
    return plan_training(architecture(row), job(row["args"]))


def small(**fields: Any) -> Architecture:
    """A Llama of odd sizes: width 24, 6 heads of 8, 2 of keys and values, feed-forward 40, vocabulary 50, 5 layers."""
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 24,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "intermediate_size": 40,
        "num_hidden_layers": 5,
        "vocab_size": 50,
        "tie_word_embeddings": False,
        "max_position_embeddings": 4096,
    }
    return paramcalc.load(config | fields)
