"""Models of sound and text: Whisper's encoder, a bridge, and a language model; and MusicGen's decoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import PRE, Style, layer
from paramcalc.gate.families.composite import dense, head, image_text, projector
from paramcalc.gate.families.nesting import beneath, nested, tower
from paramcalc.gate.families.recipes import Tree, document, dropped, layer_norm, stack, tree, under
from paramcalc.gate.families.speech import WHISPER, whisper_encoder
from paramcalc.gate.families.vision import refuse

ENDS = 2  # a sound begins and ends with a token of its own
TEXT_ENCODERS = ("mt5", "t5", "t5gemma", "umt5")
"""Encoder-decoders of which a text encoder is the first half."""
CODES = PRE._replace(bias=False)


def hearing(c: Config) -> Tree:
    """Whisper's encoder standing alone."""
    group = whisper_encoder(c)
    fields = {key: group.pop(key) for key in ("path", "tokens", "cache")}
    if c.task("base") != "base":
        refuse(c)
    return document(c, group, tokens=fields["tokens"], cache=False)


def frames_encoder(c: Config, style: Style, front: Tree, after: Tree) -> Tree:
    """Layers of Whisper's make over what `front` makes of a spectrogram; `after` follows the last norm."""
    one = layer(c, style, c.size("encoder_attention_heads"), c.size("encoder_ffn_dim"))
    parts = (
        front | {"layers": stack("layers.{}", {"layer": one}, f"{c.size('encoder_layers')} layer"), "norm": layer_norm("ln_post")} | after
    )
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def omni_2_5(c: Config) -> Tree:
    """Qwen2.5-Omni's audio encoder (Xu et al. 2025): Whisper's, without a table of positions, into the text's width."""
    width, outputs = c.size("hidden_size"), c.size("output_dim")
    front = {
        "convolution_1": {"kind": "convolution", "path": "conv1", "inputs": c.size("num_mel_bins"), "kernel": 3},
        "convolution_2": {"kind": "convolution", "path": "conv2", "kernel": 3, "stride": 2},
        "ends": {"kind": "embedding", "vocabulary": ENDS, "size": outputs, "path": "audio_bos_eos_token"},
    }
    return frames_encoder(c, WHISPER, front, {"output": dense("proj", width, outputs)})


def spectrogram(c: Config) -> Tree:
    """Three strided convolutions over a spectrogram as an image, whose bands then go into the width."""
    width, channels, bands = c.size("hidden_size"), c.size("downsample_hidden_size"), c.size("num_mel_bins")
    front: Tree = {}
    for index in (1, 2, 3):
        front[f"convolution_{index}"] = {
            "kind": "convolution", "path": f"conv2d{index}", "inputs": 1 if index == 1 else channels, "outputs": channels,
            "kernel": [3, 3], "stride": [2, 2], "activation": "gelu",
        }  # fmt: skip
        bands = (bands + 1) // 2
    return front | {"frames": dense("conv_out", channels * bands, width, bias=False) | {"component": "embedding"}}


def omni_3(c: Config) -> Tree:
    """Qwen3-Omni's audio encoder (Xu et al. 2025): three strided convolutions over the spectrogram as an image."""
    width = c.size("hidden_size")
    after = {"linear": dense("proj1", width, width), "output": dense("proj2", width, c.size("output_dim"))}
    return frames_encoder(c, PRE, spectrogram(c), after)


def heard(c: Config, _: int) -> Tree:
    """The audio encoder beside that of images."""
    return tower(c.part("audio_config"), "audio", "audio_tower")


def audio_text(
    c: Config,
    bridge: Callable[[Config, Config, int], Tree],
    *,
    sound: tuple[str, str] = ("audio_config", "audio_tower"),
    bridge_path: str = "multi_modal_projector",
    beside: Callable[[Config], Tree] | None = None,
    ties: bool = True,
) -> Tree:
    """An encoder of sound, a bridge, and a language model. `sound` is the encoder's key and reference name; `beside` makes
    parts that stand beside it; `ties` says whether the class heeds the flag that ties the head."""
    task, words, sounds = c.task("generation"), c.part("text_config"), c.part(sound[0])
    if c.architecture().endswith("Encoder"):  # its config is a part of this one
        refuse(c)
    width = words.size("hidden_size")
    parts = tower(sounds, "audio", sound[1])
    parts |= beside(c) if beside else {}
    parts["projector"] = projector(bridge_path, bridge(c, sounds, width))
    parts |= nested(words, "text", "language_model")
    parts = parts if task == "base" else beneath("model", parts)
    return document(c, parts | head(c, words, task, ties=ties), width=width, context=words.optional("max_position_embeddings"))


