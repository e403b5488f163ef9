"""Tiny models with recurrent layers, as transformers computes them where no kernels are installed beside it."""

from __future__ import annotations

from typing import Any

from activation_cases import TEXT, Case, Setting

SCANNED = (
    *(Setting(attention="eager", length=length) for length in (5, 8, 12, 16)),
    *(Setting("fp32", "eager", length=length) for length in (5, 8, 12)),
    Setting("bf16-mixed", "eager"),
    *(Setting(attention="eager", batch=1, length=length) for length in (5, 8, 20)),
    Setting(attention="eager", checkpointing="full"),
    Setting("bf16-mixed", "eager", checkpointing="full"),
    Setting(attention="eager", lora="in_proj"),
    Setting(attention="eager", lora="in_proj", adapter_dtype="fp32", checkpointing="full"),
    Setting("bf16-mixed", "eager", lora="in_proj"),
)
# Lengths below, at and across the eight tokens of a chunk.
MIXED = (
    *(Setting(length=length) for length in (5, 8, 12)),
    Setting(attention="eager"),
    Setting("fp32"),
    Setting("fp32", "eager", length=8),
    Setting("bf16-mixed"),
    Setting("bf16-mixed", "eager", length=5),
    Setting(batch=1, length=8),
    Setting(batch=1, length=20),
    Setting(checkpointing="full"),
    Setting("bf16-mixed", checkpointing="full"),
    Setting(lora="q_proj,v_proj"),
    Setting(lora="q_proj,in_proj", adapter_dtype="fp32"),
    Setting("bf16-mixed", lora="q_proj,v_proj"),
)
# With attention in some layers.
STEPPED = tuple(setting for setting in SCANNED if setting.length not in (8, 16))
# By a loop over tokens.
GATED = (
    *(Setting(length=length) for length in (5, 12)),
    Setting(attention="eager"),
    Setting("fp32"),
    Setting("fp32", "eager", length=5),
    Setting("bf16-mixed"),
    Setting(batch=1, length=5),
    Setting(checkpointing="full"),
    Setting("bf16-mixed", checkpointing="full"),
    Setting(lora="q_proj,linear_x,in_proj", adapter_dtype="fp32"),
    Setting("bf16-mixed", lora="all-linear"),
)
WEIGHED = (
    *(Setting(attention="eager", length=length) for length in (5, 12)),
    *(Setting("fp32", "eager", length=length) for length in (5, 12)),
    Setting("bf16-mixed", "eager"),
    Setting(attention="eager", batch=1, length=7),
    Setting(attention="eager", checkpointing="full"),
    Setting("bf16-mixed", "eager", checkpointing="full"),
    Setting(attention="eager", lora="key,value"),
    Setting("bf16-mixed", "eager", lora="all-linear"),
)
CONVOLVED = tuple(setting for setting in GATED if setting.precision == "bf16")
SPARSE = tuple(setting for setting in MIXED if setting.precision == "bf16")
# The grouped product of experts takes no fp32.

STATES = {"vocab_size": 97, "hidden_size": 24, "num_hidden_layers": 3, "state_size": 10, "expand": 2, "conv_kernel": 4}
MAMBA2 = {
    **{key: value for key, value in TEXT.items() if key != "pad_token_id"},
    "pad_token_id": 0,
    "num_hidden_layers": 3,
    "mamba_n_heads": 6,
    "mamba_d_head": 16,
    "mamba_n_groups": 2,
    "mamba_d_state": 10,
    "mamba_expand": 2,
    "mamba_d_conv": 4,
    "mamba_chunk_size": 8,
}
NEMOTRON = {
    **TEXT,
    "pad_token_id": 0,
    "mamba_num_heads": 6,
    "mamba_head_dim": 8,
    "ssm_state_size": 10,
    "n_groups": 2,
    "conv_kernel": 4,
    "chunk_size": 8,
    "head_dim": 8,
}
HYBRID = ["linear_attention", "linear_attention", "full_attention"]


def states(name: str, architecture: str, config: dict[str, Any], settings: tuple[Setting, ...] = SCANNED, **more: str) -> Case:
    return Case(name, more.get("model_type", name), architecture, config, settings=settings)


