"""SeamlessM4T, both versions: encoders of speech and of text, a decoder of text, and what turns text into speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import PRE, before, half
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.conformer import WAV2VEC2, feed_forward, strided, wav2vec2_layers
from paramcalc.gate.families.nesting import seen_as
from paramcalc.gate.families.recipes import Tree, document, dropped, layer_norm, tree
from paramcalc.gate.families.vision import refuse, token
from paramcalc.gate.families.vocoder import hifi_gan

STYLE = PRE._replace(position="sinusoidal", cross="cross_attention")
KERNEL = 7
"""Of the convolutions in the second version's decoder of units, fixed in the reference's code."""

CLASSES = {
    "ForTextToText": ("text_encoder", "text_decoder"),
    "ForSpeechToText": ("speech_encoder", "text_decoder"),
    "ForTextToSpeech": ("text_encoder", "text_decoder", "units", "vocoder"),
    "ForSpeechToSpeech": ("speech_encoder", "text_decoder", "units", "vocoder"),
    "Model": ("text_encoder", "speech_encoder", "text_decoder", "units", "vocoder"),
}
"""The end of a class's name to what it holds."""


def renamed(side: Tree) -> Tree:
    """A half of BART's make whose feed-forward network is a module of its own."""
    layers = side["layers"]["kinds"]["layer"]
    layers["feed_forward"] = layers["feed_forward"] | {"path": "ffn"}
    layers["norm_2"] = layer_norm("ffn_layer_norm")
    return side


