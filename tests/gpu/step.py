"""Two real training steps of one case, measured. Run by `test_gpu_steps.py` in a process of its own, where torch has a GPU.

    python tests/gpu/step.py '{"size": "small", "method": "lora", "checkpointing": "none"}'

Prints JSON: bytes that torch's allocator held after loading and at most in each phase of the second step, and what it ran on.
Weights are random: what they are changes no byte.
"""

from __future__ import annotations

import json
import platform
import sys
import warnings
from typing import Any

import torch
import transformers

SIZES = {
    "small": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12},
    "middle": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 16, "num_attention_heads": 16},
    "large": {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24},
    "tiny": {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4},
}
"""Llamas of 0.16, 0.95 and 3.4 billion parameters; the tiny one tries out the script on a CPU."""
COMMON = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32000, "max_position_embeddings": 4096}
BATCH, LENGTH, RANK = 2, 1024, 16
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]


def config_of(size: str) -> dict[str, Any]:
    """The config of a size, as transformers and paramcalc read it."""
    return COMMON | SIZES[size] | {"num_key_value_heads": SIZES[size]["num_attention_heads"]}


def build(case: dict[str, Any], device: str) -> torch.nn.Module:
    config = transformers.LlamaConfig.from_dict(dict(config_of(case["size"])))
    config.use_cache = False
    with torch.device(device):
        model: Any = transformers.LlamaForCausalLM._from_config(config, attn_implementation="sdpa", dtype=torch.bfloat16)
    if case["method"] == "qlora":
        quantize(model, device)
    if case["method"] != "full":
        from peft import LoraConfig, get_peft_model

        model.requires_grad_(False)
        model = get_peft_model(model, LoraConfig(r=RANK, target_modules=TARGETS))
    if case["checkpointing"] == "full":
        model.gradient_checkpointing_enable()
        if case["method"] != "full":
            model.enable_input_require_grads()
    return model.train()  # type: ignore[no-any-return]


def quantize(model: Any, device: str) -> None:
    """Every dense layer but the head as bitsandbytes' NF4 with double quantization."""
    import bitsandbytes

    for layer in list(model.model.layers.modules()):
        for name, child in list(layer.named_children()):
            if isinstance(child, torch.nn.Linear):
                made: Any = bitsandbytes.nn.Linear4bit(
                    child.in_features, child.out_features, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4"
                )
                made.weight = bitsandbytes.nn.Params4bit(child.weight.data.cpu(), requires_grad=False, quant_type="nf4")
                setattr(layer, name, made.to(device))


class Meter:
    """Peaks of torch's allocator, phase by phase; zeros on a CPU."""

    def __init__(self, device: str) -> None:
        self.real = device == "cuda"
        self.peaks: dict[str, int] = {}

    def now(self) -> int:
        return torch.cuda.memory_allocated() if self.real else 0

    def phase(self, name: str) -> None:
        """What was held at most since the last call."""
        if self.real:
            torch.cuda.synchronize()
            self.peaks[name] = max(self.peaks.get(name, 0), torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()
        else:
            self.peaks[name] = 0


def run(case: dict[str, Any], device: str) -> dict[str, Any]:
    model, meter = build(case, device), Meter(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    length = LENGTH if device == "cuda" else 16
    ids = torch.randint(0, COMMON["vocab_size"], (BATCH, length), device=device)
    if meter.real:
        torch.cuda.empty_cache()
    loaded = meter.now()
    for _ in range(2):
        meter.peaks.clear()
        meter.phase("before")
        out = model(input_ids=ids, labels=ids)  # held through the backward pass, as a plan takes it
        meter.phase("forward")
        out.loss.backward()
        meter.phase("backward")
        optimizer.step()
        meter.phase("optimizer")
        optimizer.zero_grad(set_to_none=True)
        del out
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "python": platform.python_version()}
    name = torch.cuda.get_device_name() if meter.real else "cpu"
    trainable = sum(parameter.numel() for parameter in trained)
    return {"case": case, "device": name, "versions": versions, "loaded": loaded, "trainable": trainable, "phases": meter.peaks}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(run(json.loads(sys.argv[1]), "cuda" if torch.cuda.is_available() else "cpu")))
