"""Phi-4 multimodal: Phi-3's layers beside an encoder of images and one of sounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.clip import siglip_vision
from paramcalc.gate.families.composite import dense, projector
from paramcalc.gate.families.decoders import FAMILIES as DECODERS
from paramcalc.gate.families.nesting import beneath, tower
from paramcalc.gate.families.recipes import Tree, document, layer_norm, plain_activation, stack, tree
from paramcalc.gate.families.vision import refuse, token

HALF = ["norm_1 feed_forward_1 +", "norm_2 attention +", "norm_3 gate depthwise pointwise output +", "norm_4 feed_forward_2 +", "norm_out"]


def halvings(c: Config) -> int:
    """How often the frames are halved: `time_reduction` is a power of two."""
    factor = c.size("time_reduction")
    if factor & (factor - 1) or factor < 2:
        c.fail("time_reduction", f"expected a power of two from 2 on, got {factor}")
        return 1
    return factor.bit_length() - 1


def subsampling(c: Config) -> Tree:
    """Strided 3×3 convolutions, the later ones depthwise with a 1×1 behind, then a dense layer over what is left of the bands."""
    channels, bands, steps = c.size("nemo_conv_channels"), c.size("input_size"), halvings(c)
    step = {"kind": "convolution", "path": "embed.conv.{}", "outputs": channels}
    parts: Tree = {"convolution_1": step | {"inputs": 1, "kernel": [3, 3], "stride": [2, 2]}}
    for index in range(2, steps + 1):
        parts[f"convolution_{index}"] = step | {"inputs": channels, "kernel": [3, 3], "stride": [2, 2], "groups": channels}
        parts[f"pointwise_{index}"] = step | {"inputs": channels, "kernel": [1, 1]}
    for _ in range(steps):
        bands = (bands - 1) // 2 + 1
    bands = c.optional("nemo_final_size") or bands
    return parts | {"frames": dense("embed.out", channels * bands, c.size("hidden_size")) | {"component": "embedding"}}


def audio(c: Config) -> Tree:
    """The audio encoder (Abouelenin et al. 2025): conformer layers, and one table of biases by distance for all of them."""
    width, number, inner = c.size("hidden_size"), c.size("num_attention_heads"), c.size("ext_pw_out_channel")
    multiplier, separate, kernel = c.size("depthwise_multiplier"), c.size("depthwise_separable_out_channel"), c.size("kernel_size")
    feed = tree(
        kind="feed_forward", size=c.size("intermediate_size"), fused=True, bias=True, activation=plain_activation(c, "activation", "swish")
    )
    attend = {"kind": "attention", "path": "self_attn", "heads": number, "head_dim": max(1, width // number), "bias": True}
    across = {"kind": "convolution", "kernel": 1}
    layer = {
        "norm_1": layer_norm("feed_forward_in.layer_norm"),
        "feed_forward_1": feed | {"path": "feed_forward_in"},
        "norm_2": layer_norm("layer_norm_att"),
        "attention": attend,
        "norm_3": layer_norm("conv.layer_norm"),
        "gate": across | {"path": "conv.glu.ext_pw_conv_1d", "outputs": 2 * inner},
        "gate_shift": token("conv.glu.b1", 1, inner, 1) | {"component": "convolution"},
        "value_shift": token("conv.glu.b2", 1, inner, 1) | {"component": "convolution"},
        "depthwise": {
            "kind": "convolution",
            "path": "conv.dw_sep_conv_1d.dw_conv",
            "outputs": width * multiplier,
            "kernel": kernel,
            "groups": width,
        },
        "pointwise": across | {"path": "conv.dw_sep_conv_1d.pw_conv", "inputs": width * multiplier, "outputs": separate},
        "output": across | {"path": "conv.ext_pw_conv_1d", "outputs": inner},
        "norm_4": layer_norm("feed_forward_out.layer_norm"),
        "feed_forward_2": feed | {"path": "feed_forward_out"},
        "norm_out": layer_norm("layer_norm"),
        "flow": HALF,
    }
    buckets = c.size("bias_max_distance") * (1 if c.flag("bias_symmetric") else 2)
    table = {"kind": "embedding", "vocabulary": buckets, "size": number, "path": "relative_attention_bias_layer.bias_values"}
    parts = subsampling(c) | {
        "relative": table | {"component": "position_embedding"},
        "layers": stack("encoders.{}", {"layer": layer}, f"{c.size('num_blocks')} layer"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def phi4(c: Config) -> Tree:
    """The language model's keys stand at the top; images and sounds each have a pair of dense layers into its width."""
    phi = DECODERS["phi3"](c)
    width, pictures, sounds = c.size("hidden_size"), c.part("vision_config"), c.part("audio_config")
    read, heard = pictures.size("hidden_size"), sounds.size("hidden_size") * sounds.size("downsample_rate")
    images, audios = "embed_tokens_extend.image_embed", "embed_tokens_extend.audio_embed"
    more = tower(pictures, "vision", f"{images}.img_processor")
    more["vision_projector"] = projector(
        images,
        {
            "global_end": token("global_img_feature_extensor", 1, 1, read),
            "row_end": token("sub_img_feature_extensor", 1, 1, 1, read),
            "linear_1": dense("img_projection_up", read, width),
            "linear_2": dense("img_projection_down", width, width),
        },
    )
    more |= tower(sounds, "audio", f"{audios}.encoder")
    lines: Tree = {}
    for index, name in enumerate(("speech", "vision_speech")):  # for sound alone, and for sound with an image
        lines[f"linear_{2 * index + 1}"] = dense(f"up_proj_for_{name}", heard, width)
        lines[f"linear_{2 * index + 2}"] = dense(f"down_proj_for_{name}", width, width)
    more["audio_projector"] = projector(audios, lines)
    more = more if c.task("causal_lm") == "base" else beneath("model", more)
    return phi | {"parts": more | phi["parts"]}


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "phi4_multimodal": phi4,
    "phi4_multimodal_audio": audio,
    "phi4_multimodal_vision": partial(siglip_vision, pooled=True),
}
