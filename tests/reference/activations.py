"""What autograd keeps for the backward pass of one training forward, on a simulated CUDA device.

Writes JSON lines, one for each model: its config and its cases, which are settings and the bytes of all tensors kept, each
piece of memory once. Parameters, buffers and what the caller hands in are left out; autocast's copies of weights are in.

    python tests/reference/activations.py --out tests/golden/activations_recorded.jsonl [types]
    python tests/reference/activations.py --cases text_cases --out tests/golden/activations_text.jsonl [types]
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import warnings
import weakref
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import device  # noqa: F401, before torch
import torch
import transformers
from activation_cases import Case, Setting
from simulated_cuda import autocasting, backends, simulated

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "bf16-mixed": torch.float32}
BLOCKS = ("gemma3", "paligemma")
"""Models whose preprocessors say which tokens are an image's, which see each other whatever their order."""
SAMPLES = 16_000
"""Of a second of audio."""


def build(case: Case, setting: Setting) -> torch.nn.Module:
    """The model in training mode with random weights that do not exist."""
    if case.network:
        with torch.device("cuda"):
            made: torch.nn.Module = case.network().to(DTYPES[setting.precision]).train()
        return made
    config = transformers.CONFIG_MAPPING[case.model_type].from_dict(dict(case.config))
    cls = getattr(transformers, case.architecture)
    config.use_cache = config.get_text_config(decoder=True).use_cache = False
    with torch.device("cpu" if case.real else "cuda"):
        model = cls._from_config(config, attn_implementation=setting.attention, dtype=DTYPES[setting.precision]).train()
        if case.cast:
            model.to(DTYPES[setting.precision])
    for module in model.modules():  # a few are made on the host whatever the context says
        for name, held in module._parameters.items():
            if held is not None and held.device.type == "cpu" and not case.real:
                module._parameters[name] = torch.nn.Parameter(torch.empty(held.shape, dtype=held.dtype, device="cuda"))
    if setting.checkpointing == "full":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if setting.lora:
        from peft import LoraConfig, get_peft_model

        targets = "all-linear" if setting.lora == "all-linear" else setting.lora.split(",")
        model = get_peft_model(
            model,
            LoraConfig(r=8, lora_dropout=0.0, target_modules=targets),
            autocast_adapter_dtype=setting.adapter_dtype == "fp32",
        )
        if setting.checkpointing == "full":
            model.enable_input_require_grads()
    return model


def inputs(case: Case, model: Any, setting: Setting) -> dict[str, torch.Tensor]:
    """What the caller hands in: all on the device."""
    b, s = setting.batch, setting.length
    dtype = DTYPES[setting.precision]
    if case.task in ("image", "segmentation"):
        size = case.image
        each = (b, *size) if case.task == "segmentation" else (b,)
        return {
            "pixel_values": torch.empty(b, case.config.get("channels", 3), *size, dtype=dtype, device="cuda"),
            "labels": torch.zeros(each, dtype=torch.long, device="cuda"),
        }
    if case.real:
        ids = torch.randint(4, model.config.vocab_size, (b, s), generator=torch.Generator().manual_seed(0))
        return {"input_ids": ids, "labels": ids.clone()}
    ids = torch.zeros(b, s, dtype=torch.long, device="cuda")
    if case.task == "speech":
        config = model.config
        frames = 2 * config.max_source_positions
        labels = ids[:, 0] if case.architecture.endswith("Classification") else ids
        return {"input_features": torch.empty(b, config.num_mel_bins, frames, dtype=dtype, device="cuda"), "labels": labels}
    if setting.audio_seconds:
        samples = round(setting.audio_seconds * SAMPLES)
        labels = ids if case.task == "ctc" else ids[:, 0]
        if case.architecture.endswith("FrameClassification"):
            frames = int(model.wav2vec2._get_feat_extract_output_lengths(samples))
            labels = torch.zeros(b, frames, model.config.num_labels, device="cuda")
        return {"input_values": torch.empty(b, samples, dtype=dtype, device="cuda"), "labels": labels}
    if case.task == "clip":
        side = model.config.vision_config.image_size
        return {"input_ids": ids, "pixel_values": torch.empty(b, 3, side, side, dtype=dtype, device="cuda"), "return_loss": True}
    if case.task == "encoder":
        return {"input_ids": ids}
    if case.task == "classification":
        return {"input_ids": ids, "labels": torch.zeros(b, dtype=torch.long, device="cuda")}
    if setting.images:
        kinds = {"token_type_ids": ids.clone()} if case.model_type in BLOCKS else {}
        return pictures(model.config, b * setting.images, dtype) | kinds | {"input_ids": ids, "labels": ids.clone()}
    return {"input_ids": ids, "labels": torch.zeros(b, s, dtype=torch.long, device="cuda")}