def text_half(c: Config, side: str, *, tokens: bool = True, **fields: Any) -> Tree:
    """The encoder or the decoder of text, or of units: an encoder of units reads what the decoder of text makes of it."""
    first = before(c, STYLE, {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"}) if tokens else dropped(c, "dropout")
    return renamed(half(c, STYLE, side, first, cross="read" if side == "decoder" else "", **fields))


HEARD = {
    "num_attention_heads": "speech_encoder_attention_heads",
    "intermediate_size": "speech_encoder_intermediate_size",
    "hidden_act": "speech_encoder_hidden_act",
    "num_hidden_layers": "speech_encoder_layers",
    "adapter_kernel_size": "adaptor_kernel_size",
    "adapter_stride": "adaptor_stride",
    "hidden_dropout": "speech_encoder_dropout",
    "activation_dropout": "speech_encoder_dropout",
    "attention_dropout": "speech_encoder_dropout",
}
"""What W2v-BERT's conformer calls a key, and what SeamlessM4T does."""
SAME = (
    "hidden_size", "conv_depthwise_kernel_size", "left_max_position_embeddings", "right_max_position_embeddings", "num_adapter_layers",
    "feature_projection_input_dim", "add_adapter",
)  # fmt: skip


def speech_encoder(c: Config, known: Sequence[str], inside: str) -> Tree:
    """W2v-BERT's encoder with one more norm behind it. `known` are the kinds of positions that the version reads."""
    kind = c.text("position_embeddings_type")
    values = {key: c.value(own) for key, own in HEARD.items()} | {key: c.value(key) for key in SAME}
    values |= {
        "position_embeddings_type": kind if kind in known else "",
        "adapter_act": "relu",
        "output_hidden_size": c.size("hidden_size"),
    }
    own = seen_as(c, "wav2vec2-bert", **values)
    kernel, inputs, width = c.size("conv_depthwise_kernel_size"), c.size("feature_projection_input_dim"), c.size("hidden_size")
    if kernel % 2 == 0:
        c.fail("conv_depthwise_kernel_size", f"expected an odd number, got {kernel}")
    parts = {
        "path": "speech_encoder",
        "tokens": "source",
        "cache": False,
        "feature_norm": layer_norm("feature_projection.layer_norm", size=inputs),
        "feature_projection": dense("feature_projection.projection", inputs, width) | {"component": "embedding"},
        "layers": wav2vec2_layers(own, inside),
        "norm": layer_norm("encoder.layer_norm"),
        "feed_forward": feed_forward(own, WAV2VEC2, "intermediate_ffn") | {"activation": "relu"},
    }
    if c.flag("add_adapter", True):
        parts["adapter"] = strided(own)
    last = "adapter norm_last" if "adapter" in parts else "norm_last"
    flow = ["feature_norm feature_projection layers norm", "feed_forward +", last]
    return parts | {"norm_last": layer_norm("inner_layer_norm"), "flow": flow}


def of_units(c: Config) -> Config:
    """The config of the model of units: what stands under `t2u_` keys takes the place of the keys without."""
    own = {key[4:]: c.value(key) for key in {*c.defaults.values, *c.given} if key.startswith("t2u_")}
    return seen_as(c, **own)


def units(c: Config, decoder: Callable[[Config], Tree]) -> Tree:
    """From what the decoder of text made to units of speech: an encoder-decoder of its own, which keeps no cache of text."""
    own, prefix = of_units(c), "model."
    sides = {"encoder": text_half(own, "encoder", tokens=False), "decoder": decoder(own)}
    parts = {name: side | {"path": prefix + side["path"]} for name, side in sides.items()}
    tie = "units.decoder.embedding" if own.flag("tie_word_embeddings", True) else None
    head = tree(kind="head", path="lm_head", outputs=own.size("vocab_size"), tied=tie)
    return {"path": "t2u_model", "tower": "speech", "cache": False, **parts, "head": head}


def spoken(c: Config) -> Tree:
    """The second version's decoder of units: all at once, from characters and how long each lasts."""
    width = c.size("hidden_size")
    side = text_half(c, "decoder")
    attend = side["layers"]["kinds"]["layer"]["attention"]
    convolve = {"kind": "convolution", "kernel": KERNEL}
    layer = {
        "attention": attend,
        "norm_1": layer_norm("self_attn_layer_norm"),
        "convolution_1": convolve | {"path": "conv1", "activation": c.text("activation_function", "relu")},
        "convolution_2": convolve | {"path": "conv2"},
        "norm_2": layer_norm("conv_layer_norm"),
        "flow": ["attention + norm_1", "convolution_1 convolution_2 + norm_2"],
    }
    read, inner = c.size("variance_predictor_embed_dim"), c.size("variance_predictor_hidden_dim")
    durations = predictor(read, inner, c.size("variance_predictor_kernel_size"))
    return {
        "path": "decoder",
        "embedding": side["embedding"],
        "characters": {"kind": "embedding", "vocabulary": c.size("char_vocab_size"), "path": "embed_char", "size": width},
        "character_scale": token("pos_emb_alpha_char", 1) | {"component": "position_embedding"},
        "unit_scale": token("pos_emb_alpha", 1) | {"component": "position_embedding"},
        "durations": {"path": "duration_predictor", **durations},
        "layers": side["layers"] | {"kinds": {"layer": layer}},
        "norm": side["norm"],
    }


def predictor(inputs: int, size: int, kernel: int) -> Tree:
    """How long each unit lasts: two convolutions with norms, and a dense layer (Ren et al. 2021, FastSpeech 2)."""
    convolve = {"kind": "convolution", "outputs": size, "kernel": kernel, "activation": "relu"}
    return {
        "convolution_1": convolve | {"path": "conv1", "inputs": inputs},
        "norm_1": layer_norm("ln1", size=size),
        "convolution_2": convolve | {"path": "conv2", "inputs": size},
        "norm_2": layer_norm("ln2", size=size),
        "output": dense("proj", size, 1),
    }


def vocoder(c: Config) -> Tree:
    """From units, a speaker and a language to sound."""
    unit, speaker, language = (c.size(f"{name}_embed_dim") for name in ("unit", "spkr", "lang"))
    tables = (
        ("units", "unit_embedding", c.size("unit_hifi_gan_vocab_size"), unit),
        ("speakers", "speaker_embedding", c.size("vocoder_num_spkrs"), speaker),
        ("languages", "language_embedding", c.size("vocoder_num_langs"), language),
    )
    named = {name: {"kind": "embedding", "vocabulary": rows, "size": size, "path": path} for name, path, rows, size in tables}
    return {
        "path": "vocoder",
        "tower": "speech",
        "cache": False,
        "durations": {"path": "dur_predictor", **predictor(unit, unit, c.size("variance_predictor_kernel_size"))},
        **named,
        "sound": {"path": "hifi_gan", **hifi_gan(c, unit + speaker + language)},
    }


def seamless(c: Config, *, known: Sequence[str], inside: str, decoder: Callable[[Config], Tree]) -> Tree:
    """SeamlessM4T (Barrault et al. 2023) in any of its classes. Sound is made after the text: neither `units` nor
    `vocoder` are in the stream."""
    c.task("base")
    name = c.architecture().removeprefix("SeamlessM4T").removeprefix("v2") or "Model"
    if name not in CLASSES:
        refuse(c)
    held = CLASSES.get(name, CLASSES["Model"])
    makers: dict[str, Callable[[], Tree]] = {
        "text_encoder": lambda: text_half(c, "encoder") | {"path": "text_encoder", "tokens": "source", "cache": False},
        "speech_encoder": lambda: speech_encoder(c, known, inside),
        "text_decoder": lambda: text_half(c, "decoder") | {"path": "text_decoder"},
        "units": lambda: units(c, decoder),
        "vocoder": lambda: vocoder(c),
    }
    return document(c, tables(c, {part: makers[part]() for part in held}), flow=[f"{held[0]} text_decoder head"])


def tables(c: Config, parts: Tree) -> Tree:
    """One token table for the halves of text and the head; with ties off, one for each and a spare one."""
    head = tree(kind="head", path="lm_head", outputs=c.size("vocab_size"))
    if not c.flag("tie_word_embeddings", True):
        return {"spare": {"kind": "embedding", "vocabulary": c.size("vocab_size"), "path": "shared"}} | parts | {"head": head}
    first, *others = [part for part in parts if part.startswith("text")]
    parts[first]["embedding"] = parts[first]["embedding"] | {"path": "/shared"}
    for part in others:
        parts[part]["embedding"] = parts[part]["embedding"] | {"tied": f"{first}.embedding"}
    return parts | {"head": head | {"tied": f"{first}.embedding"}}


FAMILIES = {
    "seamless_m4t": partial(seamless, known=("relative", "rotary"), inside="batch", decoder=partial(text_half, side="decoder")),
    "seamless_m4t_v2": partial(seamless, known=("relative_key",), inside="layer", decoder=spoken),
}
