"""Encoder-decoders that speak: SpeechT5, which also listens, and Dia."""

from __future__ import annotations

from itertools import pairwise

from paramcalc.gate.config import Config
from paramcalc.gate.families.audio import masked, position_convolution, waveform
from paramcalc.gate.families.bart import Style, layer
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.conformer import WAV2VEC2, feed_forward
from paramcalc.gate.families.nesting import seen_as
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, heads, layer_norm, rms, stack, tied, tree, under
from paramcalc.gate.families.vision import refuse, token

STYLE = Style(embedding_norm=None, dropout="hidden_dropout")
MOST_LAYERS = 1000
READS = [PRE_NORM[0], "norm_cross cross_attention +", PRE_NORM[1]]
SIDES = {
    "SpeechT5ForSpeechToText": ("speech", "text"),
    "SpeechT5ForTextToSpeech": ("text", "speech"),
    "SpeechT5ForSpeechToSpeech": ("speech", "speech"),
    "SpeechT5Model": ("", ""),
}
"""A class to what it hears or reads, and what it says or writes; the bare one takes vectors."""


def halves(c: Config) -> dict[str, Tree]:
    """SpeechT5's layers: BART's, feed-forward networks under other names, one table of distances in the encoder."""
    made = {}
    for side in ("encoder", "decoder"):
        number, size = c.size(f"{side}_attention_heads"), c.size(f"{side}_ffn_dim")
        one = layer(c, STYLE, number, size, cross="read" if side == "decoder" else "")
        one["feed_forward"] = feed_forward(seen_as(c, intermediate_size=size), WAV2VEC2, "feed_forward")
        if side == "encoder":
            one["attention"] = one["attention"] | {"path": "attention"}
            one["norm_1"] = layer_norm("layer_norm")
        made[side] = stack(f"wrapped_{side}.layers.{{}}", {"layer": one}, f"{c.size(f'{side}_layers')} layer")
    return made


def hears(c: Config) -> Tree:
    """wav2vec 2.0's features and positions."""
    sizes = c.sizes("conv_dim", least=1) or [1]
    parts = {
        "feature_extractor": waveform(c) | {"path": "feature_encoder.conv_layers.{}"},
        "feature_norm": layer_norm("feature_projection.layer_norm", size=sizes[-1]),
        "feature_projection": dense("feature_projection.projection", sizes[-1], c.size("hidden_size")),
    }
    return under("prenet.", parts | masked(c) | position_convolution(c, "pos_conv_embed"))


def reads(c: Config, *, scaled: bool) -> Tree:
    """Tokens and fixed waves, which the encoder scales by a learned number."""
    parts: Tree = {"embedding": {"vocabulary": c.size("vocab_size"), "path": "prenet.embed_tokens"}, "position": {"type": "sinusoidal"}}
    return parts | (scale() if scaled else {})


def scale() -> Tree:
    return {"position_scale": token("prenet.encode_positions.alpha") | {"component": "position_embedding"}}


def spoken(c: Config) -> Tree:
    """What was said so far: dense layers over frames of a spectrogram, and the speaker's vector."""
    frames, inner, width, count = (
        c.size(key) for key in ("num_mel_bins", "speech_decoder_prenet_units", "hidden_size", "speech_decoder_prenet_layers")
    )
    parts: Tree = {"frames": dense("layers.{}", frames, inner) | {"component": "embedding"}}
    if count > 1:
        parts["frame_layers"] = stack("layers.{}", {"layer": {"dense": dense("", inner, inner)}}, f"{count - 1} layer", width=inner)
    parts["project"] = dense("final_layer", inner, width)
    parts["speaker"] = dense("speaker_embeds_layer", c.size("speaker_embedding_dim") + width, width)
    return under("prenet.", parts) | scale()


def says(c: Config) -> Tree:
    """A few frames of a spectrogram at a time, whether to stop, and convolutions that correct the frames."""
    frames, few, inner, count = (
        c.size(key) for key in ("num_mel_bins", "reduction_factor", "speech_decoder_postnet_units", "speech_decoder_postnet_layers")
    )
    width, kernel = c.size("hidden_size"), c.size("speech_decoder_postnet_kernel")
    parts: Tree = {
        "path": "speech_decoder_postnet",
        "frames": dense("feat_out", width, frames * few) | {"component": "head"},
        "stop": dense("prob_out", width, few) | {"component": "head"},
    }
    if count > MOST_LAYERS:
        c.fail("speech_decoder_postnet_layers", f"more than {MOST_LAYERS:,}")
    channels = [frames, *[inner] * (min(count, MOST_LAYERS) - 1), frames]
    for index, (before, after) in enumerate(pairwise(channels), 1):
        step = {"kind": "convolution", "path": "layers.{}.conv", "inputs": before, "outputs": after, "kernel": kernel, "bias": False}
        parts[f"convolution_{index}"] = step | ({"activation": "tanh"} if index < count else {})
        parts[f"norm_{index}"] = {"kind": "norm", "type": "batch", "path": "layers.{}.batch_norm", "size": after}
    return parts


