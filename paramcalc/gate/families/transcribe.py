"""Nemotron 3.5 Transcribe: encoders of what is said and of who speaks, Nemotron-H, and an encoder of when each word falls."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.hearing import audio_text
from paramcalc.gate.families.nesting import beneath, nested, tower
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, heads, layer_norm, plain_activation, rate, stack, tree, under
from paramcalc.gate.families.vision import refuse, token

UPSAMPLER = 3
"""The kernel of the convolution that spreads frames, fixed in the reference's code."""


def frame_layers(c: Config, *, normed: bool) -> Tree:
    """A norm, pre-norm layers with rotary positions, a norm; `normed` queries and keys."""
    about = heads(c)
    number, kv_heads = about["heads"], about.get("kv_heads") or about["heads"]
    if kv_heads != number:  # the reference has values for all heads, and repeats them as often as the keys
        c.inconsistent("num_key_value_heads", f"({kv_heads}) is not num_attention_heads ({number})")
        about |= {"v_outputs": number * about["head_dim"]}
    qk_norm = {"qk_norm": "head", "qk_norm_type": "layer", "qk_norm_bias": True} if normed else {}
    dropout = rate(c, "attention_dropout")
    attend = tree(kind="attention", path="self_attn", **about, bias=["o"], rotary=True, dropout=dropout, **qk_norm)
    names = {"up_proj": "fc1", "down_proj": "fc2"}
    size, activation = c.size("intermediate_size"), plain_activation(c)
    layer = {
        "norm_1": layer_norm("layer_norm1"),
        "attention": attend,
        "norm_2": layer_norm("layer_norm2"),
        "feed_forward": tree(kind="feed_forward", path="mlp", size=size, gated=False, bias=True, activation=activation, names=names),
        "flow": PRE_NORM,
    }
    return {
        "input_norm": layer_norm("input_layer_norm"),
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layer_norm"),
    }


def alone(c: Config, parts: Tree, width: int | None = None) -> Tree:
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, width=width, cache=False)


def frames_encoder(c: Config, *, normed: bool) -> Tree:
    """Frames of a spectrogram side by side, a dense layer without bias, and layers."""
    inputs = c.size("subsampling_factor") * c.size("num_mel_bins")
    frames = dense("embedder.projection", inputs, c.size("hidden_size"), False) | {"component": "embedding"}
    return alone(c, {"frames": frames} | frame_layers(c, normed=normed))


def timestamps(c: Config) -> Tree:
    """Frames spread over time again, and layers."""
    factor = c.size("upsampling_factor")
    spread = {"kind": "convolution", "path": "upsampler", "kernel": factor, "stride": factor, "transposed": True}
    return alone(c, {"spread": spread} | frame_layers(c, normed=True))


def diarization(c: Config) -> Tree:
    """Which of a few speakers are heard in each frame (Sortformer, Park et al. 2024)."""
    task, head = c.task("base"), c.part("head_config")
    width, inner = c.part("audio_config").size("hidden_size"), head.size("hidden_size")
    if width != head.size("audio_hidden_size"):
        c.fail("head_config.audio_hidden_size", f"({head.size('audio_hidden_size')}) is not the encoder's width ({width})")
    c.part("streaming_config")
    outputs = inner * head.size("subsampling_factor")
    parts = nested(c.part("audio_config"), "audio", "audio_tower")
    parts["project"] = dense("proj", width, inner)
    parts["spread"] = {"kind": "convolution", "path": "upsampler.conv", "inputs": inner, "outputs": outputs, "kernel": UPSAMPLER}
    if task == "audio_frame":
        parts = beneath("model", parts) | {
            "dense": dense("classifier.dense", inner, inner) | {"component": "head"},
            "head": dense("classifier.out_proj", inner, head.size("num_speakers")) | {"component": "head"},
            "silence": token("silence_embeds", width),
        }
    elif task != "base":
        refuse(c)
    return document(c, parts, width=width, cache=False)


def audio(c: Config) -> Tree:
    """What is said, to which fixed waves are added for those who speak."""
    said, spoken = c.part("asr_config"), c.part("diarization_config")
    width, rates = said.size("hidden_size"), [part.size("subsampling_factor") for part in (said, spoken.part("audio_config"))]
    if rates[0] != rates[1]:
        c.fail("asr_config.subsampling_factor", f"({rates[0]}) is not that of the diarization model ({rates[1]})")
    parts = nested(said, "asr", "asr_encoder") | nested(spoken, "diarization", "diarization_model", task="audio_frame")
    parts["norm"] = layer_norm("asr_norm", size=width)
    parts["speaker_norm"] = layer_norm("speaker_norm", size=spoken.part("head_config").size("num_speakers"))
    return alone(c, parts, width)


def linear(_: Config, sounds: Config, width: int) -> Tree:
    """One dense layer."""
    return {"linear": dense("multi_modal_projector", sounds.part("asr_config").size("hidden_size"), width)}


def transcribe(c: Config) -> Tree:
    """Nemotron 3.5 Transcribe (NVIDIA 2026)."""
    when = c.part("word_timestamp_config")
    if c.architecture().endswith(("AudioModel", "TimestampModel")):  # their configs are parts of this one
        refuse(c)
    made = audio_text(c, linear, bridge_path="", ties=False)
    parts = tower(when, "timestamps", "word_timestamp_encoder", tower="audio")
    if c.task("generation") != "base":
        parts = under("model.", parts)
        outputs = {"inputs": when.size("hidden_size"), "outputs": when.size("vocab_size"), "kernel": 1}
        last = {"kind": "convolution", "path": "word_timestamp_head", "component": "head"} | outputs
        parts["timestamp_head"] = {"path": "", "tower": "audio", "output": last}
    return made | {"parts": made["parts"] | parts}


FAMILIES = {
    "nemo_speechlm": transcribe,
    "nemotron3_5_transcribe_asr_audio": partial(frames_encoder, normed=True),
    "nemotron3_5_transcribe_audio": audio,
    "nemotron3_5_transcribe_word_timestamp": timestamps,
    "nemotron3_diarization": diarization,
    "nemotron3_diarization_audio": partial(frames_encoder, normed=False),
}
