"""Gemma 3n and 4 whole: their encoders of images and sounds, and what carries those into the text's width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense, head, projector
from paramcalc.gate.families.llama import GEMMA, layer
from paramcalc.gate.families.nesting import beneath, nested, tower
from paramcalc.gate.families.recipes import Tree, document, floored, heads, layer_norm, plain_activation, rms, stack, tree
from paramcalc.gate.families.vision import refuse, token

COLOURS = 3  # fixed in the reference's code
WIDENING = 4  # of the audio encoders' feed-forward networks, fixed in the reference's code
CONFORMER = [
    "norm_1 feed_forward_1 norm_2 +",
    "norm_3 attention norm_4 +",
    "norm_5 gate depthwise norm_6 output +",
    "norm_7 feed_forward_2 norm_8 +",
]


def plain(path: str, inputs: int, outputs: int) -> Tree:
    return dense(path, inputs, outputs, bias=False)


def vision_4(c: Config) -> Tree:
    """Gemma 4's image encoder: flattened patches, a table for rows and one for columns, Gemma's layers."""
    width, rows = c.size("hidden_size"), c.size("position_embedding_size")
    clipped = {name: f"{name}.linear" for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
    attend = tree(kind="attention", path="self_attn", **heads(c), qk_norm="head", rotary=True, names=clipped)
    names = {name: f"{name}.linear" for name in ("gate_proj", "up_proj", "down_proj")}
    feed = tree(kind="feed_forward", path="mlp", size=c.size("intermediate_size"), activation=plain_activation(c), names=names)
    place = token("patch_embedder.position_embedding_table", 2, rows, width)
    parts = {
        "patches": plain("patch_embedder.input_proj", COLOURS * c.size("patch_size") ** 2, width) | {"component": "embedding"},
        "position": place | {"type": "embedding", "component": "position_embedding"},
        "layers": stack("encoder.layers.{}", {"layer": layer(GEMMA, rms, attend, feed)}, f"{c.size('num_hidden_layers')} layer"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def feed_forward(path: str, size: int, suffix: str) -> Tree:
    """The audio layers' feed-forward network, plain and without biases."""
    names = {"up_proj": f"ffw_layer_1{suffix}", "down_proj": f"ffw_layer_2{suffix}"}
    return {"kind": "feed_forward", "path": path, "size": size, "gated": False, "activation": "silu", "names": names}


def conformer(c: Config, *, first: str, second: str, attend: Tree, norms: tuple[str, str, str], suffix: str, kernel: int) -> Tree:
    """A layer of half-step networks around attention and a gated depthwise convolution (Conformer, Gulati et al. 2020)."""
    width = c.size("hidden_size")
    parts: Tree = {}
    for index, path in ((1, first), (2, second)):
        parts[f"norm_{6 * index - 5}"] = rms(f"{path}.pre_layer_norm")
        parts[f"feed_forward_{index}"] = feed_forward(path, WIDENING * width, suffix)
        parts[f"norm_{6 * index - 4}"] = rms(f"{path}.post_layer_norm")
    parts |= {"norm_3": rms(norms[0]), **attend, "norm_4": rms(norms[1]), "norm_5": rms("lconv1d.pre_layer_norm")}
    parts["gate"] = plain(f"lconv1d.linear_start{suffix}", width, 2 * width) | {"component": "convolution"}
    parts["depthwise"] = {"kind": "convolution", "path": "lconv1d.depthwise_conv1d", "kernel": kernel, "groups": width, "bias": False}
    parts |= {
        "norm_6": rms("lconv1d.conv_norm"),
        "output": plain(f"lconv1d.linear_end{suffix}", width, width) | {"component": "convolution"},
    }
    return parts | {"norm_out": rms(norms[2]), "flow": [*CONFORMER, "norm_out"]}


