"""VibeVoice: codecs of convolutions over raw sound, a language model, and a diffusion head that makes its next sound."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense, projector
from paramcalc.gate.families.hearing import audio_text
from paramcalc.gate.families.nesting import beneath, nested, seen_as, tower
from paramcalc.gate.families.recipes import Tree, document, plain_activation, rms, stack, task_head, tree
from paramcalc.gate.families.vision import refuse, token

MOST_STAGES = 32
CHUNKS = 3, 2
"""Shift, scale and gate of a layer, shift and scale of the last one, fixed in the reference's code."""


def stage(c: Config, path: str, width: int, count: int) -> Tree:
    """Layers of one width: a depthwise convolution, then a feed-forward network, both scaled by a learned gain."""
    names = {"up_proj": "linear1", "down_proj": "linear2"}
    feed = tree(
        kind="feed_forward", path="ffn", size=c.size("ffn_expansion") * width, gated=False, bias=True,
        activation=plain_activation(c), names=names,
    )  # fmt: skip
    layer = {
        "norm_1": rms("norm"),
        "mixer": {"kind": "convolution", "path": "mixer.conv", "kernel": c.size("kernel_size"), "groups": width},
        "gain_1": token("gamma", width) | {"component": "convolution"},
        "norm_2": rms("ffn_norm"),
        "feed_forward": feed,
        "gain_2": token("ffn_gamma", width) | {"component": "feed_forward"},
        "flow": ["norm_1 mixer gain_1 +", "norm_2 feed_forward gain_2 +"],
    }
    return stack(path, {"layer": layer}, f"{count} layer", width=width)


def codec(c: Config, *, decodes: bool = False) -> Tree:
    """One half of the codec (Peng et al. 2025): convolutions that shorten the sound and double its channels, or the other
    way, each followed by layers."""
    ratios, depths = c.sizes("downsampling_ratios", least=1), c.sizes("depths")
    if not 1 <= len(ratios) <= MOST_STAGES or len(depths) != len(ratios) + 1:
        c.fail("depths", f"expected one number more than the 1 to {MOST_STAGES} downsampling_ratios, got {len(depths)}")
        ratios, depths = [1], [1, 1]
    kernel, filters, channels, latent = c.size("kernel_size"), c.size("num_filters"), c.size("channels"), c.size("hidden_size")
    widths = [filters << step for step in range(len(depths))]
    if decodes:
        widths, ratios = widths[::-1], ratios[::-1]
    first, last = (latent, channels) if decodes else (channels, latent)
    plain = {"kind": "convolution", "kernel": kernel}
    step = {"kind": "convolution", "path": "conv_layers.{}.convtr.convtr" if decodes else "conv_layers.{}.conv.conv"}
    parts: Tree = {"stem": plain | {"path": "stem.conv.conv", "inputs": first, "outputs": widths[0]}}
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if index:
            ratio = ratios[index - 1]
            change = {"inputs": widths[index - 1], "outputs": width, "kernel": 2 * ratio, "stride": ratio}
            parts[f"change_{index}"] = tree(**step, **change, transposed=decodes or None)
        if depth:
            parts[f"stage_{index + 1}"] = stage(c, "conv_layers.{}.stage.{}" if index else "stem.stage.{}", width, depth)
    parts["output"] = plain | {"path": "head.conv", "inputs": widths[-1], "outputs": last}
    if c.task("base") not in ("base", "encoder"):
        refuse(c)
    return document(c, parts, width=filters, cache=False)


def tokenizer(c: Config) -> Tree:
    """Both halves of the codec from one config; the decoder's stages stand the other way around."""
    if c.task("base") != "base" or c.architecture().endswith("DecoderModel"):  # one half, with a config of its own
        refuse(c)
    depths = c.sizes("depths")
    halves = {"encoder": seen_as(c), "decoder": seen_as(c, depths=depths[::-1])}
    parts: Tree = {}
    for name, own in halves.items():
        own.serves = "base"
        parts[name] = {"path": name, "width": c.size("num_filters"), **codec(own, decodes=name == "decoder")["parts"]}
    return document(c, parts, width=c.size("num_filters"), cache=False)


