"""Tiny models that see images, and the settings under which their kept tensors are recorded: see `activation_cases.py`.

Each type comes with two sizes of images, one of which no patch, stride or window divides.
"""

from __future__ import annotations

from typing import Any

from activation_cases import FULL, TEXT, Case, Setting

PLAIN = (Setting(attention="eager"), Setting("fp32", "eager"), Setting("bf16-mixed", "eager"), Setting(attention="eager", batch=1))
"""Of classes that have no choice of attention and cannot be checkpointed."""
REDONE = (Setting(attention="eager", checkpointing="full"), Setting("bf16-mixed", "eager", checkpointing="full"))
ADAPTED = (
    Setting(lora="all-linear"),
    Setting(lora="all-linear", adapter_dtype="fp32", checkpointing="full"),
    Setting("bf16-mixed", "eager", lora="all-linear"),
)
SEES = (*FULL, *ADAPTED)

VIT = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 56, "image_size": 24, "patch_size": 8}
UNEVEN = {"image_size": 38, "patch_size": 7}
"""Five patches of seven pixels, and three pixels over."""
WORDS = {**TEXT, "num_key_value_heads": 6}
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 24, "depths": [2, 3], "num_heads": [3, 6], "window_size": 4}
ODD_SWIN = {**SWIN, "image_size": 36, "window_size": 5}
"""A grid of 18, which windows of 5 do not divide, and then of 9, which no merging halves."""
CONVNEXT = {"hidden_sizes": [16, 24], "depths": [2, 1], "num_stages": 2, "image_size": 32}
RESNET = {"embedding_size": 8, "hidden_sizes": [16, 24, 32], "depths": [1, 2, 2]}
SEGFORMER = {
    "hidden_sizes": [16, 24, 32, 48],
    "depths": [1, 2, 1, 1],
    "num_attention_heads": [1, 2, 2, 3],
    "sr_ratios": [8, 4, 2, 1],
    "decoder_hidden_size": 20,
    "mlp_ratios": [2, 2, 2, 2],
}


def image(name: str, model_type: str, architecture: str, config: dict[str, Any], side: int | tuple[int, int], settings: Any) -> Case:
    return Case(name, model_type, architecture, config, "image", settings, (side, side) if isinstance(side, int) else side)


def two(model_type: str, architecture: str, config: dict[str, Any], settings: Any = SEES) -> list[Case]:
    """An encoder of one stack at both sizes."""
    small, uneven = {**VIT, **config}, {**VIT, **config, **UNEVEN}
    return [
        image(model_type, model_type, architecture, small, 24, settings),
        image(f"{model_type} uneven", model_type, architecture, uneven, 38, settings),
    ]


def pair(name: str, model_type: str, vision: dict[str, Any], **more: Any) -> Case:
    config = {"text_config": {**WORDS, **more.pop("text", {})}, "vision_config": {**VIT, **vision}, **more}
    return Case(name, model_type, {"clip": "CLIPModel", "siglip": "SiglipModel"}[model_type], config, "clip", SEES)


