"""Gemma 3n and Gemma 4: inputs of its own for each layer, layers that reuse earlier keys and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.changes import stated, told_apart
from paramcalc.gate.families.llama import GEMMA, Layout, attention, feed_forward, layer
from paramcalc.gate.families.mixtures import mixture
from paramcalc.gate.families.recipes import SANDWICH, Tree, decoder_parts, depth, document, layered, rms, tree, windows

OWN_INPUT = "input_gate input_projection norm_5 +"
"""The step that brings a layer's own input into the stream."""


def dense(path: str, outputs: int | None = None, inputs: int | None = None, **fields: Any) -> Tree:
    return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, bias=False, **fields)


def sharing(c: Config, seen: Sequence[str]) -> list[str]:
    """The last `num_kv_shared_layers` layers reuse keys and values of earlier ones that see the same."""
    first = len(seen) - (c.optional("num_kv_shared_layers", least=0) or 0)
    if first < 0 or (first < len(seen) and {*seen[:first]} != {*seen}):
        c.fail("num_kv_shared_layers", f"({len(seen) - first}) leaves no layer whose keys and values some layers could reuse")
    return ["own" if index < first else "reusing" for index in range(len(seen))]


def layer_inputs(c: Config) -> Tree:
    """What each layer mixes into the stream from its own input (Gemma 3n)."""
    size, activation = c.size("hidden_size_per_layer_input"), c.text("hidden_act", "gelu_pytorch_tanh")
    return {
        "input_gate": dense("per_layer_input_gate", size, activation=activation),
        "input_projection": dense("per_layer_projection", inputs=size),
        "norm_5": rms("post_per_layer_input_norm"),
    }


def all_inputs(c: Config) -> Tree:
    """The inputs of all layers: from a table of tokens, and projected from the stream's first state."""
    size = c.size("hidden_size_per_layer_input")
    together = depth(c) * size
    vocabulary = c.size("vocab_size_per_layer_input")
    return {
        "layer_embedding": tree(kind="embedding", vocabulary=vocabulary, size=together, path="embed_tokens_per_layer"),
        "layer_projection": dense("per_layer_model_projection", together),
        "layer_norm": rms("per_layer_projection_norm", size=size),
    }


def around(c: Config, layers: Tree, extra: Tree) -> Tree:
    """The whole model; what makes the layers' inputs stands beside the stream."""
    parts = decoder_parts(c, layers, rms("norm"), extra=extra, tie=True)
    return document(c, parts, flow=[" ".join(name for name in parts if name not in extra)] if extra else None)


def sandwich(c: Config) -> Layout:
    own = c.optional("hidden_size_per_layer_input", least=0)
    return Layout(GEMMA.norms, [*SANDWICH, OWN_INPUT] if own else SANDWICH)


def gemma3n(c: Config) -> Tree:
    """Gemma 3n: four streams of which one is computed and the others are predicted (AltUp, Baykal et al. 2023), a path of
    low rank beside attention (LAuReL, Menghani et al. 2024), and feed-forward sizes by layer."""
    streams, rank, width = c.size("altup_num_inputs"), c.size("laurel_rank"), c.size("hidden_size")
    seen = windows(c, lambda index: (index + 1) % 5 != 0)
    listed = c.value("intermediate_size")
    sizes = c.sizes("intermediate_size", least=1) if isinstance(listed, list) else [c.size("intermediate_size")] * len(seen)
    if len(sizes) != len(seen):
        c.fail("intermediate_size", f"names {len(sizes)} layers, but num_hidden_layers is {len(seen)}")
    beside = {
        "laurel_left": dense("laurel.linear_left", rank),
        "laurel_right": dense("laurel.linear_right", inputs=rank),
        "laurel_norm": rms("laurel.post_laurel_norm"),
        "altup_norm": rms("altup.router_norm"),
        "altup_router": dense("altup.modality_router", streams),
        "altup_predict": dense("altup.prediction_coefs", streams**2, streams),
        "altup_correct": dense("altup.correction_coefs", streams, streams),
        "altup_scale": tree(kind="tensor", shape=[width], path="altup.correct_output_scale"),
    }
    flow = ["norm_1 (attention norm_2 | laurel_left laurel_right laurel_norm) +", SANDWICH[1], OWN_INPUT]

    def build(sight: str, keys: str, size: str) -> Tree:
        attend = attention(c, sight, qk_norm="head", reuses=keys == "reusing" or None)
        feed = feed_forward(c, bias=False, size=int(size.removeprefix("size_")))
        return layer(Layout(GEMMA.norms, flow), rms, attend, feed, **layer_inputs(c), **beside)

    layers = layered("layers.{}", [seen, sharing(c, seen), [f"size_{size}" for size in sizes]], build)
    extra = all_inputs(c)
    for name in ("altup_projections", "altup_unembed_projections") if streams > 1 else ():
        extra[name] = dense(f"{name}.{{}}", stored=streams - 1)
    return around(c, layers, extra)


