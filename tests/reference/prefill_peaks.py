"""Records how much lives while transformers reads a prompt, makes one more token, and what its caches hold.

    python tests/reference/prefill_peaks.py > tests/golden/prefill_peaks.json

Small models are built and run on the meta device, where every operation of the forward pass runs but none computes. Each storage
is counted from the operation that makes it until nothing refers to it; parameters and buffers are not. The attention kernel is
stood in for by what it allocates: its result, the sums of its rows and, where a mask is boolean, the mask in the queries' format.
Needs torch and transformers.
"""

from __future__ import annotations

import json
import warnings
import weakref
from typing import Any

import torch
import torch.nn.functional as functional
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

SMALL = {"vocab_size": 1000, "num_hidden_layers": 3, "max_position_embeddings": 65536}
WIDE = {"hidden_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 2, **SMALL}
LATENT = {"q_lora_rank": 256, "kv_lora_rank": 128, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32}
HEADS16 = {"num_attention_heads": 16, "num_key_value_heads": 16, "hidden_size": 1024, **SMALL}

CASES: dict[str, dict[str, Any]] = {
    "llama": {"config": {"model_type": "llama", "intermediate_size": 3584, **WIDE}},
    "llama, scores whole": {"config": {"model_type": "llama", "intermediate_size": 3584, **WIDE}, "attention": "eager"},
    "llama, one long sequence": {"config": {"model_type": "llama", "intermediate_size": 3584, **WIDE}, "batch": 1, "prompt": 16384},
    "llama, narrow feed-forward": {"config": {"model_type": "llama", "intermediate_size": 1024, **WIDE, "num_key_value_heads": 8}},
    "llama, many words": {
        "config": {"model_type": "llama", "intermediate_size": 512, **WIDE, "hidden_size": 256, "vocab_size": 200000},
        "batch": 64,
        "prompt": 16,
    },
    "mistral": {"config": {"model_type": "mistral", "intermediate_size": 3584, "sliding_window": 512, **WIDE}},
    "qwen3": {"config": {"model_type": "qwen3", "intermediate_size": 3072, **HEADS16, "num_key_value_heads": 8, "head_dim": 128}},
    "gemma 2": {
        "config": {"model_type": "gemma2", "intermediate_size": 4096, "head_dim": 128, "sliding_window": 512, **WIDE},
        "attention": "eager",
    },
    "gemma 3": {"config": {"model_type": "gemma3_text", "intermediate_size": 4096, "head_dim": 128, "sliding_window": 512, **WIDE}},
    "phi3": {"config": {"model_type": "phi3", "intermediate_size": 3072, "pad_token_id": 0, **WIDE, "num_key_value_heads": 8}},
    "mixtral": {"config": {"model_type": "mixtral", "intermediate_size": 3584, "num_local_experts": 8, "num_experts_per_tok": 2, **WIDE}},
    "olmoe": {"config": {"model_type": "olmoe", "intermediate_size": 512, "num_experts": 16, "num_experts_per_tok": 8, **WIDE}},
    "gpt-oss": {
        "config": {"model_type": "gpt_oss", "intermediate_size": 1024, "head_dim": 64, "num_local_experts": 8, "num_experts_per_tok": 4}
        | {"sliding_window": 128, **HEADS16, "num_key_value_heads": 4},
        "attention": "eager",
    },
    "minicpm3": {"config": {"model_type": "minicpm3", "intermediate_size": 512, **LATENT, **HEADS16}},
    "gpt2": {"config": {"model_type": "gpt2", "n_embd": 768, "n_layer": 3, "n_head": 12, "n_positions": 4096, "vocab_size": 1000}},
    "opt": {
        "config": {"model_type": "opt", "hidden_size": 768, "ffn_dim": 3072, "num_attention_heads": 12, "num_hidden_layers": 3}
        | {"vocab_size": 1000, "max_position_embeddings": 4096, "word_embed_proj_dim": 768}
    },
    "gpt-neox": {
        "config": {"model_type": "gpt_neox", "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
        | {"num_hidden_layers": 3, "vocab_size": 1000, "max_position_embeddings": 4096}
    },
}


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
    """What a fused kernel allocates."""
    batch, heads, tokens, _dims = query.shape
    mask = attn_mask
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.empty(mask.shape, dtype=query.dtype, device=query.device)
    made = torch.empty((batch, tokens, heads, value.shape[-1]), dtype=query.dtype, device=query.device).transpose(1, 2)
    torch.empty((batch, heads, tokens), dtype=torch.float32, device=query.device)
    del mask
    return made


class Living(TorchDispatchMode):
    """Bytes of all storages that operations made and something still refers to."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.kept = [tensor.untyped_storage() for tensor in (*model.parameters(), *model.buffers())]
        self.skipped = {id(storage) for storage in self.kept}
        self.sizes: dict[int, tuple[weakref.ref[Any], int]] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "meta":
                self._see(tensor.untyped_storage())
        return made

    def _see(self, storage: Any) -> None:
        key = id(storage)
        if key in self.skipped or (key in self.sizes and self.sizes[key][0]() is storage):
            return
        self.sizes[key] = (weakref.ref(storage, lambda _, key=key: self._gone(key)), storage.nbytes())
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)

    def _gone(self, key: int) -> None:
        self.now -= self.sizes.pop(key)[1]


def held(cache: Any) -> int:
    """Bytes of a cache's keys and values by their shapes."""
    return sum(t.numel() * t.element_size() for layer in cache.layers for t in (layer.keys, layer.values))


def measured(config: dict[str, Any], batch: int = 2, prompt: int = 2048, attention: str | None = None) -> dict[str, int]:
    kind = {"attn_implementation": attention} if attention else {}
    with torch.device("meta"):
        settings = transformers.AutoConfig.for_model(**config)
        model = transformers.AutoModelForCausalLM.from_config(settings, **kind).eval().to(torch.bfloat16)
        ids, one = (torch.zeros((batch, tokens), dtype=torch.long) for tokens in (prompt, 1))
    living = Living(model)
    with torch.no_grad(), living:
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        prefill, after = living.peak, living.now
        cache = out.past_key_values
        found = {"prefill_peak": prefill, "after_prefill": after, "cache": held(cache)}
        del out
        before = living.peak = living.now
        model(input_ids=one, past_key_values=cache, use_cache=True, logits_to_keep=1)
        found |= {"before_step": before, "step_peak": living.peak}
        static = transformers.StaticCache(config=settings, max_cache_len=prompt)
        model(input_ids=ids, past_key_values=static, use_cache=True, logits_to_keep=1)
    return found | {"static_cache": held(static)}


def main() -> None:
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    functional.scaled_dot_product_attention = attention
    cases = []
    for name, case in CASES.items():
        asked = {"batch": case.get("batch", 2), "prompt": case.get("prompt", 2048)}
        found = measured(case["config"], attention=case.get("attention"), **asked)
        cases.append({"name": name, "config": case["config"], **asked, "attention": case.get("attention"), **found})
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps({"origin": "tests/reference/prefill_peaks.py", **versions, "dtype": "bf16", "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
