"""Nemotron 3 Nano Omni and Inkling: language models of mixed layers that see by encoders of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense, image_text, projector
from paramcalc.gate.families.hearing import heard
from paramcalc.gate.families.nesting import told, tower
from paramcalc.gate.families.recipes import Tree, depth, document, layer_norm, layered, plain_activation, rms, stack, tree
from paramcalc.gate.families.vision import Words, attention, encoder_layer, feed_forward, refuse, token

RADIO = Words("norm1", "attention", "norm2", "mlp", scales=("layer_scale1.lambda1", "layer_scale2.lambda1"))
INKLING = Words("layernorm_before", "self_attn", "layernorm_after", "mlp", o="out_proj", scales=("lambda_1", "lambda_2"))
MOST_PIXELS = 1 << 16  # along a side of a patch, whose prime factors are looked for


def radio(c: Config) -> Tree:
    """C-RADIO (Ranzinger et al. 2024): patches as rows of numbers, frames in pairs through a matrix of their own, a grid
    of positions as large as the largest image, and class and register tokens in one tensor."""
    width, side = c.size("hidden_size"), c.size("patch_size")
    inputs, frames = c.size("num_channels") * side * side, c.optional("video_temporal_patch_size")
    rows = (c.size("max_img_size") // side) ** 2
    inner = max(1, int(width * c.number("mlp_ratio", 4.0)))
    if c.flag("use_swiglu_ffn"):  # two thirds, rounded up to a multiple of 8
        feed = feed_forward(c, RADIO, size=max(1, (int(inner * 2 / 3) + 7) // 8 * 8), gated=True, names=None, activation="silu")
    else:
        feed = feed_forward(c, RADIO, size=inner)
    attend = attention(c, RADIO, bias=True if c.flag("qkv_bias", True) else ["o"])
    parts: Tree = {"patches": dense("embeddings.patch_projection", inputs, width, False) | {"component": "embedding"}}
    if frames:
        video = dense("embeddings.video_patch_projection", frames * inputs, width, False)
        parts["video_patches"] = video | {"component": "embedding"}
    if rows:
        parts["position"] = {"rows": rows, "bare": True, "path": "embeddings.position_embedding"}
    tokens = c.zero_or("num_cls_tokens") + c.zero_or("num_registers")
    if tokens:
        parts["cls_tokens"] = token("embeddings.cls_register_token", tokens, width)
    layer = encoder_layer(RADIO, attend, feed, width=width)
    parts["layers"] = stack("encoder.layer.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def nemotron_bridge(c: Config, _: int, width: int) -> Tree:
    """A square of patches side by side, a norm, two dense layers without biases; a norm before all that where the language
    model's config has layers that predict further tokens."""
    stated, ratio = c.size("vision_hidden_size"), c.number("downsample_ratio", 0.5)
    inputs = stated * (max(1, int(1 / ratio)) ** 2 if ratio > 0 else 1)
    inner = c.size("projector_hidden_size")
    last = layer_norm("vision_final_layernorm", size=stated)
    between = mlp("multi_modal_projector", inputs, inner, width, False)
    return ({"last_norm": last} if c.part("text_config").zero_or("num_nextn_predict_layers") else {}) | between


def mlp(path: str, inputs: int, inner: int, width: int, bias: bool) -> Tree:
    return {
        "norm": rms(f"{path}.layer_norm", size=inputs),
        "linear_1": dense(f"{path}.linear_1", inputs, inner, bias) | {"activation": "relu2"},
        "linear_2": dense(f"{path}.linear_2", inner, width, bias),
    }


def nemotron_omni(c: Config) -> Tree:
    """Nemotron 3 Nano Omni (NVIDIA 2026): C-RADIO, Nemotron-H, and an encoder of sounds where there is a config for one."""
    for key, older in (("text_config", "llm_config"), ("audio_config", "sound_config")):
        c.ignore(older)
        if isinstance(c.given.get(older), dict) and c.given.get(key) is None:
            told(c, **{key: c.given[older]})
    c.also("vision_hidden_size", "vit_hidden_size")

    def sounds(c: Config, width: int) -> Tree:
        if not c.holds("audio_config"):
            return {}
        audio = c.part("audio_config")
        if audio.model_type == "parakeet":  # as the checkpoints name the encoder
            audio.model_type = "parakeet_encoder"
        told(audio, **({"attention_bias": False, "scale_input": False} | dict(audio.given)))
        inner, bias = audio.size("projection_hidden_size"), audio.flag("projection_bias")
        bridge = projector("", mlp("embed_audio", audio.size("hidden_size"), inner, width, bias))
        return tower(audio, "audio", "audio_tower") | {"audio_projector": bridge}

    return image_text(c, nemotron_bridge, vision=("vision_model",), bridge_path="", beside=sounds, base="", headed=True)


def prime_factors(number: int) -> list[int]:
    """From the smallest to the largest."""
    factors, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return [*factors, number] if number > 1 else factors


