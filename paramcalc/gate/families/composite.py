"""Models of images and text: an image encoder, a bridge into the language model's width, and the language model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.nesting import nested, tower, whole
from paramcalc.gate.families.recipes import Tree, document, layer_norm, rms, task_head, tree, under
from paramcalc.gate.families.vision import token

Bridge = Callable[[Config, int, int], Tree]
"""What stands between the encoder's width and the language model's."""


def dense(path: str, inputs: int, outputs: int, bias: bool = True) -> Tree:
    return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, bias=None if bias else False)


def image_text(
    c: Config,
    bridge: Bridge | None,
    *,
    vision: tuple[str, ...] = ("vision_tower",),
    bridge_path: str = "multi_modal_projector",
    text: str = "language_model",
    beside: Callable[[Config, int], Tree] | None = None,
    flat: bool = False,
    inner_tie: bool = False,
    narrows: bool = False,
) -> Tree:
    """The parts of such a model under their reference names.

    `beside` makes parts of the model that stand beside these, of the language model's width; `flat`: the language
    model's keys may stand at the top; `inner_tie`: the head is also tied where only `text_config` says so; `narrows`: the
    class for causal language modelling is the language model alone.
    """
    task = c.task("generation")
    words, pictures = c.part("text_config", flat=flat), c.part("vision_config")
    if narrows and task == "causal_lm":
        return whole(words, task) | {"model_type": c.model_type}
    width = words.size("hidden_size")
    parts: Tree = {}
    for name, path in zip(("vision", "video"), vision, strict=False):
        parts |= tower(pictures, name, path)
    if bridge:
        group: Tree = {"path": bridge_path, "tower": "projector", "cache": False}
        parts["projector"] = group | bridge(c, pictures.size("hidden_size"), width)
    if beside:
        parts |= beside(c, width)
    parts |= nested(words, "text", text)
    parts = parts if task == "base" else under("model.", parts)
    parts |= head(c, words, task, inner_tie=inner_tie)
    return document(c, parts, width=width, context=words.optional("max_position_embeddings"))


def head(c: Config, words: Config, task: str, *, inner_tie: bool = False, path: str = "lm_head", owner: str = "text.embedding") -> Tree:
    """The head of the task, tied to the language model's table by the flag at the top."""
    tie = c.flag("tie_word_embeddings") or (inner_tie and words.flag("tie_word_embeddings"))
    outputs = words.size("vocab_size")
    return task_head(c, task, tree(kind="head", path=path, outputs=outputs, tied=owner if tie else None))


def feature_layers(c: Config) -> int:
    """How many layers' features are put side by side."""
    layers = c.value("vision_feature_layer")
    return len(layers) if isinstance(layers, list) and layers else 1


def two_layers(c: Config, inputs: int, width: int) -> Tree:
    """LLaVA-1.5 (Liu et al. 2024): two dense layers."""
    bias = c.flag("multimodal_projector_bias", True)
    return {"linear_1": dense("linear_1", inputs * feature_layers(c), width, bias), "linear_2": dense("linear_2", width, width, bias)}


def normed_two_layers(c: Config, inputs: int, width: int) -> Tree:
    """ViP-LLaVA (Cai et al. 2024): a norm before two dense layers."""
    inputs *= feature_layers(c)
    norm = layer_norm("projector_layernorm", size=inputs)
    return {"norm": norm, "linear_1": dense("linear_1", inputs, width), "linear_2": dense("linear_2", width, width)}


def merged_two_layers(c: Config, inputs: int, width: int) -> Tree:
    """Mistral 3: a norm, then neighbouring patches merged into one, then two dense layers."""
    merged = {
        "norm": rms("norm", size=inputs),
        "merge": dense("patch_merger.merging_layer", inputs * c.size("spatial_merge_size") ** 2, inputs, False),
    }
    return merged | two_layers(c, inputs, width)


