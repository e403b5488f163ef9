"""Language models that listen: encoders of Whisper's kind, and the bridge that makes their frames the text's tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import PRE
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.hearing import audio_text, frames_encoder, hearing, spectrogram
from paramcalc.gate.families.llama import feed_forward, mistral
from paramcalc.gate.families.recipes import (
    PRE_NORM,
    Tree,
    document,
    heads,
    layer_norm,
    plain_activation,
    rate,
    rms,
    stack,
    tree,
    window_size,
)
from paramcalc.gate.families.vision import refuse

CONDITION = 32
"""The inner size of what Voxtral Realtime makes of its delay, fixed in the reference's code."""


def pooled(sounds: Config) -> int:
    """The tokens of a window of sound: the encoder's, two of which are averaged."""
    return max(1, sounds.size("max_source_positions") // 2)


def one_layer(_: Config, sounds: Config, width: int) -> Tree:
    """Qwen2-Audio (Chu et al. 2024): frames averaged in pairs, then one dense layer."""
    return {"tokens": pooled(sounds), "linear": dense("linear", sounds.size("hidden_size"), width)}


def two_layers(c: Config, sounds: Config, width: int) -> Tree:
    """Audio Flamingo 3 (Goel et al. 2025), Music Flamingo: frames averaged in pairs, then two dense layers."""
    bias = c.flag("projector_bias", True)
    layers = {"linear_1": dense("linear_1", sounds.size("hidden_size"), width, bias), "linear_2": dense("linear_2", width, width, bias)}
    return {"tokens": pooled(sounds)} | layers


def side_by_side(_: Config, sounds: Config, width: int) -> Tree:
    """Voxtral (Liu et al. 2025): as many frames side by side as fill the encoder's inner size, then two dense layers."""
    inputs, bias = sounds.size("intermediate_size"), False
    tokens = sounds.size("max_source_positions") * sounds.size("hidden_size") // inputs
    layers = {"linear_1": dense("linear_1", inputs, width, bias), "linear_2": dense("linear_2", width, width, bias)}
    return {"tokens": max(1, tokens)} | layers


def widened(_: Config, sounds: Config, width: int) -> Tree:
    """GLM-ASR: frames side by side, then two dense layers with twice the text's width between them."""
    return {"linear_1": dense("linear_1", sounds.size("intermediate_size"), 2 * width), "linear_2": dense("linear_2", 2 * width, width)}


def merged(c: Config, sounds: Config, width: int) -> Tree:
    """Voxtral Realtime: a few frames side by side, then two dense layers."""
    inputs, bias = sounds.size("hidden_size") * c.size("downsample_factor"), False
    return {"linear_1": dense("linear_1", inputs, width, bias), "linear_2": dense("linear_2", width, width, bias)}


def to_output(_: Config, sounds: Config, __: int) -> Tree:
    """Qwen3-ASR: two dense layers to a width that the encoder's config states."""
    inner = sounds.size("hidden_size")
    return {"linear_1": dense("linear_1", inner, inner), "linear_2": dense("linear_2", inner, sounds.size("output_dim"))}


def alone(c: Config, parts: Tree) -> Tree:
    """An encoder in the one class there is for it."""
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def rotary_attention(c: Config, **fields: int | None) -> Tree:
    """Attention of any number of KV heads with rotary positions, whose keys have no bias."""
    bias, dropout = ["q", "v", "o"], rate(c, "attention_dropout")
    return tree(kind="attention", path="self_attn", **heads(c), bias=bias, rotary=True, dropout=dropout) | tree(**fields)


def frames(c: Config, path: str = "") -> Tree:
    """Two convolutions over a spectrogram, the second of which halves its frames."""
    plain = {"kind": "convolution", "kernel": 3, "activation": "gelu"}
    first = plain | {"inputs": c.size("num_mel_bins"), "path": f"{path}conv1"}
    return {"convolution_1": first, "convolution_2": plain | {"stride": 2, "path": f"{path}conv2"}}


def glm(c: Config) -> Tree:
    """GLM-ASR's encoder: Whisper's, with rotary positions."""
    names = {"up_proj": "fc1", "down_proj": "fc2"}
    feed = tree(
        kind="feed_forward",
        path="mlp",
        size=c.size("intermediate_size"),
        gated=False,
        bias=True,
        activation=plain_activation(c),
        names=names,
    )
    layer = {
        "norm_1": layer_norm("input_layernorm"),
        "attention": rotary_attention(c),
        "norm_2": layer_norm("post_attention_layernorm"),
        "feed_forward": feed,
        "flow": PRE_NORM,
    }
    layers = stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    return alone(c, frames(c) | {"layers": layers, "norm": layer_norm("norm")})


def realtime(c: Config) -> Tree:
    """Voxtral Realtime's encoder: causal, within a window, gated, its norms without a mean."""
    layer = {
        "norm_1": rms("self_attn_layer_norm"),
        "attention": rotary_attention(c, window=window_size(c)),
        "norm_2": rms("final_layer_norm"),
        "feed_forward": feed_forward(c, bias=False) | {"bias": ["down"]},
        "flow": PRE_NORM,
    }
    layers = stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    return alone(c, frames(c, "embedder.") | {"layers": layers, "norm": rms("norm")})


def delayed(c: Config, _: str, __: str) -> Tree:
    """What a layer makes of the delay, once for all tokens, to scale the input of its feed-forward network."""
    width, path = c.size("hidden_size"), "ada_rms_norm.linear"
    made = {
        "linear_1": dense(f"{path}1", width, CONDITION, False),
        "linear_2": dense(f"{path}2", CONDITION, width, False),
    }
    return {"condition": {"path": "", "tokens": 1, **{name: part | {"component": "norm"} for name, part in made.items()}}}


def asr(c: Config) -> Tree:
    """Qwen3-ASR's encoder: three strided convolutions over the spectrogram as an image, fixed sinusoids."""
    return frames_encoder(c, PRE, spectrogram(c), {})


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "audioflamingo3": partial(audio_text, bridge=two_layers, ties=False),
    "audioflamingo3_encoder": hearing,
    "glmasr": partial(audio_text, bridge=widened),
    "glmasr_encoder": glm,
    "musicflamingo": partial(audio_text, bridge=two_layers, ties=False),
    "qwen2_audio": partial(audio_text, bridge=one_layer, ties=False),
    "qwen2_audio_encoder": hearing,
    "qwen3_asr": partial(audio_text, bridge=to_output),
    "qwen3_asr_encoder": asr,
    "voxtral": partial(audio_text, bridge=side_by_side, ties=False),
    "voxtral_encoder": hearing,
    "voxtral_realtime": partial(audio_text, bridge=merged),
    "voxtral_realtime_encoder": realtime,
    "voxtral_realtime_text": partial(mistral, beside=delayed),
}