def attention(c: Config, number: int, path: str, names: dict[str, str], relative: str) -> Tree:
    """Attention within chunks, with a projection of relative positions and a scale for each dim of a head."""
    width = c.size("hidden_size")
    head_dim = max(1, width // number)
    made = floored(c, {"heads": number, "head_dim": head_dim})
    return {
        "attention": {"kind": "attention", "path": path, **made, "names": names},
        "relative": plain(relative, width, number * head_dim) | {"component": "position_embedding"},
        "scale": token(f"{path}.per_dim_scale", head_dim) | {"component": "attention"},
    }


def subsampled(path: str, index: int, inputs: int, outputs: int, kernel: list[int], stride: list[int], **norm: Any) -> Tree:
    step = {
        "kind": "convolution",
        "path": f"{path}.conv",
        "inputs": inputs,
        "outputs": outputs,
        "kernel": kernel,
        "stride": stride,
        "bias": False,
    }
    return {f"convolution_{index}": step, f"convolution_norm_{index}": {"kind": "norm", "path": f"{path}.norm", "size": outputs, **norm}}


def audio_4(c: Config) -> Tree:
    """Gemma 4's audio encoder: two strided convolutions over the spectrogram, then conformer layers."""
    width, number = c.size("hidden_size"), c.size("num_attention_heads")
    channels = c.sizes("subsampling_conv_channels", least=1)
    if len(channels) < 2:
        c.fail("subsampling_conv_channels", f"expected two numbers, got {len(channels)}")
        channels = [4, 1]
    front = "subsample_conv_projection"
    parts: Tree = {}
    for index, (before, after) in enumerate(zip((1, channels[0]), channels[:2], strict=True)):
        parts |= subsampled(f"{front}.layer{index}", index + 1, before, after, [3, 3], [2, 2], type="layer", bias=False)
    inputs = max(1, channels[0] // 4 * channels[1])
    parts["frames"] = plain(f"{front}.input_proj_linear", inputs, width) | {"component": "embedding"}
    names = {name: f"{name}.linear" for name in ("q_proj", "k_proj", "v_proj")} | {"o_proj": "post.linear"}
    attend = attention(c, number, "self_attn", names, "self_attn.relative_k_proj")
    norms = ("norm_pre_attn", "norm_post_attn", "norm_out")
    built = conformer(
        c, first="feed_forward1", second="feed_forward2", attend=attend, norms=norms, suffix=".linear", kernel=c.size("conv_kernel_size")
    )
    parts["layers"] = stack("layers.{}", {"layer": built}, f"{c.size('num_hidden_layers')} layer")
    parts["output"] = dense("output_proj", width, c.size("output_proj_dims"))
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def pairs(c: Config, key: str) -> list[list[int]]:
    """Two pairs of sizes."""
    value = c.listed(key) or []
    if len(value) != 2 or not all(
        isinstance(one, list | tuple) and len(one) == 2 and all(type(n) is int and n > 0 for n in one) for one in value
    ):
        c.fail(key, f"expected two pairs of whole numbers, got {value!r:.60}")
        return [[1, 1], [1, 1]]
    return [list(one) for one in value]


def audio_3n(c: Config) -> Tree:
    """Gemma 3n's audio encoder (a universal speech model, Zhang et al. 2023)."""
    width, number, bands = c.size("hidden_size"), c.size("conf_num_attention_heads"), c.size("input_feat_size")
    channels, kernels, strides = (
        c.sizes("sscp_conv_channel_size", least=1),
        pairs(c, "sscp_conv_kernel_size"),
        pairs(c, "sscp_conv_stride_size"),
    )
    if len(channels) != 2:
        c.fail("sscp_conv_channel_size", f"expected two numbers, got {len(channels)}")
        channels = [1, 1]
    front, before = "subsample_conv_projection", 1
    parts: Tree = {}
    for index, after in enumerate(channels):
        parts |= subsampled(f"{front}.conv_{index}", index + 1, before, after, kernels[index], strides[index], type="group", bias=False)
        bands = (bands + 2 - kernels[index][1]) // strides[index][1] + 1  # one band of padding on each side
        before = after
    parts["frames"] = plain(f"{front}.input_proj_linear", max(1, before * bands), width) | {"component": "embedding"}
    attend = attention(c, number, "attention.attn", {"o_proj": "/"}, "attention.attn.relative_position_embedding.pos_proj")
    attend["attention"] = attend["attention"] | {
        "path": "attention",
        "names": {n: f"attn.{n}" for n in ("q_proj", "k_proj", "v_proj")} | {"o_proj": "post"},
    }
    norms = ("attention.pre_attn_norm", "attention.post_norm", "norm")
    built = conformer(
        c, first="ffw_layer_start", second="ffw_layer_end", attend=attend, norms=norms, suffix="", kernel=c.size("conf_conv_kernel_size")
    )
    parts["layers"] = stack("conformer.{}", {"layer": built}, f"{c.size('conf_num_hidden_layers')} layer")
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def whole(c: Config, senses: Callable[[Config, int], Tree]) -> Tree:
    """The senses that the config has, and the language model."""
    task, words = c.task("generation"), c.part("text_config")
    width = words.size("hidden_size")
    parts = senses(c, width) | nested(words, "text", "language_model")
    parts = parts if task == "base" else beneath("model", parts)
    return document(c, parts | head(c, words, task), width=width, context=words.optional("max_position_embeddings"))


def senses_4(c: Config, width: int) -> Tree:
    """Each encoder that there is, with a norm without gain and a dense layer."""
    parts: Tree = {}
    for name in ("vision", "audio"):
        if c.holds(f"{name}_config"):
            part = c.part(f"{name}_config")
            inputs = part.optional("output_proj_dims") or part.size("hidden_size")
            bridge = {"linear": plain("embedding_projection", inputs, width)}
            parts |= tower(part, name, f"{name}_tower") | {f"{name}_projector": projector(f"embed_{name}", bridge)}
    return parts


def senses_unified(c: Config, width: int) -> Tree:
    """No encoders: patches and frames go through one dense layer, or two (Gemma 4 unified)."""
    parts: Tree = {}
    if c.holds("vision_config"):
        v = c.part("vision_config")
        inner, outputs = v.size("mm_embed_dim"), v.size("output_proj_dims")
        patch = (v.size("patch_size") * v.size("pooling_kernel_size")) ** 2 * COLOURS
        place = token("pos_embedding", v.size("mm_posemb_size"), 2, inner)
        bridge = {
            "norm_1": layer_norm("patch_ln1", size=patch),
            "patches": dense("patch_dense", patch, inner),
            "norm_2": layer_norm("patch_ln2", size=inner),
            "position": place | {"type": "embedding", "component": "position_embedding"},
            "norm_3": layer_norm("pos_norm", size=inner),
            "linear": plain("multimodal_embedder.embedding_projection", outputs, width),
        }
        parts["vision_projector"] = projector("embed_vision", bridge)
    if c.holds("audio_config"):
        inputs = c.part("audio_config").size("audio_embed_dim")
        parts["audio_projector"] = projector("embed_audio", {"linear": plain("embedding_projection", inputs, width)})
    return parts


def senses_3n(c: Config, width: int) -> Tree:
    """Both encoders, each with a table of its own tokens, norms, and a dense layer."""
    parts: Tree = {}
    for name in ("vision", "audio"):
        part = c.part(f"{name}_config")
        inputs = part.size("hidden_size")
        bridge = {
            "table": {"kind": "embedding", "vocabulary": part.size("vocab_size"), "size": inputs, "path": "embedding"},
            "hard_norm": rms("hard_embedding_norm", size=inputs),
            "soft_norm": rms("soft_embedding_norm", size=inputs),
            "linear": plain("embedding_projection", inputs, width),
        }
        parts |= tower(part, name, f"{name}_tower") | {f"{name}_projector": projector(f"embed_{name}", bridge)}
    return parts


def gemma_3n(c: Config) -> Tree:
    return whole(c, senses_3n)


def gemma_4(c: Config) -> Tree:
    return whole(c, senses_4)


def gemma_4_unified(c: Config) -> Tree:
    return whole(c, senses_unified)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "gemma3n": gemma_3n,
    "gemma3n_audio": audio_3n,
    "gemma4": gemma_4,
    "gemma4_audio": audio_4,
    "gemma4_unified": gemma_4_unified,
    "gemma4_vision": vision_4,
}