def shuffled(c: Config, inputs: int, width: int, *, norm: str | None = None) -> Tree:
    """Aya Vision, Command A Vision: a square of patches side by side, then a gated pair of dense layers."""
    inputs *= c.size("downsample_factor") ** 2
    inner = c.optional("alignment_intermediate_size") or width
    parts = {"linear_1": dense("linear_1", inputs, inner), "linear_2": dense("linear_2", max(1, inner // 2), width)}
    return ({"norm": layer_norm(norm, size=inputs)} if norm else {}) | parts


def unshuffled(c: Config, inputs: int, width: int) -> Tree:
    """InternVL (Chen et al. 2024): a square of patches side by side, a norm, two dense layers."""
    inputs *= int(1 / (c.number("downsample_ratio") or 0.5)) ** 2
    return {
        "norm": layer_norm("layer_norm", size=inputs),
        "linear_1": dense("linear_1", inputs, width),
        "linear_2": dense("linear_2", width, width),
    }


def one_layer(c: Config, inputs: int, _: int) -> Tree:
    """PaliGemma (Beyer et al. 2024): one dense layer to `projection_dim`."""
    return {"linear": dense("linear", inputs, c.size("projection_dim"))}


def scaled_square(c: Config, inputs: int, width: int) -> Tree:
    """Idefics 3 (Laurençon et al. 2024): a square of patches side by side, then one dense layer without bias."""
    return {"linear": dense("modality_projection.proj", inputs * c.size("scale_factor") ** 2, width, False)}


def soft_tokens(_: Config, inputs: int, width: int) -> Tree:
    """Gemma 3 (Gemma Team 2025): pooled patches, a norm, and a bare matrix."""
    matrix = token("mm_input_projection_weight", inputs, width) | {"component": "projection"}
    return {"norm": rms("mm_soft_emb_norm", size=inputs), "linear": matrix}


def convolved(c: Config, _: int, width: int) -> Tree:
    """GOT-OCR 2.0 (Wei et al. 2024): two strided convolutions and a dense layer."""
    channels = c.part("vision_config").size("output_channels")
    steps = (("convolution_1", "conv_upsampler1", channels, 2 * channels), ("convolution_2", "conv_upsampler2", 2 * channels, width))
    parts: Tree = {
        name: tree(kind="convolution", path=path, inputs=before, outputs=after, kernel=[3, 3], stride=[2, 2], bias=False)
        for name, path, before, after in steps
    }
    return parts | {"linear": dense("multimodal_projector", width, width)}


def newline(_: Config, width: int) -> Tree:
    """The vector that ends a row of patches (LLaVA-NeXT, Liu et al. 2024)."""
    return {"image_newline": token("image_newline", width)}


def pooled_video(c: Config, width: int) -> Tree:
    """LLaVA-NeXT-Video pools the patches of a frame; by a convolution if so told."""
    pictures, parts = c.part("vision_config"), newline(c, width)
    if c.choice("spatial_pool_mode", ("average", "max", "conv"), "average") == "conv":
        channels, side = pictures.size("hidden_size"), c.size("spatial_pool_stride")
        outputs = c.optional("spatial_pool_out_channels") or channels
        pool = tree(kind="convolution", path="vision_resampler.pool", inputs=channels, outputs=outputs, kernel=[side, side])
        parts["pool"] = pool | {"component": "projection"}
    return parts


IDEFICS: dict[str, Any] = {"vision": ("vision_model",), "bridge_path": "connector", "text": "text_model"}

INSIDE: dict[str, Any] = {"bridge": None, "vision": ("visual",)}
"""The bridge is the encoder's own last part."""

FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "aya_vision": partial(image_text, bridge=partial(shuffled, norm="layernorm")),
    "cohere2_vision": partial(image_text, bridge=shuffled),
    "cosmos3_omni": partial(image_text, **INSIDE),
    "exaone4_5": partial(image_text, **INSIDE),
    "gemma3": partial(image_text, bridge=soft_tokens),
    "glm46v": partial(image_text, **INSIDE),
    "glm4v": partial(image_text, **INSIDE, inner_tie=True),
    "glm4v_moe": partial(image_text, **INSIDE, inner_tie=True),
    "glm_ocr": partial(image_text, **INSIDE, inner_tie=True),
    "glmga": partial(image_text, **INSIDE),
    "got_ocr2": partial(image_text, bridge=convolved),
    "idefics3": partial(image_text, bridge=scaled_square, **IDEFICS),
    "internvl": partial(image_text, bridge=unshuffled),
    "llava": partial(image_text, bridge=two_layers, inner_tie=True),
    "llava_next": partial(image_text, bridge=two_layers, beside=newline),
    "llava_next_video": partial(image_text, bridge=two_layers, beside=pooled_video, inner_tie=True),
    "llava_onevision": partial(image_text, bridge=two_layers, beside=newline, inner_tie=True),
    "mistral3": partial(image_text, bridge=merged_two_layers),
    "paligemma": partial(image_text, bridge=one_layer),
    "qwen2_5_vl": partial(image_text, **INSIDE, flat=True, inner_tie=True),
    "qwen2_vl": partial(image_text, **INSIDE, flat=True, inner_tie=True),
    "qwen3_vl": partial(image_text, **INSIDE),
    "qwen3_vl_moe": partial(image_text, **INSIDE),
    "smolvlm": partial(image_text, bridge=scaled_square, **IDEFICS),
    "video_llava": partial(image_text, bridge=two_layers, vision=("video_tower", "image_tower")),
    "vipllava": partial(image_text, bridge=normed_two_layers),
}
