"""What has to be said beside a default config that builds no model, by type or by task/type.

Most of these types declare a size as null, or have no released config of that kind; the values are ordinary ones.
"""

from __future__ import annotations

from typing import Any

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LAYERED_ROPE = {"full_attention": ROPE, "sliding_attention": ROPE}
QWEN4_INDEXER = {
    "indexer_budget": 2048,
    "indexer_compress_ratio": 4,
    "indexer_head_dim": 256,
    "indexer_kv_heads": 1,
    "indexer_n_heads": 16,
}

SWIN = {"model_type": "swin", "depths": [2, 2, 18, 2], "embed_dim": 128, "num_heads": [4, 8, 16, 32], "window_size": 12}
"""The Swin-B of segmenters' and detectors' checkpoints: the default of their classes, shrunk, has heads that do not divide its width,
which builds but cannot run."""

COMPLETED: dict[str, dict[str, Any]] = {
    "autoformer": {"prediction_length": 24},
    "aya_vision": {
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "image_size": 384,
            "intermediate_size": 4304,
            "num_attention_heads": 16,  # 14 by default, which does not divide 1152
            "num_hidden_layers": 26,
            "patch_size": 14,
            "vision_use_head": False,
        }
    },
    "chameleon": {"vocabulary_map": {"<image>": 8711}},
    "cohere_compass": {"text_config": {"rope_parameters": LAYERED_ROPE}},
    "cohere_compass_text": {"rope_parameters": LAYERED_ROPE},
    "dbrx": {"attn_config": {"rope_theta": 10000.0}},
    "deepseek_ocr2": {"text_config": {"mlp_layer_types": ["dense"] + ["sparse"] * 31, "num_experts_per_tok": 6}},
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense"] + ["sparse"] * 31, "num_experts_per_tok": 6},
    "diffusion_gemma": {"text_config": {"num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704}},
    "diffusion_gemma_text": {"num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704},
    "dots1": {"n_routed_experts": 128, "n_shared_experts": 2, "num_experts_per_tok": 6},
    "esm": {"vocab_size": 33, "pad_token_id": 1},
    # All layers shared, as by default, builds nothing in this version; gemma4_assistant allows nothing else.
    "gemma4_unified_assistant": {"text_config": {"num_kv_shared_layers": 2}},
    "grounding-dino": {"backbone_config": SWIN | {"out_features": ["stage2", "stage3", "stage4"]}},
    "granite4_vision": {"deepstack_layer_map": [[3, 6], [7, 12]], "downsample_rate": "2/4"},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 16, "moe_topk": 2},
    "hunyuan_vl": {"text_config": {"head_dim": 128}},
    "hunyuan_vl_text": {"head_dim": 128},
    "image_text/emu3": {"vocabulary_map": {"<image>": 151851, "<|extra_200|>": 151846}},
    "informer": {"prediction_length": 24},
    "lfm2_moe": {"layer_types": (["conv", "conv", "full_attention"] * 11)[:32]},
    "mask2former": {"backbone_config": SWIN | {"out_features": ["stage1", "stage2", "stage3", "stage4"]}},
    "mm-grounding-dino": {"backbone_config": SWIN | {"out_features": ["stage2", "stage3", "stage4"]}},
    "ministral": {"head_dim": 128},
    "moonshine_streaming": {"num_key_value_heads": 8},
    "nemotron": {"num_key_value_heads": 8, "head_dim": 128},
    # As facebook/Perception-LM-1B has it; the default encoder is a ResNet-50, without the key that the bridge reads.
    "perception_lm": {
        "vision_config": {
            "model_type": "timm_wrapper",
            "architecture": "vit_pe_core_large_patch14_336",
            "model_args": {
                "depth": 23,
                "embed_dim": 1024,
                "global_pool": "",
                "img_size": [448, 448],
                "init_values": 0.1,
                "ref_feat_shape": [32, 32],
                "use_post_transformer_norm": False,
            },
        }
    },
    "qwen4_exp": {"text_config": QWEN4_INDEXER},
    "qwen4_exp_text": QWEN4_INDEXER,
    "causal_lm/reformer": {"is_decoder": True},
    "time_series_transformer": {"prediction_length": 24},
    "wav2vec2-bert": {"vocab_size": 32},
    "wav2vec2-conformer": {"vocab_size": 32},
}


def completed(model_type: str, task: str) -> dict[str, Any]:
    return COMPLETED.get(f"{task}/{model_type}", COMPLETED.get(model_type, {}))
