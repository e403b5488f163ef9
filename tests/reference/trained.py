"""A tiny model as `paramcalc train` describes it: its base, its method, its optimizer and a batch, on a simulated CUDA device."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import peft
import torch
import transformers
from torch import nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "bf16-mixed": torch.float32, "fp16-mixed": torch.float32}
AUTOCAST = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}
DEFAULTS: dict[str, Any] = {
    "method": "full",
    "precision": "bf16",
    "optimizer": "adamw",
    "batch_size": 1,
    "grad_accum": 1,
    "checkpointing": "none",
    "attention": "sdpa",
    "lora_r": 8,
    "lora_dropout": 0.0,
    "adapter_dtype": "fp32",
    "adapter_size": 64,
    "virtual_tokens": 20,
    "last_n": 1,
    "loss": "plain",
}
"""Defaults of `paramcalc train` that matter here."""

Options = dict[str, Any]


def low(options: Options) -> torch.dtype | None:
    """What autocast casts to."""
    return AUTOCAST.get(options["precision"], torch.bfloat16 if options.get("autocast") else None)


TASKS = {"bert": None, "t5": "SEQ_2_SEQ_LM"}
"""PEFT's word for what a model is for; with none a classifier stays frozen."""


def build(config: dict[str, Any], options: Options) -> nn.Module:
    """The model in training mode with random weights that do not exist, under the method."""
    settings = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    settings.use_cache = False
    cls = getattr(transformers, config["architectures"][0])
    with torch.device("cuda"):
        model = cls._from_config(settings, attn_implementation=options["attention"], dtype=DTYPES[options["precision"]]).train()
    if options["checkpointing"] == "full":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    name = options["method"]
    if name in OWN:
        OWN[name](model, options)
        return model
    return adapted(model, options, config["model_type"])


def adapted(model: Any, options: Options, model_type: str) -> Any:
    """The model in PEFT's hands."""
    with torch.device("cuda"):
        return peft.get_peft_model(model, peft_config(options, model_type), autocast_adapter_dtype=options["adapter_dtype"] == "fp32")


def peft_config(options: Options, model_type: str) -> Any:
    task = TASKS.get(model_type, "CAUSAL_LM")
    name = options["method"]
    if name in ("prompt", "prefix"):
        kind = peft.PromptTuningConfig if name == "prompt" else peft.PrefixTuningConfig
        return kind(task_type=task, num_virtual_tokens=options["virtual_tokens"])
    targets: Any = options.get("lora_targets")
    if targets and targets != "all-linear":
        targets = targets.split(",")
    if name == "ia3":
        return peft.IA3Config(task_type=task, target_modules=targets)
    return peft.LoraConfig(
        task_type=task,
        r=options["lora_r"],
        lora_dropout=options["lora_dropout"],
        target_modules=targets,
        use_dora=name == "dora",
        use_rslora=name == "rslora",
    )


def full(model: nn.Module, options: Options) -> None:
    """Everything trains."""


def bitfit(model: nn.Module, options: Options) -> None:
    """Ben Zaken et al. 2022: parameters named bias."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.rpartition(".")[2] == "bias")


def last_n(model: Any, options: Options) -> None:
    """The last layers of the last stack."""
    model.requires_grad_(False)
    for layer in stacks(model)[-1][-options["last_n"] :]:
        layer.requires_grad_(True)


def stacks(model: nn.Module) -> list[Any]:
    """Lists of layers that stand in no other list."""
    return [module for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and not re.search(r"\d", name)]


class Bottleneck(nn.Module):
    """x + up(gelu(down(x))), in the adapter's format: Houlsby et al. 2019, figure 2, which PEFT does not have."""

    def __init__(self, width: int, size: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.down = nn.Linear(width, size, dtype=dtype)
        self.up = nn.Linear(size, width, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.up(nn.functional.gelu(self.down(x.to(self.down.weight.dtype))))
        return (x + inner).to(x.dtype)


BEHIND = ("self_attn", "mlp", "attn", "block_sparse_moe")
"""Names of the modules in a layer that an adapter stands behind."""


def houlsby(model: Any, options: Options) -> None:
    """A bottleneck behind attention and one behind the feed-forward network, before each is added to the stream."""
    model.requires_grad_(False)
    base = next(model.parameters()).dtype
    dtype = torch.float32 if options["adapter_dtype"] == "fp32" else base
    for layer in stacks(model)[0]:
        for name, module in list(layer.named_children()):
            if name in BEHIND:
                with torch.device("cuda"):
                    adapter = Bottleneck(model.config.hidden_size, options["adapter_size"], dtype)
                setattr(layer, f"{name}_adapter", adapter)
                module.register_forward_hook(lambda _, __, out, adapter=adapter: behind(adapter, out))


def behind(adapter: Bottleneck, out: Any) -> Any:
    return (adapter(out[0]), *out[1:]) if isinstance(out, tuple) else adapter(out)


OWN = {"full": full, "bitfit": bitfit, "last-n": last_n, "adapter": houlsby}
"""Methods that are a choice of parameters, or that PEFT does not have."""


def batch(options: Options) -> dict[str, torch.Tensor]:
    """Token ids and labels on the device."""
    shape = (options["batch_size"], options["seq_len"])
    return {name: torch.zeros(shape, dtype=torch.long, device="cuda") for name in ("input_ids", "labels")}


def trained(model: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in model.parameters() if parameter.requires_grad)
