"""Models of images and text, continued: those that read documents, screens and charts, and those built of several parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families import bridges as by
from paramcalc.gate.families.composite import dense, image_text, projector
from paramcalc.gate.families.image_text import FAMILIES as USUAL
from paramcalc.gate.families.nesting import beneath, nested, told, tower
from paramcalc.gate.families.recipes import Tree, document, layer_norm, task_head, tied, tree, under
from paramcalc.gate.families.towers_whole import molmo_attention
from paramcalc.gate.families.vision import token

HIGH = {"kind": "convolution", "bias": False}
SPATIAL = 4  # of Granite 4.0 Vision's resamplers by offset within a square, fixed in the reference's code


def cosmos_edge(c: Config, inputs: int, width: int) -> Tree:
    """Cosmos 3 Edge: a norm on each patch, then a square of them through two dense layers."""
    merged, inner = inputs * c.part("vision_config").size("spatial_merge_size") ** 2, c.size("projector_hidden_size")
    norm = layer_norm("norm", size=inputs)
    return {"norm": norm, "linear_1": dense("linear_fc1", merged, inner), "linear_2": dense("linear_fc2", inner, width)}


def lfm3(c: Config, inputs: int, width: int) -> Tree:
    """LFM3-VL: the same with a switch for biases."""
    merged, inner = inputs * c.part("vision_config").size("spatial_merge_size") ** 2, c.size("projector_hidden_size")
    bias = c.flag("projector_bias", True)
    norm = layer_norm("layer_norm", size=inputs)
    return {"norm": norm, "linear_1": dense("linear_1", merged, inner, bias), "linear_2": dense("linear_2", inner, width, bias)}


def step(c: Config, inputs: int, width: int) -> Tree:
    """Step-3.7: one dense layer on four times the encoder's width."""
    return {"linear": dense("", 4 * inputs, width, c.flag("projector_bias"))}


def halved(c: Config, inputs: int, width: int) -> Tree:
    """MiniCPM-V: squares of four patches through two dense layers, as often as `merger_times` says."""
    merged = 4 * inputs
    parts: Tree = {}
    for index in range(1, c.size("merger_times") + 1):
        outputs = width if index == c.size("merger_times") else inputs
        parts[f"step_{index}"] = {
            "path": "mlp.{}",
            "norm": layer_norm("pre_norm", size=merged),
            "linear_1": dense("linear_1", merged, merged),
            "linear_2": dense("linear_2", merged, outputs),
        }
    return parts


def hunyuan_vl(c: Config) -> Tree:
    """HunYuan-VL: the encoder ends in the text's width."""
    told(c.part("vision_config"), text_hidden_size=c.part("text_config", flat=True).size("hidden_size"))
    return image_text(c, None, flat=True, inner_tie=True)


def docling(c: Config) -> Tree:
    """Granite Docling: its encoder has the bridge inside; a router of density where it has a size."""

    def beside(c: Config, _: int) -> Tree:
        inner = c.optional("density_router_hidden_size")
        if inner is None:
            return {}
        read = c.part("vision_config").size("hidden_size")
        router = {
            "attention_score": dense("att", read, 1),
            "norm": layer_norm("norm", size=read),
            "linear_1": dense("fc1", read, inner),
            "linear_2": dense("fc2", inner, 1),
        }
        return {"density": projector("density_router", router)}

    return image_text(c, None, vision=("vision_model",), text="text_model", beside=beside)