def scales(c: Config) -> list[tuple[int, int, int]]:
    """Frames, side and channels before and after each of Inkling's layers.

    A patch grows by its prime factors, the largest first, in space and then in time; of these steps each layer takes the
    one nearest to its share of the whole patch on a logarithmic scale (as the reference plans it).
    """
    frames, side, colours, layers = c.size("temporal_patch_size"), c.size("patch_size"), c.size("num_channels"), depth(c)
    if not 2 <= side <= MOST_PIXELS or frames > MOST_PIXELS:
        c.fail("patch_size", f"expected 2 to {MOST_PIXELS:,} pixels a side and at most as many frames, got {side:,} and {frames:,}")
        return []
    steps = [(1, 1, colours)]
    now = 1
    for factor in reversed(prime_factors(side)):
        now *= factor
        steps.append((1, now, math.ceil(now**2 * colours / 64) * 64))
    now = 1
    for factor in reversed(prime_factors(frames)):
        now *= factor
        steps.append((now, side, side**2 * colours * now * 64))
    if layers < len(steps):
        c.fail("n_layers", f"({layers}) is less than the {len(steps)} steps of such a patch, which is not modelled")
        return []
    whole = math.log(side * side * frames * colours)
    sizes = [math.log(time * space * space) for time, space, _ in steps]
    chosen = [min(range(len(steps)), key=lambda step: abs(whole * index / layers - sizes[step])) for index in range(layers + 1)]
    return [steps[step] for step in [0, *chosen[1:-1], len(steps) - 1]]


def inkling_vision(c: Config) -> Tree:
    """Inkling's image encoder: each layer folds neighbours into one and maps them by a matrix; the last has no norm."""
    grid, outputs = scales(c), c.size("text_hidden_size")
    pairs = list(pairwise(grid))
    kinds = {pair: f"step_{number}" for number, pair in enumerate(dict.fromkeys(pairs[:-1]), 1)}
    by_name = {name: pair for pair, name in kinds.items()} | ({"last": pairs[-1]} if pairs else {})

    def build(word: str) -> Tree:
        before, after = by_name[word]
        folded = (after[0] // before[0]) * (after[1] // before[1]) ** 2
        if word == "last":
            return {"linear": dense("projection", before[2] * folded, outputs, False), "flow": ["linear"]}
        linear = dense("projection", before[2] * folded, after[2], False)
        return {"linear": linear, "norm": rms("layer_norm", size=after[2]), "flow": ["linear norm"]}

    parts: Tree = {}
    if pairs:
        parts["layers"] = layered("encoder_layers.{}", [[*(kinds[pair] for pair in pairs[:-1]), "last"]], build)
    parts["norm"] = rms("final_norm")
    return document(c, parts, width=outputs, cache=False)


def inkling_audio(c: Config) -> Tree:
    """Inkling's ear: a row for each value of each band of a spectrogram, summed and normed."""
    rows = c.size("n_mel_bins") * c.size("mel_vocab_size")
    parts = {"embedding": {"vocabulary": rows, "path": "embed_audio_tokens.embed_audio_tokens"}, "norm": rms("norm")}
    return document(c, parts, width=c.size("text_hidden_size"), cache=False)


def inkling(c: Config) -> Tree:
    """Inkling whole (Thinking Machines 2026): both encoders end in the text's width."""
    width = c.part("text_config").size("hidden_size")
    for key in ("vision_config", "audio_config"):
        told(c.part(key), text_hidden_size=width)
    c.ignore("mtp_config")  # of layers that predict further tokens, which the reference leaves out
    return image_text(c, None, beside=heard, ties=False)


def inkling2_vision(c: Config) -> Tree:
    """Inkling 2's image encoder: scaled branches, a grid of positions, and a network on squares of patches at the end."""
    width, side = c.size("hidden_size"), c.size("patch_size")
    size = c.optional("intermediate_size") or max(1, int(width * c.number("mlp_ratio", 4.0)))
    place = token("embeddings.cls_position_embedding", width) | {"type": "embedding", "component": "position_embedding"}
    merged, inner, bias = width * c.size("spatial_merge_size") ** 2, c.size("projection_hidden_dim"), c.flag("projector_bias")
    layer = encoder_layer(INKLING, attention(c, INKLING, rotary=True), feed_forward(c, INKLING, size=size), width=width)
    patches = dense("embeddings.patch_embedding", c.size("num_channels") * side * side, width, False)
    parts = {
        "patches": patches | {"component": "embedding"},
        "cls_token": token("embeddings.class_embedding", width),
        "cls_position": place,
        "position": {"rows": c.size("posemb_grid_size") ** 2, "path": "embeddings.position_embedding"},
        "embedding_norm": layer_norm("pre_layernorm"),
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "merger_1": dense("merger.linear_1", merged, inner, bias) | tree(activation=plain_activation(c)),
        "merger_2": dense("merger.linear_2", inner, c.size("text_hidden_size"), bias),
    }
    return document(c, parts, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "inkling2": partial(image_text, bridge=None, ties=False),
    "inkling2_vision": inkling2_vision,
    "inkling_audio": inkling_audio,
    "inkling_mm_model": inkling,
    "inkling_vision": inkling_vision,
    "nemotron_h_omni": nemotron_omni,
    "radio": radio,
}
