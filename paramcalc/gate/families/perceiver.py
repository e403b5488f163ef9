"""Perceiver IO: a fixed number of latents read any input, attend to themselves, and are read by what is asked for."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.recipes import Tree, document, labels, layer_norm, plain_activation, rate, stack, tree, under
from paramcalc.gate.families.vision import refuse, token

MOST_PASSES = 1000
COLOURS = 3
PIXELS = 256
"""Channels of learned image features, and of their positions, fixed in the reference's code."""
FILTERS = 64
"""Channels of the convolution over images, fixed in the reference's code."""
WAVES = 2 * (2 * 64 + 1)
"""Positions of a pixel as 64 sines and 64 cosines and itself along each of two axes, fixed in the reference's code."""
ASKED = {"heads": 8, "qk": 8 * 32}
"""How words ask the latents, fixed in the reference's code."""


def layer(
    c: Config, number: int, width: int, widening: int, qk: int | None, v: int | None, source: int | None = None, residual: bool = True
) -> Tree:
    """Attention, of latents to themselves or to a `source`, and a feed-forward network. Queries and keys are `qk` wide in
    all, values `v`."""
    if source and qk is None:
        qk = width if c.choice("cross_attention_shape_for_attention", ("q", "kv"), "kv") == "q" else source
    qk = qk or width
    v = v or qk
    for name, size in (("qk_channels", qk), ("v_channels", v)):
        if size % number:
            c.fail(name, f"{size} is not divided by the number of heads ({number})")
    names = {"q_proj": "self.query", "k_proj": "self.key", "v_proj": "self.value", "o_proj": "output.dense"}
    attend = tree(
        kind="attention", path="attention", heads=number, head_dim=max(1, qk // number), v_head_dim=max(1, v // number), bias=True,
        outputs=width if source else v, source=source, dropout=rate(c, "attention_probs_dropout_prob"), names=names,
    )  # fmt: skip
    feed = tree(
        kind="feed_forward", path="mlp", size=widening * width, gated=False, bias=True, activation=plain_activation(c),
        names={"up_proj": "dense1", "down_proj": "dense2"},
    )  # fmt: skip
    norms = {"norm_1": layer_norm("attention.self.layernorm1")}
    if source:
        norms["norm_source"] = layer_norm("attention.self.layernorm2", size=source)
    flow = ["norm_1 attention +" if residual else "norm_1 attention", "norm_2 feed_forward +"]
    return norms | {"attention": attend, "norm_2": layer_norm("layernorm"), "feed_forward": feed, "flow": flow}


def words(c: Config) -> tuple[Tree, int]:
    """Words with learned positions, and their width."""
    width = c.size("d_model")
    table = {"vocabulary": c.size("vocab_size"), "size": width, "path": "embeddings"}
    position = {"rows": c.size("max_position_embeddings"), "size": width, "path": "position_embeddings"}
    return {"embedding": table, "position": position}, width


def learned_pixels(c: Config) -> tuple[Tree, int]:
    """A pointwise convolution beside learned positions."""
    side = c.size("image_size")
    pixels = {"kind": "convolution", "path": "convnet_1x1", "inputs": COLOURS, "outputs": PIXELS, "kernel": [1, 1]}
    about = {"component": "position_embedding"}
    parts = {
        "pixels": pixels,
        "position": token("position_embeddings.position_embeddings", side * side, PIXELS) | about,
        "project": dense("positions_projection", PIXELS, PIXELS) | about,
        "flow": ["pixels"],
    }
    return parts, 2 * PIXELS


def fourier_pixels(_: Config) -> tuple[Tree, int]:
    """Colours beside fixed waves: no parameters."""
    return {}, COLOURS + WAVES


def filtered_pixels(_: Config) -> tuple[Tree, int]:
    """A strided convolution beside fixed waves."""
    filters = {"kind": "convolution", "path": "convnet.conv", "inputs": COLOURS, "outputs": FILTERS, "kernel": [7, 7], "stride": [2, 2]}
    norm = {"kind": "norm", "type": "batch", "path": "convnet.batchnorm", "size": FILTERS}
    return {"convolution": filters | {"bias": False}, "norm": norm}, FILTERS + WAVES


INPUTS = {
    "base": lambda c: ({}, c.size("d_model")),
    "masked_lm": words,
    "sequence_classification": words,
    "PerceiverForImageClassificationLearned": learned_pixels,
    "PerceiverForImageClassificationFourier": fourier_pixels,
    "PerceiverForImageClassificationConvProcessing": filtered_pixels,
}
"""A task, or a class that is its own, to what it reads and how wide that is."""


def perceiver(c: Config) -> Tree:
    """Perceiver IO (Jaegle et al. 2021)."""
    task, latents, width = c.task("masked_lm"), c.size("num_latents"), c.size("d_latents")
    if task not in INPUTS:
        refuse(c)
    read, source = INPUTS.get(task, words)(c)
    qk, v, passes = c.optional("qk_channels"), c.optional("v_channels"), c.size("num_blocks")
    if passes > MOST_PASSES:
        c.fail("num_blocks", f"more than {MOST_PASSES:,}")
    numbers = [c.size(f"num_{kind}_attention_heads") for kind in ("cross", "self")]
    reads = layer(c, numbers[0], width, c.size("cross_attention_widening_factor"), qk, v, source, c.flag("use_query_residual", True))
    attends = layer(c, numbers[1], width, c.size("self_attention_widening_factor"), qk, v)
    layers = stack("encoder.self_attends.{}", {"layer": attends}, f"{c.size('num_self_attends_per_block')} layer", tokens=latents)
    parts: Tree = {
        **({"input": {"path": "input_preprocessor", "width": source, **read}} if read else {}),
        "latents": token("embeddings.latents", latents, width),
        "reads": {"path": "encoder.cross_attention", "tokens": latents, **reads},
        "layers": layers,
    }
    flow = [*(["input"] if read else []), "reads", *["layers"] * min(passes, MOST_PASSES)]  # each pass uses the same layers
    if task != "base":
        parts["decoder"] = asked(c, width) if task == "masked_lm" else classified(c, width)
        parts = under("perceiver.", parts)
        flow.append("decoder")
    if task == "masked_lm":
        head = {"kind": "head", "path": "embedding_decoder", "inputs": source, "outputs": c.size("vocab_size"), "bias": True}
        parts["head"] = head | {"tied": "input.embedding"}
        flow.append("head")
    return document(c, parts, width=width, cache=False, flow=[" ".join(flow)])


def asked(c: Config, latents: int) -> Tree:
    """A learned query for each position reads the latents."""
    rows, width = c.size("max_position_embeddings"), c.size("d_model")
    query = token("output_position_encodings.position_embeddings", rows, width) | {"component": "position_embedding"}
    reads = layer(c, ASKED["heads"], width, 1, ASKED["qk"], width, latents, residual=False)
    reader = {"path": "decoding_cross_attention", **reads}
    return {"path": "decoder", "width": width, "tokens": rows, "query": query, "reads": reader, "flow": ["reads"]}


def classified(c: Config, latents: int) -> Tree:
    """One learned query reads the latents, and a dense layer tells the class."""
    query = token("output_position_encodings.position_embeddings", 1, latents) | {"component": "position_embedding"}
    reader = {"path": "decoding_cross_attention", **layer(c, 1, latents, 1, None, None, latents)}
    head = dense("final_layer", latents, labels(c)) | {"component": "head"}
    return {"path": "decoder.decoder", "tokens": 1, "query": query, "reads": reader, "head": head, "flow": ["reads head"]}


FAMILIES = {"perceiver": perceiver}