CASES = [
    states("mamba2", "Mamba2ForCausalLM", {**STATES, "num_heads": 6, "head_dim": 8, "n_groups": 2, "chunk_size": 8}),
    states(
        "mamba2 narrow stream",
        "Mamba2ForCausalLM",
        {
            **STATES,
            "num_heads": 6,
            "head_dim": 8,
            "n_groups": 6,
            "chunk_size": 8,
            "residual_in_fp32": False,
            "use_conv_bias": False,
            "use_bias": True,
            "tie_word_embeddings": True,
        },
        model_type="mamba2",
    ),
    states("bamba", "BambaForCausalLM", {**MAMBA2, "attn_layer_indices": [2]}, MIXED),
    states("falcon_h1", "FalconH1ForCausalLM", {**MAMBA2, "mamba_d_ssm": 96, "head_dim": 8}, MIXED),
    states(
        "falcon_h1 norm first",
        "FalconH1ForCausalLM",
        {**MAMBA2, "mamba_d_ssm": 96, "head_dim": 8, "mamba_rms_norm": True},
        MIXED,
        model_type="falcon_h1",
    ),
    states(
        "falcon_h1 gate first",
        "FalconH1ForCausalLM",
        {**MAMBA2, "mamba_d_ssm": 96, "head_dim": 8, "mamba_rms_norm": True, "mamba_norm_before_gate": False},
        MIXED,
        model_type="falcon_h1",
    ),
    states(
        "granitemoehybrid",
        "GraniteMoeHybridForCausalLM",
        {**MAMBA2, "layer_types": HYBRID, "num_local_experts": 6, "num_experts_per_tok": 2, "shared_intermediate_size": 24},
        SPARSE,
    ),
    states(
        "granitemoehybrid dense",
        "GraniteMoeHybridForCausalLM",
        {
            **MAMBA2,
            "layer_types": HYBRID,
            "num_local_experts": 0,
            "num_experts_per_tok": 0,
            "shared_intermediate_size": 24,
            "position_embedding_type": "rope",
        },
        MIXED,
        model_type="granitemoehybrid",
    ),
    states(
        "nemotron_h",
        "NemotronHForCausalLM",
        {**NEMOTRON, "num_hidden_layers": 4, "layers_block_type": ["linear_attention", "mlp", "full_attention", "linear_attention"]},
        MIXED,
    ),
    states(
        "nemotron_h experts",
        "NemotronHForCausalLM",
        {
            **NEMOTRON,
            "num_hidden_layers": 3,
            "layers_block_type": ["linear_attention", "moe", "full_attention"],
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "moe_intermediate_size": 40,
            "moe_shared_expert_intermediate_size": 24,
        },
        SPARSE,
        model_type="nemotron_h",
    ),
    states(
        "zamba2",
        "Zamba2ForCausalLM",
        {
            "vocab_size": 97,
            "hidden_size": 48,
            "num_hidden_layers": 4,
            "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
            "mamba_d_state": 10,
            "mamba_d_conv": 4,
            "mamba_expand": 2,
            "mamba_ngroups": 2,
            "n_mamba_heads": 6,
            "mamba_headdim": 16,
            "chunk_size": 8,
            "num_attention_heads": 6,
            "intermediate_size": 56,
            "adapter_rank": 4,
            "num_mem_blocks": 2,
            "use_mem_rope": True,
            "use_shared_attention_adapter": True,
        },
        MIXED,
    ),
    states("mamba", "MambaForCausalLM", {**STATES, "time_step_rank": 3}, STEPPED),
    states("falcon_mamba", "FalconMambaForCausalLM", {**STATES, "use_bias": True, "use_conv_bias": False}, STEPPED),
    states(
        "jamba",
        "JambaForCausalLM",
        {
            **TEXT,
            "pad_token_id": 0,
            "num_hidden_layers": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 4,
            "expert_layer_offset": 2,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "mamba_d_state": 10,
            "mamba_d_conv": 4,
            "mamba_dt_rank": 3,
        },
        SPARSE,
    ),
    states(
        "jamba dense",
        "JambaForCausalLM",
        {
            **TEXT,
            "pad_token_id": 0,
            "num_hidden_layers": 3,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "num_experts": 1,
            "num_experts_per_tok": 1,
            "mamba_d_state": 10,
            "mamba_d_conv": 4,
            "mamba_dt_rank": 3,
        },
        MIXED,
        model_type="jamba",
    ),
    states(
        "recurrent_gemma",
        "RecurrentGemmaForCausalLM",
        {
            **TEXT,
            "pad_token_id": 0,
            "num_hidden_layers": 4,
            "head_dim": 8,
            "lru_width": 54,
            "attention_window_size": 9,
            "block_types": ["recurrent", "recurrent", "attention"],
        },
        GATED,
    ),
    states(
        "rwkv",
        "RwkvForCausalLM",
        {"vocab_size": 97, "hidden_size": 48, "attention_hidden_size": 40, "num_hidden_layers": 3, "intermediate_size": 56},
        WEIGHED,
    ),
    states(
        "lfm2",
        "Lfm2ForCausalLM",
        {**TEXT, "pad_token_id": 0, "num_hidden_layers": 3, "layer_types": ["conv", "conv", "full_attention"], "block_multiple_of": 8},
        GATED,
    ),
    states(
        "lfm2_moe",
        "Lfm2MoeForCausalLM",
        {
            **TEXT,
            "pad_token_id": 0,
            "num_hidden_layers": 3,
            "layer_types": ["conv", "conv", "full_attention"],
            "moe_intermediate_size": 40,
            "num_dense_layers": 1,
            "num_experts": 6,
            "num_experts_per_tok": 2,
        },
        CONVOLVED,
    ),
    states(
        "lfm3",
        "Lfm3ForCausalLM",
        {
            **TEXT,
            "pad_token_id": 0,
            "num_hidden_layers": 4,
            "layer_types": ["conv", "sliding_attention", "full_attention", "conv"],
            "head_dim": 16,
            "sliding_window": 9,
        },
        GATED,
    ),
]