def voices(c: Config, sounds: Config, width: int) -> Tree:
    """A pair of dense layers around a norm for each of the two encoders."""
    parts: Tree = {}
    for name, codes in (("acoustic", sounds), ("semantic", c.part("semantic_tokenizer_encoder_config"))):
        parts |= {
            f"{name}_1": dense(f"{name}_linear_1", codes.size("hidden_size"), width),
            f"{name}_norm": rms(f"{name}_norm", size=width),
            f"{name}_2": dense(f"{name}_linear_2", width, width),
        }
    return parts


def meaning(c: Config) -> Tree:
    """The encoder of what is meant, beside that of how it sounds."""
    return tower(c.part("semantic_tokenizer_encoder_config"), "semantic", "semantic_tokenizer_encoder", tower="audio")


def connector(path: str, inputs: int, width: int) -> Tree:
    parts = {"linear_1": dense("linear_1", inputs, width), "norm": rms("act", size=width), "linear_2": dense("linear_2", width, width)}
    return projector(path, parts)


def diffusion(c: Config, width: int, latent: int) -> Tree:
    """The head that makes the next latents out of noise (Peebles & Xie 2023, DiT): layers moved by what is to be said."""
    bias, size, activation = c.flag("mlp_bias"), c.size("intermediate_size"), plain_activation(c, default="silu")
    layer = {
        "move": dense("linear", width, CHUNKS[0] * width, False) | {"component": "norm"},
        "norm": rms("norm"),
        "feed_forward": tree(kind="feed_forward", path="ffn", size=size, bias=bias or None, activation=activation),
        "flow": ["norm feed_forward +"],
    }
    return {
        "path": "diffusion_head",
        "tower": "diffusion",
        "cache": False,
        "noise": dense("noisy_images_proj", latent, width, False),
        "condition": dense("cond_proj", width, width, False),
        "time_1": dense("timestep_proj.fc1", c.size("frequency_embedding_size"), width, False),
        "time_2": dense("timestep_proj.fc2", width, width, False),
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "move": dense("final_layer.linear_1", width, CHUNKS[1] * width, False) | {"component": "norm"},
        "output": dense("final_layer.linear_2", width, latent, False),
    }


def vibevoice(c: Config) -> Tree:
    """VibeVoice (Peng et al. 2025). The text's config says whether the head is tied, whatever stands at the top."""
    task, words, sounds, means = c.task("generation"), c.part("text_config"), c.part("audio_config"), c.part("semantic_model_config")
    width, latent = words.size("hidden_size"), sounds.size("hidden_size")
    parts: Tree = {"latent_scale": token("latent_scaling_factor"), "latent_shift": token("latent_bias_factor")}
    parts |= tower(sounds, "audio", "audio_tower")
    parts |= nested(words, "text", "language_model")
    parts["projector"] = connector("multi_modal_projector", latent, width)
    parts |= tower(means, "semantic", "semantic_tokenizer_encoder", tower="audio")
    parts["semantic_projector"] = connector("semantic_connector", means.size("hidden_size"), width)
    parts["diffusion"] = diffusion(c.part("diffusion_head_config"), width, latent)
    parts = parts if task == "base" else beneath("model", parts)
    tied = "text.embedding" if words.flag("tie_word_embeddings") else None
    c.ignore("vocab_size", "tie_word_embeddings")
    head = task_head(c, task, tree(kind="head", path="lm_head", outputs=words.size("vocab_size"), tied=tied))
    flow = [" ".join(["text", *head])]
    return document(c, parts | head, width=width, context=words.optional("max_position_embeddings"), flow=flow)


ACOUSTIC = ("acoustic_tokenizer_encoder_config", "acoustic_tokenizer_encoder")

FAMILIES = {
    "vibevoice": vibevoice,
    "vibevoice_acoustic_tokenizer": tokenizer,
    "vibevoice_acoustic_tokenizer_decoder": partial(codec, decodes=True),
    "vibevoice_acoustic_tokenizer_encoder": codec,
    "vibevoice_asr": partial(audio_text, bridge=voices, sound=ACOUSTIC, beside=meaning, ties=False),
}
