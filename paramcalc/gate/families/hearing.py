"""Models of sound and text: Whisper's encoder, a bridge, and a language model; and MusicGen's decoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import PRE, layer
from paramcalc.gate.families.composite import dense, head, projector
from paramcalc.gate.families.nesting import beneath, nested, tower
from paramcalc.gate.families.recipes import Tree, document, dropped, layer_norm, stack, tree, under
from paramcalc.gate.families.speech import whisper_encoder
from paramcalc.gate.families.vision import refuse

CODES = PRE._replace(bias=False)


def hearing(c: Config) -> Tree:
    """Whisper's encoder standing alone."""
    group = whisper_encoder(c)
    fields = {key: group.pop(key) for key in ("path", "tokens", "cache")}
    if c.task("base") != "base":
        refuse(c)
    return document(c, group, tokens=fields["tokens"], cache=False)


def audio_text(c: Config, bridge: Callable[[Config, Config, int], Tree], *, bridge_path: str = "multi_modal_projector") -> Tree:
    """An encoder of sound, a bridge, and a language model."""
    task, words, sounds = c.task("generation"), c.part("text_config"), c.part("audio_config")
    width = words.size("hidden_size")
    parts = tower(sounds, "audio", "audio_tower")
    parts["projector"] = projector(bridge_path, bridge(c, sounds, width))
    parts |= nested(words, "text", "language_model")
    parts = parts if task == "base" else beneath("model", parts)
    return document(c, parts | head(c, words, task), width=width, context=words.optional("max_position_embeddings"))


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
    """The decoder alone, as its class for causal language modelling takes it from the whole model's config."""
    task = c.task("causal_lm")
    if task not in ("causal_lm", "base"):
        c.fail("architectures", f"{c.architecture()} is not modelled; only the decoder is")
    decoder = c.part("decoder")
    decoder.serves = "base" if task == "base" else "causal_lm"
    for key in ("text_encoder", "audio_encoder"):
        c.part(key)
    return codes(decoder, reads=reads) | {"model_type": c.model_type}


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "moss_transcribe_diarize": partial(audio_text, bridge=merged_frames),
    "moss_transcribe_diarize_audio": hearing,
    "musicgen": musicgen,
    "musicgen_decoder": codes,
    "musicgen_melody": partial(musicgen, reads=False),
    "musicgen_melody_decoder": partial(codes, reads=False),
}
