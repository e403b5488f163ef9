"""What bitsandbytes' frozen layers keep for the backward pass, beside what autograd's own list of saved tensors shows.

A small Llama with LoRA, its dense layers replaced by those of bitsandbytes, one forward pass with its loss on the CPU in bf16; the
products are those that run under CUDA. Tensors that hang on the autograd nodes themselves are found by walking the graph.

    python tests/reference/bitsandbytes_kept.py > tests/golden/training/bitsandbytes.json
"""

from __future__ import annotations

import gc
import json
import warnings
import weakref
from typing import Any

import bitsandbytes
import bitsandbytes.autograd._functions as functions
import torch
import transformers
from peft import LoraConfig, get_peft_model

CONFIG = {
    "vocab_size": 97,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 160,
}
BATCH, LENGTH, RANK, TARGETS = 2, 12, 4, "q_proj,v_proj"


def replaced(linear: torch.nn.Linear, quant: str) -> torch.nn.Module:
    sizes = linear.in_features, linear.out_features
    made: Any
    if quant == "llm-int8":
        made = bitsandbytes.nn.Linear8bitLt(*sizes, bias=False, has_fp16_weights=False, threshold=6.0)
        made.weight = bitsandbytes.nn.Int8Params(linear.weight.data.float(), requires_grad=False, has_fp16_weights=False)
    else:
        made = bitsandbytes.nn.Linear4bit(*sizes, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
        made.weight = bitsandbytes.nn.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
    return made.to("cpu")  # type: ignore[no-any-return]


def build(quant: str, checkpointing: str) -> torch.nn.Module:
    config = transformers.LlamaConfig(**CONFIG)
    config.use_cache = False
    model: Any = transformers.LlamaForCausalLM._from_config(config, attn_implementation="eager", dtype=torch.bfloat16)
    for layer in list(model.model.layers.modules()):
        for name, child in list(layer.named_children()):
            if isinstance(child, torch.nn.Linear):
                setattr(layer, name, replaced(child, quant))
    model.requires_grad_(False)
    model = get_peft_model(model, LoraConfig(r=RANK, target_modules=TARGETS.split(",")), autocast_adapter_dtype=False).train()
    for name, parameter in model.named_parameters():
        if "lora" in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    if checkpointing == "full":
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    return model


class Kept:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def on_nodes(root: Any) -> list[torch.Tensor]:
    """bf16 tensors that hang on the nodes of a graph: a frozen matrix and its statistics are in other formats."""
    seen, stack, found = set(), [root], []
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found += [t for t in getattr(node, "tensors", None) or () if isinstance(t, torch.Tensor) and t.dtype == torch.bfloat16]
        stack += [following for following, _ in node.next_functions]
    return found


def record(quant: str, checkpointing: str) -> dict[str, Any]:
    model = build(quant, checkpointing)
    ids = torch.zeros(BATCH, LENGTH, dtype=torch.long)
    references: list[weakref.ref[Kept]] = []

    def pack(tensor: torch.Tensor) -> Kept:
        held = Kept(tensor)
        references.append(weakref.ref(held))
        return held

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        loss = model(input_ids=ids, labels=ids).loss
    gc.collect()
    listed = [held.tensor for reference in references if (held := reference()) is not None]
    known = {x.untyped_storage()._cdata for x in (*model.parameters(), *model.buffers(), ids)}
    sizes = {x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in (*listed, *on_nodes(loss.grad_fn))}
    return {"quant": quant, "checkpointing": checkpointing, "saved": sum(size for at, size in sizes.items() if at not in known)}


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    functions.MatMul8bitFp = functions.MatMul8bitLt  # the CPU has a product of its own, which is not CUDA's
    cases = [record(quant, checkpointing) for quant in ("nf4", "llm-int8") for checkpointing in ("none", "full")]
    origin = f"bitsandbytes {bitsandbytes.__version__}, torch {torch.__version__}, transformers {transformers.__version__}"
    settings = {"batch_size": BATCH, "seq_len": LENGTH, "lora_r": RANK, "lora_targets": TARGETS}
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **CONFIG}
    print(json.dumps({"origin": origin, "config": config, "settings": settings, "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