CLASSIFIED = {"num_labels": 5}
CASES = [
    *two("vit", "ViTForImageClassification", {}),
    *two("deit", "DeiTForImageClassification", {}),
    *two("dinov2", "Dinov2ForImageClassification", {"mlp_ratio": 2}),
    image(
        "dinov2 swiglu",
        "dinov2",
        "Dinov2ForImageClassification",
        {**VIT, "mlp_ratio": 2, "use_swiglu_ffn": True, "drop_path_rate": 0.1},
        24,
        FULL,
    ),
    *two("dinov2_with_registers", "Dinov2WithRegistersForImageClassification", {"mlp_ratio": 2, "num_register_tokens": 3}),
    *two("beit", "BeitForImageClassification", {}),
    image(
        "beit relative",
        "beit",
        "BeitForImageClassification",
        {**VIT, "use_relative_position_bias": True, "layer_scale_init_value": 0.1, "use_absolute_position_embeddings": False},
        24,
        FULL,
    ),
    image(
        "beit shared",
        "beit",
        "BeitForImageClassification",
        {**VIT, "use_shared_relative_position_bias": True, "use_mean_pooling": False, "drop_path_rate": 0.0},
        24,
        FULL,
    ),
    pair("clip", "clip", {}, projection_dim=32),
    pair("clip uneven", "clip", UNEVEN, projection_dim=32, text={"eos_token_id": 5}),
    Case("clip_vision_model", "clip", "CLIPForImageClassification", {"vision_config": VIT, **CLASSIFIED}, "image", SEES, (24, 24)),
    pair("siglip", "siglip", {}),
    pair("siglip uneven", "siglip", UNEVEN),
    Case("siglip_vision_model", "siglip", "SiglipForImageClassification", {"vision_config": VIT, **CLASSIFIED}, "image", SEES, (24, 24)),
    image("resnet", "resnet", "ResNetForImageClassification", {**RESNET, "image_size": 32}, 32, PLAIN),
    image("resnet uneven", "resnet", "ResNetForImageClassification", {**RESNET, "image_size": [45, 51]}, (45, 51), PLAIN),
    image(
        "resnet basic",
        "resnet",
        "ResNetForImageClassification",
        {**RESNET, "layer_type": "basic", "image_size": 45, "downsample_in_first_stage": True},
        45,
        PLAIN,
    ),
    image(
        "resnet early",
        "resnet",
        "ResNetForImageClassification",
        {**RESNET, "downsample_in_bottleneck": True, "hidden_act": "gelu", "image_size": 45},
        45,
        PLAIN,
    ),
    image("convnext", "convnext", "ConvNextForImageClassification", CONVNEXT, 32, PLAIN),
    image(
        "convnext uneven", "convnext", "ConvNextForImageClassification", {**CONVNEXT, "image_size": 45, "drop_path_rate": 0.2}, 45, PLAIN
    ),
    image("convnextv2", "convnextv2", "ConvNextV2ForImageClassification", CONVNEXT, 32, PLAIN),
    image(
        "convnextv2 uneven",
        "convnextv2",
        "ConvNextV2ForImageClassification",
        {**CONVNEXT, "image_size": 45, "drop_path_rate": 0.2},
        45,
        PLAIN,
    ),
    image("swin", "swin", "SwinForImageClassification", SWIN, 32, (*FULL, ADAPTED[0], ADAPTED[2])),
    image("swin uneven", "swin", "SwinForImageClassification", ODD_SWIN, 36, FULL),
    image("swinv2", "swinv2", "Swinv2ForImageClassification", SWIN, 32, (*PLAIN, *REDONE)),
    image("swinv2 uneven", "swinv2", "Swinv2ForImageClassification", ODD_SWIN, 36, (*PLAIN, *REDONE)),
    image("segformer", "segformer", "SegformerForImageClassification", {**SEGFORMER, "image_size": 64}, 64, FULL),
    image("segformer uneven", "segformer", "SegformerForImageClassification", {**SEGFORMER, "image_size": 75}, 75, FULL),
    Case(
        "segformer pixels",
        "segformer",
        "SegformerForSemanticSegmentation",
        {**SEGFORMER, "image_size": 64, "num_labels": 5},
        "segmentation",
        FULL,
        (64, 64),
    ),
    Case(
        "segformer pixels uneven",
        "segformer",
        "SegformerForSemanticSegmentation",
        {**SEGFORMER, "image_size": 75, "num_labels": 5, "hidden_dropout_prob": 0.1},
        "segmentation",
        FULL,
        (75, 75),
    ),
    image(
        "mobilenet_v2",
        "mobilenet_v2",
        "MobileNetV2ForImageClassification",
        {"image_size": 40, "depth_multiplier": 0.25, "expand_ratio": 2},
        40,
        PLAIN,
    ),
    image(
        "mobilenet_v2 uneven",
        "mobilenet_v2",
        "MobileNetV2ForImageClassification",
        {"image_size": 75, "depth_multiplier": 0.25, "expand_ratio": 2},
        75,
        PLAIN,
    ),
]