def gemma4_attention(c: Config, word: str, keys: str, changes: dict[str, int]) -> Tree:
    """Gemma 4: layers that see all have larger heads and, with `attention_k_eq_v`, keys for values."""
    attend = attention(c, word.partition("_")[0], qk_norm="head", reuses=keys == "reusing" or None)
    if "window" in attend and c.value("use_bidirectional_attention") == "all":
        attend["window"] = attend["window"] // 2 + 1
    if word.startswith("global") and c.flag("attention_k_eq_v"):
        attend["value_is_key"] = True
    ours = {"head_dim": "head_dim", "num_key_value_heads": "kv_heads"}
    return attend | {ours[key]: size for key, size in changes.items()}


def gemma4_mixture(c: Config) -> Tree:
    """Experts beside the feed-forward network, with norms and a scaled router of their own."""
    experts = mixture(c, path="", router="router.proj")
    count, width = c.size("num_experts"), c.size("hidden_size")
    return {
        "experts": experts,
        "router_scale": tree(kind="tensor", shape=[width], path="router.scale", component="router"),
        "expert_scale": tree(kind="tensor", shape=[count], path="router.per_expert_scale", component="router"),
        "norm_6": rms("post_feedforward_layernorm_1"),
        "norm_7": rms("pre_feedforward_layernorm_2"),
        "norm_8": rms("post_feedforward_layernorm_2"),
    }


def gemma4(c: Config) -> Tree:
    """Gemma 4, with or without inputs of each layer's own, with or without experts beside the network."""
    moe = c.flag("enable_moe_block")
    seen = windows(c, lambda index: (index + 1) % 6 != 0)
    seen = [*seen[:-1], "global"]  # the reference makes the last layer see all, whatever is listed
    changes = stated(c, len(seen), ["head_dim", "num_key_value_heads"])
    if changes is None:
        whole = {"head_dim": c.optional("global_head_dim") or 512}
        if c.flag("attention_k_eq_v") and (kv_heads := c.optional("num_global_key_value_heads")):
            whole["num_key_value_heads"] = kv_heads
        changes = [whole if sight == "global" else {} for sight in seen]
    words, by_word = told_apart(seen, changes)
    layout = sandwich(c)
    if moe:
        both = "(norm_3 feed_forward norm_6 | norm_7 experts norm_8) norm_4 +"
        layout = layout._replace(flow=[SANDWICH[0], both, *layout.flow[2:]])
    inputs = bool(c.optional("hidden_size_per_layer_input", least=0))

    def build(word: str, keys: str) -> Tree:
        attend = gemma4_attention(c, word, keys, by_word[word])
        wide = c.flag("use_double_wide_mlp") and keys == "reusing"
        feed = feed_forward(c, bias=False, size=c.size("intermediate_size") * (2 if wide else 1))
        beside = (layer_inputs(c) if inputs else {}) | (gemma4_mixture(c) if moe else {})
        return layer(layout, rms, attend, feed, **beside)

    layers = layered("layers.{}", [words, sharing(c, seen)], build)
    return around(c, layers, all_inputs(c) if inputs else {})


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "gemma3n_text": gemma3n,
    "gemma4_text": gemma4,
    "gemma4_unified_text": gemma4,
}