def merged_frames(c: Config, sounds: Config, width: int) -> Tree:
    """MOSS Transcribe: a few frames side by side, two dense layers, a norm."""
    bias = c.flag("projector_bias", True)
    inputs = sounds.size("hidden_size") * c.size("audio_merge_size")
    layers = {"linear_1": dense("linear_1", inputs, width, bias), "linear_2": dense("linear_2", width, width, bias)}
    return layers | {"norm": layer_norm("norm", size=width)}


def codes(c: Config, *, reads: bool = True) -> Tree:
    """MusicGen's decoder (Copet et al. 2023): a table and a head for each codebook, no biases but those of the norms.

    `reads`: whether each layer reads the text by cross attention; the melody's reads it as a prefix.
    """
    task, number, books, words = c.task("causal_lm"), c.size("num_attention_heads"), c.size("num_codebooks"), c.size("vocab_size")
    one = layer(c, CODES, number, c.size("ffn_dim"), cross="read" if reads else "")
    one["feed_forward"] = {key: value for key, value in one["feed_forward"].items() if key != "bias"}
    parts: Tree = {
        "embedding": {"vocabulary": words + 1, "path": "embed_tokens.{}", "stored": books},
        "position": {"type": "sinusoidal"},
        **dropped(c, "dropout"),
        "layers": stack("layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layer_norm"),
    }
    parts = under("decoder." if task == "base" else "model.decoder.", parts)
    if task == "causal_lm":
        parts["head"] = tree(kind="head", path="lm_heads.{}", outputs=words, stored=books)
    elif task != "base":
        refuse(c)
    return document(c, parts)


def musicgen(c: Config, *, reads: bool = True) -> Tree:
    """The decoder alone, as its class for causal language modelling takes it from the whole model's config, or the whole."""
    task, decoder = c.task("causal_lm"), c.part("decoder")
    if task not in ("causal_lm", "base", "generation"):
        refuse(c)
    decoder.serves = "base" if task == "base" else "causal_lm"
    for key in ("text_encoder", "audio_encoder"):
        c.part(key)
    return composed(c, reads) if task == "generation" else codes(decoder, reads=reads) | {"model_type": c.model_type}


def composed(c: Config, reads: bool) -> Tree:
    """A text encoder, a codec, and the decoder; what the text's encoder makes, and a melody's chroma, put into its width."""
    words, sounds, decoder = c.part("text_encoder"), c.part("audio_encoder"), c.part("decoder")
    made, width = words.size("hidden_size"), decoder.size("hidden_size")
    whole = "encoder" if words.model_type in TEXT_ENCODERS else "base"
    parts = nested(words, "text_encoder", "text_encoder", task=whole, cache=False, **({"tokens": "source"} if reads else {}))
    parts |= tower(sounds, "codec", "audio_encoder", tower="audio")
    if made != width and (not reads or decoder.optional("cross_attention_hidden_size") is None):
        parts["projector"] = projector("", {"linear": dense("enc_to_dec_proj", made, width)})
    if not reads and c.size("num_chroma") != width:
        parts["melody_projector"] = projector("", {"linear": dense("audio_enc_to_dec_proj", c.size("num_chroma"), width)})
    own = codes(decoder, reads=reads)
    return document(c, parts | {"decoder": {"path": "decoder", **own["parts"]}}, width=width)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "moss_transcribe_diarize": partial(audio_text, bridge=merged_frames),
    "moss_transcribe_diarize_audio": hearing,
    "musicgen": musicgen,
    "musicgen_decoder": codes,
    "musicgen_melody": partial(musicgen, reads=False),
    "musicgen_melody_decoder": partial(codes, reads=False),
    "qwen2_5_omni_audio_encoder": omni_2_5,
    "qwen2_5_omni_thinker": partial(image_text, bridge=None, vision=("visual",), beside=heard),
    "qwen3_omni_moe_audio_encoder": omni_3,
    "qwen3_omni_moe_thinker": partial(image_text, bridge=None, vision=("visual",), beside=heard),
}