def pictures(config: Any, count: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """So many images as a model of images and text takes them."""
    side = config.vision_config.image_size
    size = side if isinstance(side, list | tuple) else (side, side)
    return {"pixel_values": torch.empty(count, 3, *size, dtype=dtype, device="cuda")}


class Kept:
    """A tensor in the hands of autograd."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def key(x: torch.Tensor) -> int:
    return x.untyped_storage()._cdata


def record(case: Case, setting: Setting, detail: bool = False) -> dict[str, Any]:
    backends.clear()
    low = torch.bfloat16 if setting.precision.endswith("mixed") or setting.autocast else None
    with nullcontext() if case.real else simulated():
        model = build(case, setting)
        given = inputs(case, model, setting)
        held = [*model.parameters(), *model.buffers(), *(x for x in given.values() if isinstance(x, torch.Tensor))]
        known = {key(x) for x in held}
        seen: dict[int, tuple[int, str, tuple[int, ...], str]] = {}
        kept: list[torch.Tensor] = []
        packed: list[weakref.ref[Kept]] = []
        stack: list[str] = []
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda m, a, n=name: stack.append(n))
            module.register_forward_hook(lambda m, a, o: stack.__delitem__(-1), always_call=True)

        def pack(x: torch.Tensor) -> Kept:
            if key(x) not in known and key(x) not in seen and not isinstance(x, torch.nn.Parameter):
                seen[key(x)] = (x.untyped_storage().nbytes(), stack[-1] if stack else "", tuple(x.shape), str(x.dtype)[6:])
                kept.append(x.detach())
            held = Kept(x.detach())  # an output with its own node would hold itself alive
            packed.append(weakref.ref(held))
            return held

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor), autocasting(low):
            out = model(**given)
        loss = out.loss if hasattr(out, "loss") else out[0]
        assert loss is not None
        assert loss.requires_grad
        # what no gradient will pass is let go before the forward pass ends
        alive = {key(held.tensor) for reference in packed if (held := reference()) is not None}
        seen = {at: value for at, value in seen.items() if at in alive}
    row: dict[str, Any] = {
        "settings": {k: v for k, v in setting._asdict().items() if v},
        "kernels": sorted(set(backends)),
        "saved": sum(size for size, *_ in seen.values()),
    }
    if detail:
        row["tensors"] = list(seen.values())
    return row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--cases", default="activation_cases", help="the module beside this one that holds them")
    parser.add_argument("--out")
    parser.add_argument("--detail", action="store_true")
    parser.add_argument("--setting", help="only settings whose words are all of these")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    lines = []
    for case in importlib.import_module(options.cases).CASES:
        if options.names and case.name not in options.names:
            continue
        rows = [row for setting in case.settings if (row := attempt(case, setting, options)) is not None]
        config = {**case.config, "architectures": [case.architecture], "model_type": case.model_type}
        about = {"name": case.name, "config": config}
        lines += [about | row for row in rows] if options.detail else [about | {"cases": rows}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    if options.out:
        Path(options.out).write_text(text)
    else:
        print(text, end="")


def attempt(case: Case, setting: Setting, options: argparse.Namespace) -> dict[str, Any] | None:
    """One record; none where the class refuses the setting."""
    if options.setting and not all(word in str(tuple(setting)) for word in options.setting.split()):
        return None
    try:
        return record(case, setting, options.detail)
    except Exception as error:
        print(f"{case.name} {setting}: {type(error).__name__} {str(error)[:300]}", file=sys.stderr)
        return None


if __name__ == "__main__":
    main()
