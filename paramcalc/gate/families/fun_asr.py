"""Fun-ASR-Nano: SenseVoice's encoder, whose attention has a memory of near frames beside it, and Qwen 3."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.hearing import audio_text
from paramcalc.gate.families.recipes import PRE_NORM, Tree, depth, document, layer_norm, layered, plain_activation, rate, stack, tree, whole
from paramcalc.gate.families.vision import refuse


def layer(c: Config, *, inputs: int | None = None, memory: int | None = None, normed: bool = False) -> Tree:
    """A pre-norm layer; the first of an encoder has `inputs` of another width and so no residual around its attention.
    `memory` is the kernel of a depthwise convolution over the values, which is added to what attention makes; `normed` layers
    end in a norm."""
    width, number = c.size("hidden_size"), c.size("num_attention_heads")
    dropout = {"dropout": rate(c, "attention_dropout"), "output_dropout": rate(c, "hidden_dropout")}
    attend: dict[str, Any] = {**whole(c, number, width), "bias": True, "inputs": inputs}
    names = {"up_proj": "fc1", "down_proj": "fc2"}
    feed = {"size": c.size("intermediate_size"), "gated": False, "bias": True, "activation": plain_activation(c, default="relu")}
    parts: Tree = {
        "norm_1": tree(**layer_norm("input_layernorm"), size=inputs),
        "attention": tree(kind="attention", path="self_attn", **attend, **dropout),
    }
    if memory:
        near = {"kind": "convolution", "inputs": width, "outputs": width, "kernel": memory, "groups": width, "bias": False}
        parts["memory"] = near | {"path": "self_attn.fsmn.conv", "component": "attention"}
    first = "norm_1 (attention | memory)" if memory else "norm_1 attention"
    flow = [first if inputs else f"{first} +", PRE_NORM[1], *(["norm_out"] if normed else [])]
    parts["norm_2"] = layer_norm("post_attention_layernorm")
    parts["feed_forward"] = tree(kind="feed_forward", path="mlp", **feed, dropout=rate(c, "hidden_dropout"), names=names)
    return parts | ({"norm_out": layer_norm("final_layernorm")} if normed else {}) | {"flow": flow}


def encoder(c: Config) -> Tree:
    """SenseVoice's encoder (An et al. 2024) over frames of a spectrogram side by side; the last layer of those that
    transcribe and the last of all end in a norm."""
    layers, memory = depth(c), c.size("fsmn_kernel_size")
    stacked, width = c.size("num_mel_bins") * c.size("num_stacked_frames"), c.size("hidden_size")
    ends = (layers - c.zero_or("num_timestamp_prediction_layers") - 1, layers - 1)
    axes = [
        ["first" if index == 0 and stacked != width else "later" for index in range(layers)],
        ["normed" if index in ends else "plain" for index in range(layers)],
    ]

    def build(place: str, end: str) -> Tree:
        return layer(c, inputs=stacked if place == "first" else None, memory=memory, normed=end == "normed")

    if c.task("base") not in ("base", "encoder"):
        refuse(c)
    return document(c, {"position": {"type": "sinusoidal"}, "layers": layered("layers.{}", axes, build)}, cache=False)


def adapted(c: Config, sounds: Config, width: int) -> Tree:
    """Two dense layers and a few layers like the encoder's, without a memory."""
    adaptor = c.part("adaptor_config")
    inner, outputs = adaptor.size("projector_hidden_size"), adaptor.size("hidden_size")
    if outputs != width:
        c.fail("adaptor_config.hidden_size", f"({outputs}) is not the text's width ({width})")
    return {
        "width": outputs,
        "linear_1": dense("linear_1", sounds.size("hidden_size"), inner),
        "linear_2": dense("linear_2", inner, outputs),
        "layers": stack("layers.{}", {"layer": layer(adaptor)}, f"{adaptor.size('num_hidden_layers')} layer"),
    }


FAMILIES = {"fun_asr_nano": partial(audio_text, bridge=adapted), "fun_asr_nano_encoder": encoder}
