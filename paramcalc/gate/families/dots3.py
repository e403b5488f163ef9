"""dots 3 note with what it sees and hears."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.changes import Changes, stated, told_apart
from paramcalc.gate.families.composite import dense, image_text
from paramcalc.gate.families.mixtures import SPARSE, mixture
from paramcalc.gate.families.nesting import told, tower
from paramcalc.gate.families.recipes import (
    PRE_NORM,
    Tree,
    depth,
    document,
    layer_norm,
    layered,
    per_layer,
    plain_activation,
    rate,
    rms,
    stack,
    tree,
)
from paramcalc.gate.families.vision import encoder_layer, refuse
from paramcalc.gate.families.visual import BLOCK, fused_attention, gated

WHISPER = {
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
    "num_hidden_layers": "encoder_layers",
    "intermediate_size": "encoder_ffn_dim",
    "feature_size": "num_mel_bins",
    "max_position_embeddings": "max_source_positions",
}
"""Our words, and those of a `whisper_config` inside the audio encoder's."""
PYRAMID = [-1] * 25 + list(range(4, 65, 4)) + [64]
"""Experts of each layer of the image encoder where nothing is said of them, -1 for none (Dots3NoteVisionConfig)."""


def pyramid(c: Config) -> tuple[list[str], dict[str, Changes]]:
    """Which layers of the image encoder have experts, and how many each: as listed, or a pyramid."""
    layers, counts = depth(c), c.listed("pyramid_num_routed")
    if counts is None and not c.states("mlp_layer_types"):
        counts = PYRAMID
    if counts is None:
        listed = stated(c, layers, ["num_local_experts", "num_experts_per_tok"]) if c.states("per_layer_config") else None
        return told_apart(per_layer(c, "mlp_layer_types", SPARSE, lambda _: "dense", other="dense"), listed or [{}] * layers)
    if len(counts) < layers or any(type(count) is not int for count in counts):
        c.fail("pyramid_num_routed", f"expected a number of experts for each of {layers} layers, got {counts!r:.60}")
        return told_apart(["dense"] * layers, [{}] * layers)
    visited = c.optional("num_experts_per_tok") or 2
    made = [{"num_local_experts": count, "num_experts_per_tok": min(visited, count)} if count > 0 else {} for count in counts[:layers]]
    return told_apart(["sparse" if change else "dense" for change in made], made)


def dots_vision(c: Config) -> Tree:
    """The image encoder: rotary positions, norms of queries and keys, experts in the upper layers, a merger of squares."""
    for key, older in (("hidden_size", "embed_dim"), ("num_attention_heads", "num_heads"), ("attention_bias", "use_bias")):
        c.also(key, older)
    width, side, biased = c.size("hidden_size"), c.size("patch_size"), c.flag("mlp_bias")
    words, changes = pyramid(c)

    def build(word: str) -> Tree:
        attend = fused_attention(c, width, bias=c.flag("attention_bias") or None, qk_norm="head")
        if word.startswith("dense"):
            return encoder_layer(BLOCK, attend, gated(c, bias=biased), norm=rms)
        experts = mixture(c, visited=changes[word].get("num_experts_per_tok", c.optional("num_experts_per_tok") or 2))
        return encoder_layer(BLOCK, attend, experts | {"count": changes[word].get("num_local_experts", experts["count"])}, norm=rms)

    read = c.size("adapter_in_dim")
    inner, outputs = read * c.size("adapter_merge_size") ** 2, c.size("adapter_out_dim")
    parts: Tree = {
        "patches": tree(
            kind="convolution", path="patch_embed.proj", inputs=c.size("num_channels"), kernel=[side, side], stride=[side, side],
            component="embedding",
        ),
        "embedding_norm": rms("patch_embed.norm"),
        "layers": layered("blocks.{}", [words], build),
        "norm": rms("norm"),
        "merger": {
            "path": "merger",
            "norm": layer_norm("ln_q", size=read),
            "linear_1": dense("mlp.{}", inner, inner) | {"activation": "gelu"},
            "linear_2": dense("mlp.{}", inner, outputs),
        },
    }  # fmt: skip
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def dots_audio(c: Config) -> Tree:
    """The audio encoder: three strided convolutions over the spectrogram as an image, layers with rotary positions and
    gated networks, and an adapter into the text's width."""
    older = c.value("whisper_config")
    if isinstance(older, dict):
        told(c, **{key: older[name] for key, name in WHISPER.items() if name in older})
    c.also("adapter_input_size", "whisper_adapter_in_dim")
    c.also("adapter_out_dim", "whisper_adapter_out_dim", "adapter_output_size")
    width, channels = c.size("hidden_size"), c.size("downsample_hidden_size")
    bands = c.optional("conv_output_size") if c.states("conv_output_size") else None
    front: Tree = {
        f"convolution_{index}": {
            "kind": "convolution", "path": "conv_stem.convs.{}", "inputs": 1 if index == 1 else channels, "outputs": channels,
            "kernel": [3, 3], "stride": [2, 2], "activation": "gelu", "component": "embedding",
        }
        for index in (1, 2, 3)
    }  # fmt: skip
    inputs = bands or channels * ((c.size("feature_size") + 7) // 8)
    front["frames"] = dense("conv_stem.conv_out", inputs, width, bias=False) | {"component": "embedding"}
    heads = c.size("num_attention_heads")
    bias = ["q", "v", "o"] if c.flag("attention_bias", True) else None
    layer = {
        "norm_1": rms("input_layernorm"),
        "attention": tree(
            path="self_attn", heads=heads, head_dim=max(1, width // heads), bias=bias, rotary=True, dropout=rate(c, "attention_dropout")
        ),
        "norm_2": rms("post_attention_layernorm"),
        "feed_forward": tree(path="mlp", size=c.size("intermediate_size"), fused=True, bias=True, activation=plain_activation(c)),
        "flow": PRE_NORM,
    }
    read, outputs = c.size("adapter_input_size"), c.size("adapter_out_dim")
    adapter = {
        "path": "adapter",
        "norm": layer_norm("norm", size=read),
        "linear_1": dense("fc1", read, outputs) | {"activation": "gelu"},
        "linear_2": dense("fc2", outputs, outputs),
    }
    layers = stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    if c.task("base") != "base":
        refuse(c)
    return document(c, front | {"layers": layers, "norm": rms("layer_norm"), "adapter": adapter}, cache=False)


def dots_note(c: Config) -> Tree:
    """dots 3 note (rednote 2026): an image and an audio encoder, each with its own way into the text's width."""

    def hears(c: Config, _: int) -> Tree:
        return tower(c.part("audio_config"), "audio", "audio_tower")

    return image_text(c, None, beside=hears, flat=True, narrows=True)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "dots3_note": dots_note,
    "dots3_note_audio_encoder": dots_audio,
    "dots3_note_vision_encoder": dots_vision,
}