def speecht5(c: Config) -> Tree:
    """SpeechT5 (Ao et al. 2022): one encoder and one decoder between any two of speech and text."""
    c.task("base")
    name = c.architecture() or "SpeechT5ForSpeechToText"
    if name not in SIDES:
        refuse(c)
    source, target = SIDES.get(name, SIDES["SpeechT5Model"])
    stacks, number = halves(c), c.size("encoder_attention_heads")
    rows, size = 2 * c.size("encoder_max_relative_position"), max(1, c.size("hidden_size") // number)
    table = {"kind": "embedding", "vocabulary": rows, "size": size, "path": "wrapped_encoder.embed_positions.pe_k"}
    encoder = {
        "path": "encoder",
        "tokens": "source",
        "cache": False,
        **(hears(c) if source == "speech" else reads(c, scaled=True) if source else {}),
        "embedding_norm": layer_norm("wrapped_encoder.layer_norm"),
        "relative": table | {"component": "position_embedding"},
        "layers": stacks["encoder"],
    }
    front = spoken(c) if target == "speech" else reads(c, scaled=False) if target else {}
    parts = {"encoder": encoder, "decoder": {"path": "decoder", **front, "layers": stacks["decoder"]}}
    if not source:
        return document(c, parts)
    parts = under("speecht5.", parts)
    if target == "speech":
        return document(c, parts | {"postnet": says(c)})
    outputs, owner = c.size("vocab_size"), tied(c, "decoder.embedding")
    return document(c, parts | {"head": tree(kind="head", path="text_decoder_postnet.lm_head", outputs=outputs, tied=owner)})


def dia(c: Config) -> Tree:
    """Dia (Nari Labs 2025): bytes of text to several codes of sound at a time, one table and one head for all of them."""
    task, reads, says = c.task("generation"), c.part("encoder_config"), c.part("decoder_config")
    if task not in ("base", "generation") or c.architecture().endswith(("EncoderModel", "DecoderModel", "Encoder", "Decoder")):
        refuse(c)
    width, codes = says.size("hidden_size"), says.size("vocab_size") * says.size("num_channels")
    encoder, decoder = dia_layer(reads, "post_sa_norm"), dia_layer(says, "pre_mlp_norm")
    number, kv_heads = says.size("cross_num_attention_heads"), says.size("cross_num_key_value_heads")
    if number % kv_heads:
        says.inconsistent("cross_num_key_value_heads", f"({kv_heads}) does not divide cross_num_attention_heads ({number})")
    cross = tree(
        kind="attention", path="cross_attention", heads=number, kv_heads=kv_heads, head_dim=says.size("cross_head_dim"),
        source=says.size("cross_hidden_size"), rotary=True,
    )  # fmt: skip
    decoder |= {"norm_cross": rms("pre_ca_norm"), "cross_attention": cross, "flow": READS}
    parts: Tree = {
        "encoder": {
            "path": "encoder",
            "width": reads.size("hidden_size"),
            "tokens": "source",
            "cache": False,
            "embedding": {"vocabulary": reads.size("vocab_size"), "path": "embedding"},
            "layers": stack("layers.{}", {"layer": encoder}, f"{reads.size('num_hidden_layers')} layer"),
            "norm": rms("norm"),
        },
        "decoder": {
            "path": "decoder",
            "embedding": {"vocabulary": codes, "path": "embeddings.embed"},
            "layers": stack("layers.{}", {"layer": decoder}, f"{says.size('num_hidden_layers')} layer"),
            "norm": rms("norm"),
        },
    }
    if task == "generation":
        parts = under("model.", parts) | {"head": {"kind": "head", "path": "logits_dense", "outputs": codes}}
    return document(c, parts, width=width, context=says.optional("max_position_embeddings"))


def dia_layer(c: Config, second: str) -> Tree:
    attend = tree(kind="attention", path="self_attention", **heads(c), rotary=True)
    size, activation = c.size("intermediate_size"), c.text("hidden_act", "silu")
    feed = tree(kind="feed_forward", path="mlp", size=size, fused=True, activation=activation)
    return {"norm_1": rms("pre_sa_norm"), "attention": attend, "norm_2": rms(second), "feed_forward": feed, "flow": PRE_NORM}


FAMILIES = {"dia": dia, "speecht5": speecht5}
