"""Encoder-decoders that write down speech: Moonshine, Canary, Cohere ASR. Decoders under Llama's names with cross attention."""

from __future__ import annotations

from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.nesting import nested
from paramcalc.gate.families.recipes import (
    PRE_NORM,
    Tree,
    document,
    heads,
    layer_norm,
    plain_activation,
    rate,
    stack,
    tied,
    tree,
    under,
)
from paramcalc.gate.families.vision import refuse, token

READS = [PRE_NORM[0], "norm_cross cross_attention +", PRE_NORM[1]]
QKV = ["q", "k", "v"]
MILLISECONDS = 1000


def bare_norm(path: str) -> Tree:
    return layer_norm(path, bias=False)


def gained_norm(path: str) -> Tree:
    """A norm without bias whose gain is kept as what it exceeds one by, under a name of its own."""
    return layer_norm(path, bias=False, names={"weight": "gamma"})


def attention(c: Config, about: Tree, path: str, *, out: bool = False, **fields: Any) -> Tree:
    """Attention with or without biases; `out`: with one on its output as well."""
    bias = (True if out else QKV) if c.flag("attention_bias") else None
    return tree(kind="attention", path=path, **about, bias=bias, dropout=rate(c, "attention_dropout"), **fields)


def network(c: Config, key: str = "hidden_act", default: str = "gelu", *, gated: bool = False) -> Tree:
    names = {"gate_up_proj" if gated else "up_proj": "fc1", "down_proj": "fc2"}
    size, activation = c.size("intermediate_size"), plain_activation(c, key, default)
    return tree(kind="feed_forward", path="mlp", size=size, gated=gated, fused=gated or None, bias=True, activation=activation, names=names)


