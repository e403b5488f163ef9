"""What stands between an image encoder and a language model: from the encoder's width to the model's."""

from __future__ import annotations

from math import isqrt

from paramcalc.gate.config import Config
from paramcalc.gate.families.clip import TORCH_ATTENTION
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.recipes import Tree, layer_norm, plain_activation, rms, stack, tree
from paramcalc.gate.families.vision import token


def feature_layers(c: Config) -> int:
    """How many layers' features are put side by side."""
    layers = c.value("vision_feature_layer")
    return len(layers) if isinstance(layers, list) and layers else 1


def two_layers(c: Config, inputs: int, width: int) -> Tree:
    """LLaVA-1.5 (Liu et al. 2024): two dense layers."""
    bias, function = c.flag("multimodal_projector_bias", True), plain_activation(c, "projector_hidden_act")
    first = dense("linear_1", inputs * feature_layers(c), width, bias) | {"activation": function}
    return {"linear_1": first, "linear_2": dense("linear_2", width, width, bias)}


def patches_alone(c: Config, inputs: int, width: int) -> Tree:
    """The same behind the patches without the class token, unless that is asked for."""
    rest = {"rest": {"kind": "pooling", "type": "rest"}}
    return (rest if c.text("vision_feature_select_strategy", "default") == "default" else {}) | two_layers(c, inputs, width)


def normed_two_layers(c: Config, inputs: int, width: int) -> Tree:
    """ViP-LLaVA (Cai et al. 2024): a norm before two dense layers."""
    inputs *= feature_layers(c)
    norm = layer_norm("projector_layernorm", size=inputs)
    return {"norm": norm, "linear_1": dense("linear_1", inputs, width), "linear_2": dense("linear_2", width, width)}


def merged_two_layers(c: Config, inputs: int, width: int, *, biased: bool = True) -> Tree:
    """Mistral 3, LightOnOCR: a norm, then neighbouring patches merged into one, then two dense layers."""
    merged = {
        "norm": rms("norm", size=inputs),
        "merge": dense("patch_merger.merging_layer", inputs * c.size("spatial_merge_size") ** 2, inputs, False),
    }
    if biased:
        return merged | two_layers(c, inputs, width)
    return merged | {"linear_1": dense("linear_1", inputs, width, False), "linear_2": dense("linear_2", width, width, False)}


