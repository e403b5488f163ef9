"""Encoders of raw speech: wav2vec 2.0, HuBERT, WavLM and their kin."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import (
    POST_NORM,
    PRE_NORM,
    Tree,
    depth,
    document,
    dropped,
    heads,
    labels,
    layer_norm,
    plain_activation,
    rate,
    stack,
    tree,
    under,
)
from paramcalc.gate.families.vision import refuse, token
from paramcalc.model.order import order_of

MOST_CONVOLUTIONS = 64
SAMPLES = 16_000
"""Of a second of sound, as the preprocessors of all these models have it."""


def dense(path: str, inputs: int, outputs: int, **fields: Any) -> Tree:
    return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, **fields)


def waveform(c: Config) -> Tree:
    """Strided convolutions from one channel of samples to features; the first has a group norm, or all a layer norm."""
    sizes, kernels, strides = c.sizes("conv_dim", least=1), c.sizes("conv_kernel", least=1), c.sizes("conv_stride", least=1)
    if not 1 <= len(sizes) <= MOST_CONVOLUTIONS or not len(sizes) == len(kernels) == len(strides):
        c.fail("conv_dim", f"expected 1 to {MOST_CONVOLUTIONS} sizes, and as many of conv_kernel and conv_stride")
        return {}
    grouped = c.choice("feat_extract_norm", ("group", "layer"), "layer") == "group"
    bias, before, function = c.flag("conv_bias"), 1, plain_activation(c, "feat_extract_activation")
    kinds: Tree = {}
    for index, (size, kernel, stride) in enumerate(zip(sizes, kernels, strides, strict=True), 1):
        convolution = tree(
            path="conv", inputs=before, outputs=size, kernel=kernel, stride=stride, padding=0, bias=bias, input_grad=index == 1 or None
        )
        kinds[f"layer_{index}"] = {"convolution": convolution}
        if index == 1 or not grouped:
            about = {"type": "group", "groups": size} if grouped else {"type": "layer"}
            kinds[f"layer_{index}"]["norm"] = {"path": "layer_norm", "size": size} | about
        kinds[f"layer_{index}"]["activation"] = {"function": function}
        before = size
    return stack("feature_extractor.conv_layers.{}", kinds, ", ".join(f"1 {kind}" for kind in kinds))


def position_convolution(c: Config, path: str = "encoder.pos_conv_embed") -> Tree:
    """Positions from a wide grouped convolution whose weight is kept as direction and length (weight norm)."""
    kernel, groups = c.size("num_conv_pos_embeddings"), c.size("num_conv_pos_embedding_groups")
    plain: Tree = {"kind": "convolution", "path": f"{path}.conv", "kernel": kernel, "groups": groups, "component": "position_embedding"}
    plain |= {"padding": kernel // 2, "cut": True, "activation": plain_activation(c, "feat_extract_activation")}
    if c.flag("conv_pos_batch_norm"):
        return {"position_norm": {"kind": "norm", "type": "batch", "path": f"{path}.batch_norm"}, "position": plain}
    names = {"weight": "parametrizations.weight.original1", "length": "parametrizations.weight.original0"}
    return {"position": plain | {"weight_norm": True, "names": names}}


def stacked_positions(c: Config) -> Tree:
    """data2vec's positions: several smaller convolutions, each with a norm that has no parameters."""
    groups = c.size("num_conv_pos_embedding_groups")
    kernel = c.size("conv_pos_kernel_size")
    layer: Tree = {"kind": "convolution", "path": "conv", "kernel": kernel, "groups": groups, "component": "position_embedding"}
    layer |= {"padding": kernel // 2, "cut": True}
    norm = {"kind": "norm", "type": "layer", "scale": False, "bias": False}
    parts = {"convolution": layer, "norm": norm, "activation": {"function": plain_activation(c, "feat_extract_activation")}}
    count = c.size("num_conv_pos_embeddings")
    if count > MOST_CONVOLUTIONS:
        c.fail("num_conv_pos_embeddings", f"more than {MOST_CONVOLUTIONS} convolutions")
    # not layers of the encoder: checkpointing leaves them alone
    numbered = {f"layer_{index}": {"path": ""} | parts for index in range(1, min(count, MOST_CONVOLUTIONS) + 1)}
    return {"position": {"kind": "group", "path": "encoder.pos_conv_embed.layers.{}"} | numbered}


def attention(c: Config) -> Tree:
    names = {"o_proj": "out_proj"}
    dropout, output = rate(c, "attention_dropout"), rate(c, "hidden_dropout")
    return tree(kind="attention", path="attention", **heads(c), bias=True, dropout=dropout, output_dropout=output, names=names)


def feed_forward(c: Config, path: str = "feed_forward") -> Tree:
    return tree(
        kind="feed_forward", path=path, size=c.size("intermediate_size"), gated=False, bias=True, activation=plain_activation(c),
        dropout=rate(c, "hidden_dropout"), activation_dropout=rate(c, "activation_dropout"),
        names={"up_proj": "intermediate_dense", "down_proj": "output_dense"},
    )  # fmt: skip


def layers(c: Config, gated_positions: bool) -> Tree:
    """Post-norm layers, or pre-norm (`do_stable_layer_norm`) ones that may end in a small adapter.

    WavLM (Chen et al. 2022) biases by distance through a gate; the table is the first layer's alone.
    """
    stable = c.flag("do_stable_layer_norm")
    blocks = {"attention": attention(c), "feed_forward": feed_forward(c)}
    norms = layer_norm("layer_norm"), layer_norm("final_layer_norm")
    layer: Tree
    if stable:
        layer = {"norm_1": norms[0], "attention": blocks["attention"], "norm_2": norms[1], "feed_forward": blocks["feed_forward"]}
    else:
        layer = {"attention": blocks["attention"], "norm_1": norms[0], "feed_forward": blocks["feed_forward"], "norm_2": norms[1]}
    flow = list(PRE_NORM if stable else POST_NORM)
    inner = c.optional("adapter_attn_dim")
    if stable and inner:
        names = {"up_proj": "linear_1", "down_proj": "linear_2"}
        layer["adapter_norm"] = layer_norm("adapter_layer.norm")
        layer["adapter"] = tree(
            kind="feed_forward", path="adapter_layer", size=inner, gated=False, bias=True, activation="relu", names=names, component="other"
        )
        flow.append("adapter_norm adapter +")
    layer["flow"] = flow
    if not gated_positions:
        return stack("encoder.layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    number = c.size("num_attention_heads")
    layer["gate"] = dense("attention.gru_rel_pos_linear", max(1, c.size("hidden_size") // number), 8, component="position_embedding")
    layer["gate_scale"] = token("attention.gru_rel_pos_const", 1, number, 1, 1) | {"component": "position_embedding"}
    table = {"kind": "embedding", "vocabulary": c.size("num_buckets"), "size": number, "path": "attention.rel_attn_embed"}
    first = {"like": "layer", "relative": table | {"component": "position_embedding"}}
    kinds = {"layer": layer, "first": first}
    count = depth(c)
    order = order_of(["first", *["layer"] * (count - 1)])
    return {"path": "encoder.layers.{}", "kinds": kinds, "order": order}


def adapter(c: Config) -> Tree:
    """Strided convolutions after the encoder that shorten the sequence, each of twice the width for a gate."""
    width = c.size("hidden_size")
    outputs = c.optional("output_hidden_size") or width
    parts: Tree = {"path": "adapter", "width": outputs}
    if outputs != width:
        parts |= {"project": dense("proj", width, outputs), "norm": layer_norm("proj_layer_norm")}
    kernel, stride = c.size("adapter_kernel_size"), c.size("adapter_stride")
    convolution = {"kind": "convolution", "path": "layers.{}.conv", "outputs": 2 * outputs, "kernel": kernel, "stride": stride}
    convolution |= {"padding": 1, "gated": True}
    layers = min(c.size("num_adapter_layers"), MOST_CONVOLUTIONS)
    return parts | {f"convolution_{index}": convolution for index in range(1, layers + 1)}


def masked(c: Config, always: bool = False) -> Tree:
    """The vector that stands for masked frames, where anything is masked in training."""
    hides = c.flag("apply_spec_augment", True) and c.number("mask_time_prob") > 0
    if always or c.number("mask_time_prob") > 0 or c.number("mask_feature_prob") > 0:
        return {"mask_token": token("masked_spec_embed", c.size("hidden_size")) | ({"hides": True} if hides else {"masks": True})}
    return {}


def speech(
    c: Config,
    *,
    base: str = "wav2vec2",
    positions: Any = position_convolution,
    gated_positions: bool = False,
    mask: bool = False,
) -> Tree:
    """wav2vec 2.0 (Baevski et al. 2020): features from samples, positions by convolution, a transformer.

    `mask`: whether the mask vector is there whatever the masking rates say.
    """
    features = (c.sizes("conv_dim", least=1) or [1])[-1]
    task = c.task("base")
    parts: Tree = {"feature_extractor": waveform(c)}
    if c.flag("feat_proj_layer_norm", True):
        parts["feature_norm"] = layer_norm("feature_projection.layer_norm", size=features)
    parts["feature_projection"] = dense("feature_projection.projection", features, c.size("hidden_size"))
    parts |= dropped(c, "feat_proj_dropout") | masked(c, mask)
    begin, placed = " ".join(parts), positions(c)
    norm, drop = {"embedding_norm": layer_norm("encoder.layer_norm")}, dropped(c, "hidden_dropout", "embedding_dropout")
    stacked = {"layers": layers(c, gated_positions)}
    # where each layer norms what it reads, the norm stands behind them all
    after = drop | stacked | norm if c.flag("do_stable_layer_norm") else norm | drop | stacked
    if c.flag("add_adapter"):
        after["adapter"] = adapter(c)
    top = speech_head(c, task)
    flow = [begin, " ".join((*placed, "+")), " ".join((*after, *top))]
    parts |= placed | after
    parts = parts if task == "base" else under(f"{base}.", parts)
    return document(c, parts | top, cache=False, sound_rate=SAMPLES, flow=flow)


def speech_head(c: Config, task: str) -> Tree:
    """The heads of the speech encoders by their task."""
    width = c.size("hidden_size")
    if task == "ctc":
        if c.flag("add_adapter"):
            width = c.optional("output_hidden_size") or width
        loss = c.choice("ctc_loss_reduction", ("sum", "mean"), "sum")
        head = tree(
            path="lm_head", inputs=width, outputs=c.size("vocab_size"), bias=True, ctc=loss, bounded=c.flag("ctc_zero_infinity") or None
        )
        return dropped(c, "final_dropout", "final_dropout") | {"head": head}
    if task in ("sequence_classification", "audio_frame", "xvector"):
        if c.flag("add_adapter") and task != "xvector":
            c.fail("add_adapter", f"{c.architecture()} is not built with an adapter")
        weights = {"layer_weights": token("layer_weights", c.size("num_hidden_layers") + 1)} if c.flag("use_weighted_layer_sum") else {}
        return weights | classifiers(c, task, width)
    if task == "pretraining":
        return pretraining(c, width)
    if task != "base":
        refuse(c)
    return {}


def classifiers(c: Config, task: str, width: int) -> Tree:
    """One class for the sequence, one for each frame, or a speaker's vector (x-vector, Snyder et al. 2018)."""
    if task == "audio_frame":
        return {"head": {"path": "classifier", "inputs": width, "outputs": labels(c), "bias": True, "next_token": False, "chosen": True}}
    if task == "sequence_classification":
        size = c.size("classifier_proj_size")
        pooled = {"pooling": {"type": "global"}}
        return {"projector": dense("projector", width, size)} | pooled | {"head": dense("classifier", size, labels(c), component="head")}
    sizes, kernels = c.sizes("tdnn_dim", least=1), c.sizes("tdnn_kernel", least=1)
    if not 1 <= len(sizes) <= MOST_CONVOLUTIONS or len(kernels) < len(sizes):
        c.fail("tdnn_dim", f"expected 1 to {MOST_CONVOLUTIONS} sizes, and as many of tdnn_kernel")
        return {}
    parts: Tree = {"projector": dense("projector", width, sizes[0])}
    inputs = [sizes[0], *sizes]
    for index, (before, size, kernel) in enumerate(zip(inputs, sizes, kernels, strict=False), 1):
        parts[f"delay_{index}"] = dense("tdnn.{}.kernel", before * kernel, size, component="convolution")
    vector = c.size("xvector_output_dim")
    parts["pooled"] = dense("feature_extractor", 2 * sizes[-1], vector)
    parts["vector"] = dense("classifier", vector, vector)
    return parts | {"head": token("objective.weight", vector, labels(c)) | {"component": "head"}}


def pretraining(c: Config, width: int) -> Tree:
    """Product quantization of the features (Jégou et al. 2011) and the maps that compare with it."""
    groups, entries, size = c.size("num_codevector_groups"), c.size("num_codevectors_per_group"), c.size("codevector_dim")
    if size % groups:
        c.fail("num_codevector_groups", f"({groups}) does not divide codevector_dim ({size})")
    shared, kind = c.size("proj_codevector_dim"), c.model_type
    features = width if kind == "unispeech-sat" else (c.sizes("conv_dim", least=1) or [1])[-1]
    parts = {
        "codebook": token("quantizer.codevectors", 1, groups * entries, max(1, size // groups)),
        "choice": dense("quantizer.weight_proj", features, groups * entries),
        "project_codes": dense("project_q", size, shared),
        "project_states": dense("project_hid", *((shared, width) if kind == "unispeech" else (width, shared))),
    }
    if kind == "unispeech":
        parts["head"] = dense("ctc_proj", width, c.size("num_ctc_classes"), component="head")
    if kind == "unispeech-sat":
        parts["speaker"] = dense("speaker_proj", width, size)
        parts["labels"] = token("label_embeddings_concat", c.size("num_clusters"), size)
        parts["extracted_norm"] = layer_norm("layer_norm_for_extract")
    return parts


FAMILIES = {
    "data2vec-audio": partial(speech, base="data2vec_audio", positions=stacked_positions),
    "hubert": partial(speech, base="hubert"),
    "unispeech": partial(speech, base="unispeech"),
    "unispeech-sat": partial(speech, base="unispeech_sat", mask=True),
    "wav2vec2": speech,
    "wavlm": partial(speech, base="wavlm", gated_positions=True),
}
