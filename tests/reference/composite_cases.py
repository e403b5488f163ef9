"""Tiny models of images and text, and the settings under which their kept tensors are recorded."""

from __future__ import annotations

from typing import Any

from activation_cases import TEXT, Case, Setting

TEXTS = (
    Setting(),
    Setting(attention="eager"),
    Setting("fp32"),
    Setting("bf16-mixed"),
    Setting(batch=1, length=16),
    Setting(checkpointing="full"),
    Setting("bf16-mixed", checkpointing="full"),
    Setting(lora="q_proj,v_proj"),
    Setting(lora="all-linear", adapter_dtype="fp32"),
)
"""Text alone: the tower's weights are there, and nothing of it runs."""
PICTURES = (
    Setting(images=1),
    Setting(attention="eager", images=1),
    Setting("fp32", images=1),
    Setting("bf16-mixed", images=1),
    Setting("bf16-mixed", "eager", images=1),
    Setting(batch=1, length=20, images=2),
    Setting("bf16-mixed", batch=1, length=20, images=2),
    Setting(checkpointing="full", images=1),
    Setting("bf16-mixed", checkpointing="full", images=1),
    Setting(lora="q_proj,v_proj", images=1),
    Setting(lora="all-linear", adapter_dtype="fp32", images=1),
    Setting(lora="all-linear", adapter_dtype="fp32", checkpointing="full", images=1),
)
"""With images in every sequence."""
VISION = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "intermediate_size": 56,
    "image_size": 24,
    "patch_size": 8,
}
CLIP = {**VISION, "model_type": "clip_vision_model"}
SIGLIP = {**VISION, "model_type": "siglip_vision_model"}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
QWEN2 = {**TEXT, "rope_parameters": ROPE}
QWEN3 = {**TEXT, "head_dim": 8, "rope_parameters": ROPE}
GEMMA3 = {**TEXT, "head_dim": 16, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
QWEN_VISION = {"depth": 2, "num_heads": 6, "patch_size": 4, "temporal_patch_size": 2, "spatial_merge_size": 2}


def composite(name: str, architecture: str, text: dict[str, Any], vision: dict[str, Any], **more: Any) -> Case:
    kind = more.pop("model_type", name)
    settings = more.pop("settings", TEXTS)
    return Case(name, kind, architecture, {"text_config": text, "vision_config": vision, **more}, settings=settings)


LLAMA = {**TEXT, "model_type": "llama"}
CASES = [
    composite("llava", "LlavaForConditionalGeneration", LLAMA, CLIP, image_token_id=3, settings=(*TEXTS, *PICTURES)),
    composite(
        "llava siglip",
        "LlavaForConditionalGeneration",
        LLAMA,
        SIGLIP,
        model_type="llava",
        image_token_id=3,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        settings=PICTURES,
    ),
    composite("llava_next", "LlavaNextForConditionalGeneration", LLAMA, CLIP, image_token_id=3),
    composite(
        "llava_onevision",
        "LlavaOnevisionForConditionalGeneration",
        {**TEXT, "model_type": "qwen2"},
        SIGLIP,
        image_token_id=3,
        video_token_id=4,
    ),
    composite(
        "paligemma",
        "PaliGemmaForConditionalGeneration",
        {**TEXT, "model_type": "gemma", "head_dim": 16},
        {**SIGLIP, "projection_dim": 48},
        image_token_id=3,
        projection_dim=48,
        hidden_size=48,
        settings=(*TEXTS, *PICTURES),
    ),
    composite(
        "qwen2_vl",
        "Qwen2VLForConditionalGeneration",
        QWEN2,
        {**QWEN_VISION, "embed_dim": 48, "hidden_size": 48, "mlp_ratio": 2},
        image_token_id=3,
    ),
    composite(
        "qwen2_5_vl",
        "Qwen2_5_VLForConditionalGeneration",
        QWEN2,
        {**QWEN_VISION, "hidden_size": 48, "intermediate_size": 56, "out_hidden_size": 48, "window_size": 16, "fullatt_block_indexes": [1]},
        image_token_id=3,
    ),
    composite(
        "qwen3_vl",
        "Qwen3VLForConditionalGeneration",
        QWEN3,
        {
            **QWEN_VISION,
            "hidden_size": 48,
            "intermediate_size": 56,
            "out_hidden_size": 48,
            "num_position_embeddings": 36,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=3,
    ),
    composite(
        "gemma3",
        "Gemma3ForConditionalGeneration",
        GEMMA3,
        {**SIGLIP, "image_size": 48},
        mm_tokens_per_image=9,
        image_token_index=3,
        settings=(*TEXTS, *PICTURES),
    ),
    composite(
        "idefics3",
        "Idefics3ForConditionalGeneration",
        LLAMA,
        {**VISION, "image_size": 32},
        image_token_id=3,
        scale_factor=2,
    ),
    composite(
        "smolvlm",
        "SmolVLMForConditionalGeneration",
        LLAMA,
        {**VISION, "image_size": 32},
        image_token_id=3,
        scale_factor=2,
    ),
    composite(
        "mllama",
        "MllamaForConditionalGeneration",
        {**TEXT, "num_hidden_layers": 3, "cross_attention_layers": [1]},
        {
            "hidden_size": 48,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 6,
            "intermediate_size": 56,
            "image_size": 24,
            "patch_size": 8,
            "max_num_tiles": 2,
            "vision_output_dim": 96,
            "intermediate_layers_indices": [0],
            "supported_aspect_ratios": [[1, 1], [1, 2]],
        },
        image_token_index=3,
    ),
    composite(
        "internvl",
        "InternVLForConditionalGeneration",
        {**TEXT, "model_type": "qwen2"},
        {
            "hidden_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 6,
            "intermediate_size": 56,
            "image_size": [32, 32],
            "patch_size": [8, 8],
        },
        image_token_id=3,
        settings=(*TEXTS, *PICTURES),
    ),
]
