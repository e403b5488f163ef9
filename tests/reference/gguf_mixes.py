"""Records which type llama.cpp's quantizer gives every tensor: reads the snapshots of its own test, writes one JSON.

    python tests/reference/gguf_mixes.py FOLDER > tests/golden/gguf_mixes.json

FOLDER is tests/snapshots of ggml-org/llama.cpp: one file a model, one section a mix, one line a tensor whose type is not
the mix's own. Here the lines are gathered: tensor of a layer -> type -> layers (`0-3,6`), `""` for one outside of layers.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ORIGIN = (
    "tests/snapshots/*.schema of ggml-org/llama.cpp (MIT), as of June 2026, made by tests/test-quant-type-selection.cpp "
    "without an importance matrix: per mix the default type, and every tensor that gets another, with its layers"
)
MODELS = {
    "deepseek-v3.1": {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"]},
    "gemma-3-4b-it": {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
    },
    "glm-4.6v": {
        "model_type": "glm4_moe",
        "architectures": ["Glm4MoeForCausalLM"],
        "hidden_size": 4096,
        "intermediate_size": 10944,
        "num_hidden_layers": 46,
        "num_attention_heads": 96,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "n_routed_experts": 128,
        "moe_intermediate_size": 1408,
        "first_k_dense_replace": 1,
        "vocab_size": 151552,
        "use_qk_norm": False,
        "attention_bias": True,
    },
    "gpt-oss-120b": {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "num_local_experts": 128},
    "meta-llama-3.1-70b-instruct": {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
    },
    "nemotron-nano-3-30b-a3b": {
        "model_type": "nemotron_h",
        "architectures": ["NemotronHForCausalLM"],
        "hidden_size": 2688,
        "num_hidden_layers": 52,
        "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
        "num_attention_heads": 32,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "vocab_size": 131072,
        "n_routed_experts": 128,
        "num_experts_per_tok": 6,
        "moe_intermediate_size": 1856,
        "moe_shared_expert_intermediate_size": 3712,
        "n_shared_experts": 1,
        "mamba_num_heads": 64,
        "mamba_head_dim": 64,
        "ssm_state_size": 128,
        "n_groups": 8,
        "intermediate_size": 1856,
        "tie_word_embeddings": False,
    },
    "qwen3-0.6b": {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": False,
    },
    "qwen3-coder-next": {
        "model_type": "qwen3_next",
        "architectures": ["Qwen3NextForCausalLM"],
        "hidden_size": 2048,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "num_experts": 512,
        "tie_word_embeddings": False,
    },
}
"""Configs of the recorded models: what their makers published, as far as types depend on it."""


def main(folder: Path) -> None:
    models = {name: {"config": config, "mixes": dict(sections(folder / f"{name}.schema"))} for name, config in MODELS.items()}
    lines = [f' "origin": {json.dumps(ORIGIN)},', ' "models": {']
    for number, (name, model) in enumerate(models.items()):
        lines += [f"  {json.dumps(name)}: {{", f'   "config": {json.dumps(model["config"])},', '   "mixes": {']
        lines.append(",\n".join(f"    {json.dumps(mix)}: {json.dumps(rest)}" for mix, rest in model["mixes"].items()))
        lines.append("  }}" + ("," if number < len(models) - 1 else ""))
    print("{\n" + "\n".join(lines) + "\n }\n}")


def sections(path: Path) -> Iterator[tuple[str, list[object]]]:
    """(mix, [its own type, {tensor: {type: layers}}]) of one snapshot."""
    for section in re.split(r"\n(?=\[)", path.read_text())[1:]:
        head, *rest = section.strip().splitlines()
        mix, default = re.fullmatch(r"\[(\w+)\] (\w+)", head).groups()  # type: ignore[union-attr]
        found: dict[str, dict[str, list[int]]] = {}
        for line in rest:
            name, kind = line.split()
            layer = re.match(r"blk\.(\d+)\.", name)
            tensor = re.sub(r"^blk\.\d+\.|\.weight$", "", name)
            found.setdefault(tensor, {}).setdefault(kind.upper(), []).extend([int(layer[1])] if layer else [])
        yield mix, [default.upper(), {tensor: {kind: ranges(at) for kind, at in kinds.items()} for tensor, kinds in found.items()}]


def ranges(layers: list[int]) -> str:
    """`0-3,6` for 0, 1, 2, 3 and 6."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and runs[-1][1] == layer - 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