def granite_vision(c: Config) -> Tree:
    """Granite 4.0 Vision: maps of several layers, each through a querying transformer of its own over windows."""
    pictures, queries, words = c.part("vision_config"), c.part("qformer_config"), c.part("text_config")
    read, width = pictures.size("hidden_size"), words.size("hidden_size")
    told(queries, hidden_size=read, num_attention_heads=max(1, read // 64), encoder_hidden_size=read)  # as its class sets them
    sides = [int(side) for side in c.text("downsample_rate").split("/") if side.isdigit()]
    if len(sides) != 2:
        c.fail("downsample_rate", f"expected two sides such as '4/8', got {c.value('downsample_rate')!r:.60}")
        sides = [1, 1]
    layers = len(c.listed("deepstack_layer_map") or [])

    def resampler(name: str, path: str, number: int) -> Tree:
        one = nested(queries, name, "qformer")[name]
        group = {
            "path": f"{path}.{{}}", "tower": "projector", "cache": False, "repeat": number, "width": read,
            "norm": layer_norm("norm"),
            "query": token("query", 1, sides[0] ** 2, read),
            "window_position": token("image_positions", 1, sides[1] ** 2, read),
            "qformer": one,
            "linear": dense("out_linear", read, width),
        }  # fmt: skip
        return {name: group} if number else {}

    def beside(c: Config, _: int) -> Tree:
        more = by.newline(c, width) | resampler("layer_resamplers", "layerwise_projectors", layers)
        return more | resampler("spatial_resamplers", "spatial_projectors", SPATIAL)

    return image_text(c, None, beside=beside)


def high_resolution(c: Config, _: int) -> Tree:
    """DeepSeek-VL's second encoder, SAM's, with a neck of its own and two strided convolutions."""
    high = c.part("high_res_vision_config")
    read, channels = high.size("hidden_size"), high.size("output_channels")
    neck = {
        "convolution_1": HIGH | {"path": "conv1", "inputs": read, "outputs": channels, "kernel": [1, 1]},
        "norm_1": layer_norm("layer_norm1", size=channels),
        "convolution_2": HIGH | {"path": "conv2", "inputs": channels, "outputs": channels, "kernel": [3, 3]},
        "norm_2": layer_norm("layer_norm2", size=channels),
    }
    steps = {}
    for index in (1, 2):
        sizes = {"inputs": index * channels, "outputs": 2 * index * channels, "kernel": [3, 3], "stride": [2, 2]}
        steps[f"convolution_{index}"] = HIGH | {"path": f"conv{index}"} | sizes
    parts = tower(high, "high", "high_res_vision_model")
    parts["high_neck"] = {"path": "high_res_vision_neck", "tower": "high", "cache": False} | neck
    parts["high_steps"] = {"path": "high_res_vision_proj", "tower": "high", "cache": False} | steps
    return parts | {"high_scale": token("high_res_vision_alpha", 1)}


def two_resolutions(c: Config, inputs: int, width: int) -> Tree:
    """Half of the text's width from each encoder, then a dense layer."""
    high = 4 * c.part("high_res_vision_config").size("output_channels")
    half = max(1, width // 2)
    return {
        "linear": dense("vision_proj", inputs, half),
        "linear_high": dense("high_res_vision_proj", high, half),
        "output": dense("proj", width, width),
    }


def ovis(c: Config) -> Tree:
    """Ovis 2 (Lu et al. 2024): patches become mixtures of visual words, whose table stands beside the text's."""
    task, words, pictures = c.task("generation"), c.part("text_config"), c.part("vision_config")
    width = c.size("hidden_size")
    parts = tower(pictures, "vision", "vision_tower")
    table = {"kind": "embedding", "vocabulary": pictures.size("vocab_size"), "size": width, "path": "visual_embeddings_table"}
    parts |= {"visual_words": table | {"component": "vision.embedding"}}
    parts |= nested(words, "text", "language_model")
    parts = parts if task == "base" else under("model.", parts)
    owner = tied(c, "text.embedding", False)
    top = task_head(c, task, tree(kind="head", path="lm_head", inputs=width, outputs=c.size("vocab_size"), tied=owner))
    return document(c, parts | top, width=words.size("hidden_size"), context=words.optional("max_position_embeddings"))


def molmo(c: Config) -> Tree:
    """Molmo 2 (Clark et al. 2026): patches pooled by attention, and a gated network into the text's width."""

    def pooled(c: Config, _: int, __: int) -> Tree:
        a = c.part("adapter_config")
        a.also("vision_feature_layer", "vit_layers")
        layers = a.listed("vision_feature_layer")
        inputs = a.size("hidden_size") * (2 if layers is None else len(layers))  # the class's own, where it is null, are two
        bias = ["gate", "up"] if a.flag("mlp_bias") else None
        sizes = {"inputs": a.size("hidden_size"), "size": a.size("intermediate_size"), "outputs": a.size("text_hidden_size")}
        feed = {"path": "image_projector", **sizes}
        return {
            "attention": molmo_attention(a, inputs) | {"path": "image_pooling_2d"},
            "feed_forward": tree(**feed, bias=bias, activation=a.text("hidden_act", "silu"), component="projection"),
        }

    return image_text(c, pooled, ties=False)


def shield(c: Config) -> Tree:
    """ShieldGemma 2: Gemma 3, or a whole one with its head as module `model` of a classifier that has nothing else."""
    if c.task("generation") != "image_classification":
        return USUAL["gemma3"](c)
    c.serves = "generation"
    whole = USUAL["gemma3"](c)
    return whole | {"parts": beneath("model", whole["parts"])}


INSIDE: dict[str, Any] = {"bridge": None, "vision": ("visual",)}

FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "cohere_compass": partial(image_text, **INSIDE),
    "cosmos3_edge": partial(image_text, bridge=cosmos_edge, vision=("visual",), bridge_path="projector", ties=False),
    "deepseek_vl_hybrid": partial(
        image_text, bridge=two_resolutions, vision=("vision_model",), bridge_path="aligner", beside=high_resolution
    ),
    "granite4_vision": granite_vision,
    "granite_docling": docling,
    "hunyuan_vl": hunyuan_vl,
    "lfm3_vl": partial(image_text, bridge=lfm3),
    "minicpm_ocr": partial(image_text, bridge=halved, bridge_path="merger"),
    "minicpmv4_6": partial(image_text, bridge=halved, bridge_path="merger"),
    "minicpmv4_7": partial(image_text, bridge=halved, bridge_path="merger"),
    "molmo2": molmo,
    "ovis2": ovis,
    "pp_chart2table": USUAL["got_ocr2"],
    "shieldgemma2": shield,
    "step3p7": partial(image_text, bridge=step, vision=("vision_model",)),
}
