"""Encoder-decoders that hear: an encoder over frames of sound, and BART's decoder."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import PRE, before, decoder_half, half, lm_head, own_table, seq2seq_head
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.recipes import Tree, document, dropped, labels, tree, under

WHISPER = PRE._replace(bias=["q", "v", "o"], source_tokens="max_source_positions")


def whisper(c: Config) -> Tree:
    """Whisper (Radford et al. 2022): an encoder that always sees `max_source_positions` steps of two frames each, over
    fixed sinusoids that are parameters without a gradient; keys have no bias."""
    task = c.task("generation")
    if task == "causal_lm":
        return decoder_half(c, WHISPER, head="proj_out", rows="max_target_positions")
    if task == "audio_classification":
        return document(c, {"encoder": whisper_encoder(c)} | whisper_classifier(c))
    parts = {
        "encoder": whisper_encoder(c),
        "decoder": half(c, WHISPER, "decoder", before(c, WHISPER, own_table(c), "max_target_positions"), cross="read"),
    }
    prefix = "" if task == "base" else "model."
    head = lm_head(c, "decoder.embedding", path="proj_out")
    return document(c, under(prefix, parts) | seq2seq_head(c, task, head)) | tree(context=c.optional("max_target_positions"))


def whisper_encoder(c: Config) -> Tree:
    """Two convolutions, the second of which halves the frames, positions, and layers."""
    steps = c.size("max_source_positions")
    first = {"kind": "convolution", "inputs": c.size("num_mel_bins"), "kernel": 3, "path": "conv1", "activation": "gelu"}
    front = {
        "frames": {"path": "", "tokens": 2 * steps, "convolution": first},
        "convolution": {"kernel": 3, "stride": 2, "path": "conv2", "activation": "gelu"},
        "position": {"type": "fixed", "rows": steps, "path": "embed_positions"},
        **dropped(c, "dropout"),
    }
    return half(c, WHISPER, "encoder", front, tokens=steps, cache=False)


def whisper_classifier(c: Config) -> Tree:
    """A projection and a classifier on the encoder's output, or on a learned mean of all its layers' outputs."""
    layers = c.size("encoder_layers")
    mean = {"layer_mean": {"kind": "tensor", "shape": [layers + 1], "path": "layer_weights", "component": "head"}}
    size = c.size("classifier_proj_size")
    return {
        **(mean if c.flag("use_weighted_layer_sum") else {}),
        "projector": {"kind": "dense", "path": "projector", "outputs": size, "component": "head"},
        "pooling": {"type": "global"},
        **dense_head("classifier", labels(c), inputs=size),
    }


def speech_to_text(c: Config) -> Tree:
    """Speech-to-Text (Wang et al. 2020, fairseq S2T): gated convolutions, each halving the frames, before the encoder."""
    task, style = c.task("generation"), PRE._replace(position="sinusoidal")
    front = {
        "subsampler": subsampler(c),
        "position": {"type": "sinusoidal"},
        **dropped(c, "dropout"),
    }
    parts = {
        "encoder": half(c, style, "encoder", front, tokens="source", cache=False),
        "decoder": half(c, style, "decoder", before(c, style, own_table(c)), cross="read"),
    }
    prefix = "" if task == "base" else "model."
    head = seq2seq_head(c, task, lm_head(c, "decoder.embedding"))
    return document(c, under(prefix, parts) | head) | tree(context=c.optional("max_target_positions"))


def subsampler(c: Config) -> Tree:
    """Convolutions of stride 2 whose outputs are halved by a gated linear unit (Dauphin et al. 2017)."""
    kernels, count = c.sizes("conv_kernel_sizes", least=1), c.size("num_conv_layers")
    if len(kernels) != count:
        c.fail("conv_kernel_sizes", f"names {len(kernels)} kernels, but num_conv_layers is {count}")
        count = len(kernels)
    inputs = c.size("input_feat_per_channel") * c.size("input_channels")
    middle, width = c.size("conv_channels"), c.size("hidden_size")
    parts: Tree = {"path": "conv.conv_layers.{}"}
    for index, kernel in enumerate(kernels[:count]):
        last = index == count - 1
        parts[f"convolution_{index + 1}"] = {
            "kind": "convolution",
            "path": "",
            "inputs": inputs if index == 0 else max(1, middle // 2),
            "outputs": 2 * width if last else middle,
            "kernel": kernel,
            "stride": 2,
            "activation": "glu",
        }
    return parts


FAMILIES = {"speech_to_text": speech_to_text, "whisper": whisper}
