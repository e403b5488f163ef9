"""Models of images and text: each is an encoder, a bridge and a language model under its own names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families import bridges as by
from paramcalc.gate.families.composite import dense, image_text, last_norm, layer_features
from paramcalc.gate.families.recipes import Tree

IDEFICS: dict[str, Any] = {"vision": ("vision_model",), "bridge_path": "connector", "text": "text_model"}

INSIDE: dict[str, Any] = {"bridge": None, "vision": ("visual",)}
"""The bridge is the encoder's own last part."""


def fuyu_patches(c: Config, width: int) -> Tree:
    """Fuyu (Adept 2023) has no encoder: a dense layer puts patches among the tokens."""
    return {"patches": dense("vision_embed_tokens", c.size("num_channels") * c.size("patch_size") ** 2, width)}


def fast_vlm(c: Config) -> Tree:
    """FastVLM (Vasu et al. 2025): an encoder of convolutions and attention, whose width stands in the config beside its name."""
    for key, only in (("vision_feature_select_strategy", "full"), ("vision_feature_layer", -1)):
        if c.value(key) not in (only, None):
            c.fail(key, f"expected {only!r}, all that the reference allows, got {c.value(key)!r:.60}")
    return image_text(c, by.two_layers, inner_tie=True)


def lfm2_vl(c: Config) -> Tree:
    """LFM2-VL; older configs say `tie_embedding`."""
    c.also("tie_word_embeddings", "tie_embedding")
    return image_text(c, by.normed_if_told)


def perception_lm(c: Config) -> Tree:
    """Perception LM (Cho et al. 2025): the bridge reads the width that the encoder's arguments state."""
    vision, tie = c.part("vision_config"), c.value("tie_word_embeddings")
    given = vision.value("model_args")
    inputs = given.get("embed_dim") if isinstance(given, dict) else None
    if type(inputs) is not int or inputs < 1:
        vision.fail("model_args", "the bridge needs an `embed_dim` among these, which the reference reads there")
        inputs = 1

    def bridge(_config: Config, _inputs: int, width: int) -> Tree:
        return {"linear_1": dense("linear_1", inputs, width), "linear_2": dense("linear_2", width, width)}

    c.ignore("projector_pooling_ratio")
    return image_text(c, bridge, inner_tie=tie is None)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "aria": partial(image_text, bridge=by.queried),
    "aya_vision": partial(image_text, bridge=partial(by.shuffled, norm="layernorm")),
    "cohere2_vision": partial(image_text, bridge=by.shuffled),
    "cosmos3_omni": partial(image_text, **INSIDE),
    "deepseek_vl": partial(image_text, bridge=by.aligned, vision=("vision_model",), bridge_path="aligner"),
    "ernie4_5_vl_moe": partial(image_text, bridge=by.resampled, bridge_path="resampler_model"),
    "exaone4_5": partial(image_text, **INSIDE),
    "fast_vlm": fast_vlm,
    "fuyu": partial(image_text, bridge=None, vision=(), beside=fuyu_patches, flat=True),
    "gemma3": partial(image_text, bridge=by.soft_tokens, read=last_norm),
    "glm46v": partial(image_text, **INSIDE),
    "glm4v": partial(image_text, **INSIDE, inner_tie=True),
    "glm4v_moe": partial(image_text, **INSIDE, inner_tie=True),
    "glm5_next": partial(image_text, **INSIDE),
    "glm_ocr": partial(image_text, **INSIDE, inner_tie=True),
    "glmga": partial(image_text, **INSIDE),
    "got_ocr2": partial(image_text, bridge=by.convolved),
    "hyperclovax_vision_v2": partial(image_text, bridge=by.single, vision=("vision_model",), bridge_path="projector"),
    "idefics2": partial(image_text, bridge=by.perceived, **IDEFICS),
    "idefics3": partial(image_text, bridge=by.scaled_square, **IDEFICS),
    "internvl": partial(image_text, bridge=by.unshuffled, read=layer_features),
    "kimi_k25": partial(
        image_text,
        bridge=partial(by.squared, names=("pre_norm", "in_proj", "out_proj"), normed="projection_hidden_size"),
        bridge_path="mm_projector",
    ),
    "lfm2_vl": lfm2_vl,
    "lighton_ocr": partial(
        image_text, bridge=partial(by.merged_two_layers, biased=False), vision=("vision_encoder",), bridge_path="vision_projection"
    ),
    "llama4": partial(image_text, bridge=by.adapted, vision=("vision_model",), base="", headed=True, narrows=True),
    "llava": partial(image_text, bridge=by.patches_alone, read=layer_features, inner_tie=True),
    "llava_next": partial(image_text, bridge=by.newlined),
    "llava_next_video": partial(image_text, bridge=by.pooled_video, inner_tie=True),
    "llava_onevision": partial(image_text, bridge=by.newlined, inner_tie=True),
    "minimax_m3_vl": partial(image_text, bridge=by.merged_after, inner_tie=True),
    "mistral3": partial(image_text, bridge=by.merged_two_layers),
    "mistral_large4": partial(image_text, bridge=by.merged_two_layers),
    "paddleocr_vl": partial(image_text, bridge=by.squared, vision=("visual",), bridge_path="projector", flat=True, inner_tie=True),
    "paligemma": partial(image_text, bridge=by.one_layer, read=last_norm),
    "perception_lm": perception_lm,
    "qianfan_ocr": partial(image_text, bridge=by.unshuffled),
    "qwen2_5_vl": partial(image_text, **INSIDE, flat=True, inner_tie=True),
    "qwen2_vl": partial(image_text, **INSIDE, flat=True, inner_tie=True),
    "qwen3_vl": partial(image_text, **INSIDE),
    "qwen3_vl_moe": partial(image_text, **INSIDE),
    "smolvlm": partial(image_text, bridge=by.scaled_square, **IDEFICS),
    "video_llama_3": partial(image_text, bridge=by.readout, vision=("vision_model",), bridge_path="projector", inner_tie=True),
    "video_llava": partial(image_text, bridge=by.two_layers, vision=("video_tower", "image_tower")),
    "vipllava": partial(image_text, bridge=by.normed_two_layers),
}