def shuffled(c: Config, inputs: int, width: int, *, norm: str | None = None) -> Tree:
    """Aya Vision, Command A Vision: a square of patches side by side, then a gated pair of dense layers."""
    inputs *= c.size("downsample_factor") ** 2
    inner = c.optional("alignment_intermediate_size") or width
    parts = {"linear_1": dense("linear_1", inputs, inner), "linear_2": dense("linear_2", max(1, inner // 2), width)}
    return ({"norm": layer_norm(norm, size=inputs)} if norm else {}) | parts


def unshuffled(c: Config, inputs: int, width: int) -> Tree:
    """InternVL (Chen et al. 2024): a square of patches side by side, a norm, two dense layers."""
    side = int(1 / (c.number("downsample_ratio") or 0.5))
    inputs *= side**2
    rest = {"rest": {"kind": "pooling", "type": "rest"}}
    return (rest if c.text("vision_feature_select_strategy", "default") == "default" else {}) | {
        "square": {"kind": "pooling", "type": "square", "kernel": side},
        "norm": layer_norm("layer_norm", size=inputs),
        "linear_1": dense("linear_1", inputs, width) | {"activation": plain_activation(c, "projector_hidden_act")},
        "linear_2": dense("linear_2", width, width),
    }


def one_layer(c: Config, inputs: int, _: int) -> Tree:
    """PaliGemma (Beyer et al. 2024): one dense layer to `projection_dim`."""
    return {"linear": dense("linear", inputs, c.size("projection_dim"))}


def scaled_square(c: Config, inputs: int, width: int) -> Tree:
    """Idefics 3 (Laurençon et al. 2024): a square of patches side by side, then one dense layer without bias."""
    return {"linear": dense("modality_projection.proj", inputs * c.size("scale_factor") ** 2, width, False)}


def soft_tokens(c: Config, inputs: int, width: int) -> Tree:
    """Gemma 3 (Gemma Team 2025): pooled patches, a norm, and a bare matrix."""
    pictures = c.part("vision_config")
    side = (pictures.optional("image_size") or 0) // (pictures.optional("patch_size") or 1)
    kernel = side // isqrt(c.optional("mm_tokens_per_image") or 1)
    pool = {"pool": {"kind": "pooling", "type": "average", "kernel": kernel, "by_channel": True}} if kernel else {}
    matrix = token("mm_input_projection_weight", inputs, width) | {"component": "projection", "multiplies": True}
    return pool | {"norm": rms("mm_soft_emb_norm", size=inputs), "linear": matrix}


def convolved(c: Config, _: int, width: int) -> Tree:
    """GOT-OCR 2.0 (Wei et al. 2024): two strided convolutions and a dense layer."""
    channels = c.part("vision_config").size("output_channels")
    steps = (("convolution_1", "conv_upsampler1", channels, 2 * channels), ("convolution_2", "conv_upsampler2", 2 * channels, width))
    parts: Tree = {
        name: tree(kind="convolution", path=path, inputs=before, outputs=after, kernel=[3, 3], stride=[2, 2], bias=False)
        for name, path, before, after in steps
    }
    return parts | {"linear": dense("multimodal_projector", width, width)}


def newline(_: Config, width: int, path: str = "image_newline") -> Tree:
    """The vector that ends a row of patches (LLaVA-NeXT, Liu et al. 2024)."""
    return {"image_newline": token(path, width)}


def newlined(c: Config, inputs: int, width: int) -> Tree:
    """LLaVA-NeXT: two dense layers, and the vector, which the reference keeps beside them."""
    return two_layers(c, inputs, width) | newline(c, width, "/image_newline")


def pooled_video(c: Config, inputs: int, width: int) -> Tree:
    """LLaVA-NeXT-Video pools the patches of a frame; by a convolution if so told."""
    pictures, parts = c.part("vision_config"), newlined(c, inputs, width)
    if c.choice("spatial_pool_mode", ("average", "max", "conv"), "average") == "conv":
        channels, side = pictures.size("hidden_size"), c.size("spatial_pool_stride")
        outputs = c.optional("spatial_pool_out_channels") or channels
        pool = tree(kind="convolution", path="/vision_resampler.pool", inputs=channels, outputs=outputs, kernel=[side, side])
        parts["pool"] = pool | {"component": "projection"}
    return parts


def aligned(_: Config, inputs: int, width: int) -> Tree:
    """DeepSeek-VL (Lu et al. 2024), base resolution alone: two dense layers."""
    return {"linear_1": dense("linear1", inputs, width), "linear_2": dense("linear2", width, width)}


def single(c: Config, _: int, width: int) -> Tree:
    """HyperCLOVA X Vision: one dense layer on what the encoder's merger gives out."""
    return {"linear": dense("", c.part("vision_config").size("out_hidden_size"), width)}


def adapted(c: Config, _: int, width: int) -> Tree:
    """Llama 4: one dense layer without bias on the encoder's adapter."""
    return {"linear": dense("linear_1", c.part("vision_config").size("vision_output_dim"), width, False)}


def normed_if_told(c: Config, inputs: int, width: int) -> Tree:
    """LFM2-VL (Liquid AI 2025): a square of patches side by side, a norm and biases by switch, a hidden size of its own."""
    inputs *= c.size("downsample_factor") ** 2
    inner, bias = c.size("projector_hidden_size"), c.flag("projector_bias", True)
    parts = {"linear_1": dense("linear_1", inputs, inner, bias), "linear_2": dense("linear_2", inner, width, bias)}
    return ({"norm": layer_norm("layer_norm", size=inputs)} if c.flag("projector_use_layernorm", True) else {}) | parts


def readout(_: Config, inputs: int, width: int) -> Tree:
    """VideoLLaMA 3 (Zhang et al. 2025): two dense layers."""
    return {"linear_1": dense("readout.{}", inputs, width), "linear_2": dense("readout.{}", width, width)}


def squared(
    c: Config, inputs: int, width: int, *, names: tuple[str, str, str] = ("pre_norm", "linear_1", "linear_2"), normed: str | None = None
) -> Tree:
    """A norm, a square of patches side by side, two dense layers (PaddleOCR-VL, Kimi K2.5); `normed` has the norm's size."""
    pictures = c.part("vision_config")
    sides = pictures.sizes("merge_kernel_size", least=1) or [pictures.size("spatial_merge_size")] * 2
    inner = inputs * sides[0] * sides[-1]
    return {
        "norm": layer_norm(names[0], size=c.size(normed) if normed else inputs),
        "linear_1": dense(names[1], inner, inner),
        "linear_2": dense(names[2], inner, width),
    }


def merged_after(c: Config, inputs: int, width: int) -> Tree:
    """MiniMax M3: two dense layers for each patch, then two for a square of patches."""
    inner = c.size("projector_hidden_size")
    merged = width * c.part("vision_config").size("spatial_merge_size") ** 2
    return {
        "linear_1": dense("linear_1", inputs, inner),
        "linear_2": dense("linear_2", inner, width),
        "merge_1": dense("merge_linear_1", merged, inner),
        "merge_2": dense("merge_linear_2", inner, width),
    }


def resampled(c: Config, inputs: int, width: int) -> Tree:
    """ERNIE 4.5 VL (Baidu 2025): a square of patches, then two frames of them, through two small networks each."""
    pictures = c.part("vision_config")
    square = inputs * pictures.size("spatial_merge_size") ** 2
    parts: Tree = {}
    for name, read in (("spatial", square), ("temporal", square * pictures.size("temporal_merge_size"))):
        path = f"{name}_linear"
        parts[f"{name}_1"] = dense(f"{path}.fc1", read, square)
        parts[f"{name}_2"] = dense(f"{path}.fc2", square, square)
        parts[f"{name}_norm"] = layer_norm(f"{path}.ln", size=square)
    return parts | {"linear": dense("mlp", square, width), "norm": rms("after_norm", size=width)}


def queried(c: Config, inputs: int, width: int) -> Tree:
    """Aria (Li et al. 2024): learned queries attend to the patches, then a feed-forward network without biases."""
    heads = c.part("vision_config").size("num_attention_heads")
    table = c.value("projector_patch_to_query_dict") or {"1225": 128, "4900": 256}  # the class's own, where it is null
    counts = list(table.values()) if isinstance(table, dict) else []
    if not counts or not all(type(count) is int and count > 0 for count in counts):
        c.fail("projector_patch_to_query_dict", f"expected queries by number of patches, got {table!r:.60}")
        counts = [1]
    queries = c.optional("max_value_projector_patch_to_query_dict") or max(counts)
    inner = {"kind": "attention", "heads": heads, "head_dim": max(1, inputs // heads), "fused": "qkv", "bias": True}
    parts: Tree = {"query": token("query", queries, inputs)}
    parts |= {name: dense(f"cross_attn.{name}", inputs, inputs, False) for name in ("q_proj", "k_proj", "v_proj")}
    parts["attention"] = inner | {"path": "cross_attn.multihead_attn", "names": TORCH_ATTENTION}
    parts["output"] = dense("cross_attn.linear", inputs, inputs)
    for name, path in (("norm_queries", "cross_attn.layer_norm"), ("norm_patches", "cross_attn.layer_norm_kv"), ("norm", "layer_norm")):
        parts[name] = layer_norm(path, size=inputs)
    names = {"up_proj": "linear_in", "down_proj": "linear_out"}
    parts["feed_forward"] = {"size": width, "inputs": inputs, "outputs": width, "gated": False, "activation": "gelu_new", "names": names}
    parts["width"] = inputs
    return parts


def perceived(c: Config, inputs: int, width: int) -> Tree:
    """Idefics 2 (Laurençon et al. 2024): a gated network into the text's width, then learned latents that attend to it."""
    words, resampler = c.part("text_config"), c.part("perceiver_config")
    activation = words.text("hidden_act", "silu")
    into = {"path": "modality_projection", "size": words.size("intermediate_size"), "inputs": inputs, "outputs": width}
    names = {"heads": resampler.size("resampler_n_heads"), "kv_heads": resampler.size("num_key_value_heads")}
    attend = {"kind": "attention", "path": "self_attn", **names, "head_dim": resampler.size("resampler_head_dim")}
    layer = {
        "norm_1": rms("input_latents_norm"),
        "norm_context": rms("input_context_norm"),
        "attention": attend,
        "norm_2": rms("post_attention_layernorm"),
        "feed_forward": {"path": "mlp", "size": 4 * width, "activation": resampler.text("hidden_act", "silu")},
        "flow": ["norm_1 attention +", "norm_2 feed_forward +"],
    }
    latents = resampler.size("resampler_n_latents")
    return {
        "width": width,
        "into": {"kind": "feed_forward", "activation": activation, "component": "projection"} | into,
        "resampler": {
            "path": "perceiver_resampler",
            "tokens": latents,
            "latents": token("latents", latents, width),
            "layers": stack("layers.{}", {"layer": layer}, f"{resampler.size('resampler_depth')} layer"),
            "norm": rms("norm"),
        },
    }
