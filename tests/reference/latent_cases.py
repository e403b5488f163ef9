"""Tiny models with latent attention whose indexer chooses tokens, and its like."""

from __future__ import annotations

from typing import Any

from activation_cases import FULL, HALF, MLA, Case, Setting

INDEXED = {**MLA, "q_lora_rank": 32, "index_n_heads": 2, "index_head_dim": 16, "index_topk": 8, "max_position_embeddings": 64}
DENSE = {"mlp_layer_types": ["dense", "dense"], "first_k_dense_replace": 2}
LORA = (Setting(lora="q_a_proj,kv_b_proj", adapter_dtype="fp32", length=20),)


def latent(name: str, architecture: str, config: dict[str, Any], settings: tuple[Setting, ...]) -> Case:
    return Case(name, name.split()[0], architecture, {**INDEXED, **config}, settings=settings)


CASES = [
    latent("axk2", "AXK2ForCausalLM", {**DENSE, "gated_norm_rank": 8}, (*FULL, *LORA)),
    latent("axk2 sparse", "AXK2ForCausalLM", {"gated_norm_rank": 8, "mlp_layer_types": ["dense", "sparse"]}, HALF),
    latent("axk1", "AXK1ForCausalLM", DENSE, (*FULL, *LORA)),
    latent("deepseek_v32", "DeepseekV32ForCausalLM", DENSE, (*FULL, *LORA)),
    latent("deepseek_v32 sparse", "DeepseekV32ForCausalLM", {}, HALF),
    latent("glm_moe_dsa", "GlmMoeDsaForCausalLM", DENSE, (*FULL, *LORA)),
    latent("glm_moe_dsa sparse", "GlmMoeDsaForCausalLM", {"mlp_layer_types": ["dense", "sparse"]}, HALF),
    latent("glm_moe_dsa shared", "GlmMoeDsaForCausalLM", {**DENSE, "indexer_types": ["full", "shared"]}, FULL),
    latent("youtu", "YoutuForCausalLM", {}, FULL),
]
