"""Tiny models with linear attention and its like, at lengths below, at and across the 64 tokens of a chunk."""

from __future__ import annotations

from typing import Any

from activation_cases import TEXT, Case, Setting

CHUNKED = (
    *(Setting(length=length) for length in (12, 64, 130, 200)),
    *(Setting("fp32", length=length) for length in (64, 65, 192)),
    Setting("fp32", batch=1, length=128),
    Setting("fp32", batch=1, length=64),
    Setting("fp32", "eager", batch=1, length=130),
    Setting("bf16-mixed", length=200),
    Setting("bf16-mixed", "eager"),
    Setting(batch=1, length=64),
    Setting(checkpointing="full", length=70),
    Setting("bf16-mixed", checkpointing="full", length=70),
    Setting(lora="all-linear", adapter_dtype="fp32", length=130),
    Setting("bf16-mixed", lora="all-linear", length=70),
    Setting(lora="all-linear", checkpointing="full", length=200),
)
# PEFT's own choice of linear layers passes the experts' gates, which is another matter.
NEXT = (
    *(setting for setting in CHUNKED if not setting.lora),
    Setting(lora="in_proj_qkvz,in_proj_ba,out_proj,q_proj,k_proj,v_proj,o_proj", adapter_dtype="fp32", length=130),
    Setting("bf16-mixed", lora="in_proj_qkvz,out_proj", length=70),
)
# The grouped product of experts takes no fp32, and autocast has no say in it.
HALF = tuple(setting for setting in NEXT if setting.precision == "bf16")
DELTA = {
    **TEXT,
    "layer_types": ["linear_attention", "full_attention"],
    "max_position_embeddings": 256,
    "head_dim": 16,
    "linear_num_key_heads": 3,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 10,
}
SPARSE = {"moe_intermediate_size": 40, "shared_expert_intermediate_size": 24, "num_experts": 6, "num_experts_per_tok": 2}

SEEING = {"depth": 1, "hidden_size": 24, "num_heads": 3, "intermediate_size": 32, "out_hidden_size": 48, "num_position_embeddings": 16}

KIMI = {
    **TEXT,
    "layer_types": ["linear_attention", "full_attention"],
    "mlp_layer_types": ["dense", "dense"],
    "max_position_embeddings": 256,
    "num_key_value_heads": 6,
    "linear_num_heads": 3,
    "linear_head_dim": 8,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
}
LING = {**KIMI, "head_dim": 8}
KIMI_SPARSE = {
    "mlp_layer_types": ["dense", "sparse"],
    "moe_intermediate_size": 40,
    "num_experts": 8,
    "num_experts_per_token": 2,
    "num_shared_experts": 1,
    "num_expert_group": 2,
    "topk_group": 1,
}
MINIMAX = {
    **TEXT,
    "layer_types": ["linear_attention", "full_attention"],
    "max_position_embeddings": 256,
    "head_dim": 8,
    "num_local_experts": 6,
    "num_experts_per_tok": 2,
    "block_size": 24,
}
# Chunks of 24: fewer, whole and more; the reference's experts run in no other format.
BLOCKS = (
    *(Setting(length=length) for length in (12, 24, 30, 72, 100)),
    Setting(attention="eager", length=50),
    Setting(batch=1, length=100),
    Setting(checkpointing="full", length=100),
    Setting(lora="qkv_proj,output_gate", adapter_dtype="fp32", length=100),
    Setting(lora="output_gate,out_proj", length=30),
    Setting(autocast=True, length=100),
)
# LoRA with the names of the linear layers alone; see NEXT.
KDA = (
    *(setting for setting in CHUNKED if not setting.lora),
    Setting(lora="q_proj,f_b_proj,f_proj,o_proj", adapter_dtype="fp32", length=130),
    Setting("bf16-mixed", lora="b_proj,v_proj", length=70),
)


def hybrid(name: str, architecture: str, config: dict[str, Any], settings: tuple[Setting, ...] = CHUNKED) -> Case:
    return Case(name, name.split()[0], architecture, {**DELTA, **config}, settings=settings)


def composite(name: str, architecture: str, config: dict[str, Any], settings: tuple[Setting, ...] = CHUNKED) -> Case:
    """A model of images and text, given text alone."""
    words = {**DELTA, **config, "model_type": f"{name}_text"}
    whole = {"text_config": words, "vision_config": SEEING | {"model_type": f"{name}_vision"}, "tie_word_embeddings": False}
    return Case(name, name, architecture, whole, settings=tuple(setting for setting in settings if not setting.lora))


def kimi(name: str, config: dict[str, Any], settings: tuple[Setting, ...] = KDA) -> Case:
    kind = name.split()[0]
    architecture, plain = {"kimi_linear": ("KimiLinearForCausalLM", KIMI), "bailing_hybrid": ("BailingHybridForCausalLM", LING)}[kind]
    return Case(name, kind, architecture, {**plain, **config}, settings=settings)


def gates(*targets: str) -> tuple[Setting, ...]:
    """LoRA on projections of the linear layers alone: what stands before them needs no gradient."""
    return tuple(Setting(lora=target, length=70) for target in targets)


CASES = [
    hybrid("qwen3_5_text", "Qwen3_5ForCausalLM", {}, (*CHUNKED, *gates("in_proj_a", "in_proj_b", "in_proj_qkv", "in_proj_z", "out_proj"))),
    hybrid("qwen3_5_text ungrouped", "Qwen3_5ForCausalLM", {"linear_num_key_heads": 6}),
    hybrid("qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", SPARSE, tuple(s for s in CHUNKED if s.precision == "bf16")),
    hybrid("qwen3_next", "Qwen3NextForCausalLM", {**SPARSE, "mlp_only_layers": [0, 1]}, (*NEXT, *gates("in_proj_qkvz", "in_proj_ba"))),
    hybrid("qwen3_next sparse", "Qwen3NextForCausalLM", SPARSE, HALF),
    hybrid("qwen3_next ungrouped", "Qwen3NextForCausalLM", {**SPARSE, "mlp_only_layers": [0, 1], "linear_num_key_heads": 6}, NEXT),
    hybrid("qwen3_next one key head", "Qwen3NextForCausalLM", {**SPARSE, "mlp_only_layers": [0, 1], "linear_num_key_heads": 1}, NEXT),
    hybrid("olmo_hybrid", "OlmoHybridForCausalLM", {}, (*CHUNKED, *gates("q_proj,v_proj"))),
    hybrid("olmo_hybrid positive", "OlmoHybridForCausalLM", {"linear_allow_neg_eigval": False, "linear_num_key_heads": 6}),
    composite("qwen3_5", "Qwen3_5ForConditionalGeneration", {}),
    composite("qwen3_5_moe", "Qwen3_5MoeForConditionalGeneration", SPARSE, HALF),
    Case("minimax", "minimax", "MiniMaxForCausalLM", MINIMAX, settings=BLOCKS),
    kimi("kimi_linear", {}),
    kimi("kimi_linear sparse", KIMI_SPARSE, tuple(setting for setting in KDA if setting.precision == "bf16")),
    kimi("bailing_hybrid", {}),
    kimi("bailing_hybrid unbounded", {"kda_safe_gate": False}),
    kimi("bailing_hybrid sparse", KIMI_SPARSE, tuple(setting for setting in KDA if setting.precision == "bf16")),
]
