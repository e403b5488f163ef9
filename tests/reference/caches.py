"""Records how many bytes the cache of each model type holds after a prompt, for configs given as JSON lines.

    python tests/reference/caches.py CONFIGS.jsonl > tests/golden/caches_by_type.jsonl

A line of CONFIGS has a `config`. Models are built on the meta device in bf16 and read a prompt of 64 and one of 5,000 tokens, two
sequences at once; every tensor that the returned cache refers to is counted once. Types that need data to run (a mask that is
asked for its values, an encoder's output) cannot be recorded so and are left out. Needs torch and transformers.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
import transformers

LENGTHS = (64, 5000)


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """The shape of a kernel's result; what it computes does not matter here."""
    return torch.empty((*query.shape[:3], value.shape[-1]), dtype=query.dtype, device=query.device)


def tensors(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """Every tensor that a cache refers to."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple) and depth < 8:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from tensors(inner, depth + 1)
    elif type(value).__module__.startswith("transformers") and "Config" not in type(value).__name__ and depth < 8:
        for inner in vars(value).values():
            yield from tensors(inner, depth + 1)


def plain(value: Any) -> Any:
    """Infinity is written as {"__float__": "Infinity"}."""
    if isinstance(value, dict):
        return float(value["__float__"]) if set(value) == {"__float__"} else {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def held(config: dict[str, Any], length: int) -> int:
    fields = plain(config)
    settings = transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(settings).eval().to(torch.bfloat16)
        ids = torch.zeros((2, length), dtype=torch.long)
    with torch.no_grad():
        out = model(input_ids=ids, use_cache=True)
    cache = next((found for name in ("past_key_values", "cache_params", "state") if (found := getattr(out, name, None)) is not None), None)
    unique = {id(tensor): tensor for tensor in tensors(cache) if tensor.dim() and tensor.device.type == "meta"}
    return sum(tensor.numel() * tensor.element_size() for tensor in unique.values())


def main() -> None:
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    functional.scaled_dot_product_attention = attention
    configs = [json.loads(line)["config"] for line in Path(sys.argv[1]).read_text().splitlines()]
    for config in configs:
        runs = {}
        for length in LENGTHS:
            try:
                runs[str(length)] = held(config, length)
            except Exception as error:  # whatever a model does on tensors without data
                print(f"{config['model_type']} {length}: {type(error).__name__}: {error}"[:160], file=sys.stderr)
        if runs:
            print(json.dumps({"config": config, "batch": 2, "bytes": runs}), flush=True)


if __name__ == "__main__":
    main()