def reader(c: Config, about: Tree, feed: Tree, *, norm: Any, out: bool, rotary: bool, front: Tree) -> Tree:
    """A decoder: tokens and what else is at its `front`, layers that read the encoder's output, a norm."""
    turned = rotary or None
    layer = {
        "norm_1": norm("input_layernorm"),
        "attention": attention(c, about, "self_attn", out=out, rotary=turned),
        "norm_cross": norm("post_attention_layernorm"),
        "cross_attention": attention(c, about, "encoder_attn", out=out, source=c.size("hidden_size")),
        "norm_2": norm("final_layernorm"),
        "feed_forward": feed,
        "flow": READS,
    }
    parts = {"embedding": {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"}, **front}
    layers = stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    return {"path": "decoder", **parts, "layers": layers, "norm": norm("norm")}


def listener(c: Config, own: Config, parts: Tree, *, tie: bool, bias: bool = False) -> Tree:
    """The whole model; `own` is the decoder's config."""
    task, name = c.task("generation"), c.architecture()
    if task not in ("base", "generation") or (name and not name.endswith(("Model", "ForConditionalGeneration"))):
        refuse(c)
    width = own.size("hidden_size")
    about = {"width": width, "context": own.optional("max_position_embeddings")}
    if task == "base":
        return document(c, parts, **about)
    owner, outputs = tied(c, "decoder.embedding", tie), own.size("vocab_size")
    head = tree(kind="head", path="proj_out", outputs=outputs, bias=bias or None, tied=owner)
    return document(c, under("model.", parts) | {"head": head}, **about)


def moonshine(c: Config) -> Tree:
    """Moonshine (Jeffries et al. 2024): raw samples through three convolutions. Its decoder has as many heads as its encoder,
    whatever the config says of it: the reference writes the encoder's numbers over the decoder's."""
    width, number, kv_heads = c.size("hidden_size"), c.size("encoder_num_attention_heads"), c.optional("encoder_num_key_value_heads")
    if kv_heads and number % kv_heads:
        c.inconsistent("encoder_num_key_value_heads", f"({kv_heads}) does not divide encoder_num_attention_heads ({number})")
    about = tree(heads=number, kv_heads=kv_heads, head_dim=c.optional("head_dim") or max(1, width // number))
    layer = {
        "norm_1": bare_norm("input_layernorm"),
        "attention": attention(c, about, "self_attn", rotary=True),
        "norm_2": bare_norm("post_attention_layernorm"),
        "feed_forward": network(c, "encoder_hidden_act"),
        "flow": PRE_NORM,
    }
    first = {"kind": "convolution", "path": "conv1", "inputs": 1, "outputs": width, "kernel": 127, "stride": 64, "activation": "tanh"}
    then = {"kind": "convolution", "activation": "gelu"}
    encoder = {
        "path": "encoder",
        "tokens": "source",
        "cache": False,
        "convolution_1": first | {"bias": False},
        "frames_norm": {"kind": "norm", "type": "group", "path": "groupnorm"},
        "convolution_2": then | {"path": "conv2", "inputs": width, "outputs": 2 * width, "kernel": 7, "stride": 3},
        "convolution_3": then | {"path": "conv3", "inputs": 2 * width, "outputs": width, "kernel": 3, "stride": 2},
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('encoder_num_hidden_layers')} layer"),
        "norm": bare_norm("layer_norm"),
    }
    feed = network(c, "hidden_act", "silu", gated=True)
    decoder = reader(c, about, feed, norm=bare_norm, out=False, rotary=True, front={})
    return listener(c, c, {"encoder": encoder, "decoder": decoder}, tie=True)


def streaming_encoder(c: Config) -> Tree:
    """Frames of raw samples, compressed, through a dense layer and two causal convolutions; attention within windows."""
    width, about = c.size("hidden_size"), heads(c)
    frame = max(1, round(c.size("sample_rate") * c.number("frame_ms") / MILLISECONDS))
    layer = {
        "norm_1": gained_norm("input_layernorm"),
        "attention": attention(c, about, "self_attn", out=True),
        "norm_2": gained_norm("post_attention_layernorm"),
        "feed_forward": network(c),
        "flow": PRE_NORM,
    }
    step = {"kind": "convolution", "kernel": 5, "stride": 2, "activation": "silu"}
    parts = {
        "compression": token("embedder.comp.log_k"),
        "frames": dense("embedder.linear", frame, width, False) | {"component": "embedding"},
        "convolution_1": step | {"path": "embedder.conv1", "inputs": width, "outputs": 2 * width},
        "convolution_2": step | {"path": "embedder.conv2", "inputs": 2 * width, "outputs": width},
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": gained_norm("final_norm"),
        "flow": ["frames convolution_1 convolution_2 layers norm"],
    }
    if c.task("base") not in ("base", "encoder"):
        refuse(c)
    return document(c, parts, cache=False)


def streaming(c: Config) -> Tree:
    """Moonshine Streaming (Useful Sensors 2026): positions are added to what the encoder gives out."""
    heard, width = c.part("encoder_config"), c.size("hidden_size")
    read = heard.size("hidden_size")
    bridge = {"position": {"kind": "position", "rows": c.size("max_position_embeddings"), "size": read, "path": "pos_emb"}}
    if read != width:
        bridge["project"] = dense("proj", read, width, False)
    parts = nested(heard, "encoder", "encoder", tokens="source")
    parts["bridge"] = {"path": "decoder", "width": read, "tokens": "source", "cache": False, **bridge}
    feed = network(c, "hidden_act", "silu", gated=True)
    parts["decoder"] = reader(c, heads(c), feed, norm=bare_norm, out=False, rotary=True, front={})
    return listener(c, c, parts, tie=False)


def canary(c: Config) -> Tree:
    """Canary (Puvvada et al. 2024): Fast Conformer and a decoder with fixed sinusoids."""
    own = c.part("decoder_config")
    words, said = own.size("vocab_size"), c.optional("vocab_size")
    if said not in (None, words):
        c.fail("vocab_size", f"says {said}, but decoder_config.vocab_size says {words}")
    parts = nested(c.part("encoder_config"), "encoder", "encoder", tokens="source")
    front = {"position": {"type": "sinusoidal"}, "embedding_norm": layer_norm("embedding_layernorm")}
    feed = network(own, default="relu")
    parts["decoder"] = reader(own, heads(own), feed, norm=layer_norm, out=True, rotary=False, front=front)
    return listener(c, own, parts, tie=True, bias=True)


def cohere_asr(c: Config) -> Tree:
    """Cohere ASR: Fast Conformer, a dense layer into the decoder's width, learned positions."""
    heard, width = c.part("encoder_config"), c.size("hidden_size")
    parts = nested(heard, "encoder", "encoder", tokens="source")
    parts["bridge"] = {"path": "decoder", "tokens": "source", "cache": False, "project": dense("proj", heard.size("hidden_size"), width)}
    position = {"rows": c.size("max_position_embeddings"), "path": "pos_emb"}
    front = {"position": position, "embedding_norm": layer_norm("embedding_layernorm")}
    feed = network(c, default="relu")
    parts["decoder"] = reader(c, heads(c), feed, norm=layer_norm, out=True, rotary=False, front=front)
    return listener(c, c, parts, tie=False, bias=True)


FAMILIES = {
    "canary": canary,
    "cohere_asr": cohere_asr,
    "moonshine": moonshine,
    "moonshine_streaming": streaming,
    "moonshine_streaming_encoder": streaming_encoder,
}
