"""A GGUF file as an architecture: its metadata read as the config of a family, held against its tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from paramcalc.gate.families.index import HOMES
from paramcalc.gate.weights.gguf import Gguf, read_gguf
from paramcalc.gate.weights.read import from_tensors
from paramcalc.gate.weights.tensors import folded
from paramcalc.holdings.inventory import inventory
from paramcalc.model.architecture import Architecture, Origin
from paramcalc.words.errors import InputError, ParamcalcError
from paramcalc.words.sizes import product

FAMILIES = {
    "arcee": "arcee", "bloom": "bloom", "command-r": "cohere", "cohere2": "cohere2", "deepseek2": "deepseek_v3", "ernie4_5": "ernie4_5",
    "exaone4": "exaone4", "falcon": "falcon", "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3_text", "glm4": "glm4",
    "gpt-oss": "gpt_oss", "gpt2": "gpt2", "gptneox": "gpt_neox", "granite": "granite", "granitemoe": "granitemoe", "llama": "llama",
    "mistral3": "ministral3", "mpt": "mpt", "nemotron": "nemotron", "olmo": "olmo", "olmo2": "olmo2", "olmoe": "olmoe", "phi2": "phi",
    "phi3": "phi3", "qwen2": "qwen2", "qwen2moe": "qwen2_moe", "qwen3": "qwen3", "qwen3moe": "qwen3_moe", "seed_oss": "seed_oss",
    "smollm3": "smollm3", "stablelm": "stablelm", "starcoder2": "starcoder2",
}  # fmt: skip
"""`general.architecture` of llama.cpp to the family of the same model (gguf-py/gguf/constants.py, MODEL_ARCH_NAMES)."""
SIZES = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "sliding_window": "attention.sliding_window",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
    "first_k_dense_replace": "leading_dense_block_count",
    "q_lora_rank": "attention.q_lora_rank",
    "kv_lora_rank": "attention.kv_lora_rank",
    "n_shared_experts": "expert_shared_count",
}
"""A config's keys to those of the metadata, below the architecture's name."""
NO_PARAMETERS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Rotary tables that llama.cpp stores as tensors."""


def read_gguf_model(path: Path, name: str, from_config: Callable[[dict[str, Any], str], Architecture]) -> Architecture:
    """Read a GGUF file. Its counts are those of its tensors; caches and activations need a family that knows it."""
    gguf = read_gguf(path, name)
    stored: dict[str, int] = {}
    for tensor in gguf.tensors:
        stored[tensor.format] = stored.get(tensor.format, 0) + tensor.bytes
    model, note = _known(gguf, name, from_config)
    if model is None:
        kept = [tensor for tensor in gguf.tensors if tensor.name not in NO_PARAMETERS]
        plain = [tensor._replace(format="F32") for tensor in kept]  # every GGML type holds one parameter an element
        model = from_tensors(folded(plain), name, "gguf")
    title = gguf.metadata.get("general.name")
    origin = Origin(name, "gguf", warnings=tuple(filter(None, (*model.origin.warnings, note))), stored=stored)
    named = title if isinstance(title, str) and title else model.name
    return model.model_copy(update={"origin": origin, "name": named})


def _known(gguf: Gguf, name: str, from_config: Callable[[dict[str, Any], str], Architecture]) -> tuple[Architecture | None, str]:
    """The model that a family makes of the metadata, if it holds exactly what the file holds; else why there is none."""
    architecture = gguf.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise InputError("its metadata has no general.architecture", place=name)
    family = FAMILIES.get(architecture)
    if family not in HOMES:
        return None, f"no family is known for the GGUF architecture {architecture!r:.60}: caches and activations are unknown"
    try:
        model = from_config(config_of(gguf, architecture, family), name)
    except ParamcalcError as error:
        return None, f"its metadata does not make a {family}: {error.problems[0]}"
    held = sum(product(tensor.shape) for tensor in gguf.tensors if tensor.name not in NO_PARAMETERS)
    total = sum(row.total for row in inventory(model))
    if held != total:
        return (
            None,
            f"its {held:,} elements are not the {total:,} that its metadata makes of a {family}: caches and activations are unknown",
        )
    return model, f"its metadata read as {family}, which holds as many parameters as the file"


def config_of(gguf: Gguf, architecture: str, family: str) -> dict[str, Any]:
    """The config that a GGUF file's metadata and tensors amount to."""
    names = {tensor.name: tensor for tensor in gguf.tensors}
    config: dict[str, Any] = {}
    for key, own in SIZES.items():
        value = gguf.metadata.get(f"{architecture}.{own}")
        if isinstance(value, list):  # one for each layer; families that vary by layer are not among those above
            value = value[0] if len(set(value)) == 1 else value
        if value:
            config[key] = value
    table = names.get("token_embd.weight")
    if table is not None:
        config["vocab_size"] = table.shape[0]
    config["tie_word_embeddings"] = "output.weight" not in names
    experts = gguf.metadata.get(f"{architecture}.expert_count")
    if experts:
        config["num_local_experts" if family in ("llama", "gpt_oss", "granitemoe") else "num_experts"] = experts
        if family == "llama":
            family = "mixtral"
    if family == "deepseek_v3":
        config |= _latent(gguf, architecture, config, experts)
    if "blk.0.attn_q.bias" in names and family in ("llama", "qwen3", "qwen3_moe"):
        config["attention_bias"] = True
    return config | {"model_type": family}


def _latent(gguf: Gguf, architecture: str, config: dict[str, Any], experts: int | None) -> dict[str, Any]:
    """DeepSeek's head dims: those of one head, or (older files) of the expanded heads."""
    rope = gguf.metadata.get(f"{architecture}.rope.dimension_count", 0)
    key = gguf.metadata.get(f"{architecture}.attention.key_length_mla", gguf.metadata.get(f"{architecture}.attention.key_length", 0))
    value = gguf.metadata.get(f"{architecture}.attention.value_length_mla", gguf.metadata.get(f"{architecture}.attention.value_length", 0))
    config.pop("head_dim", None)
    config.pop("num_experts", None)
    own = {"qk_rope_head_dim": rope, "qk_nope_head_dim": key - rope, "v_head_dim": value, "n_routed_experts": experts}
    return own | {"q_lora_rank": config.get("q_lora_rank"), "num_key_value_heads": config.get("num_attention_heads")}
