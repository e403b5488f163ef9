"""Granite Speech: a conformer, queries that read windows of its frames, and Granite."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.conformer import Words, attention, layer
from paramcalc.gate.families.hearing import audio_text
from paramcalc.gate.families.nesting import nested, seen_as
from paramcalc.gate.families.recipes import Tree, document, stack
from paramcalc.gate.families.vision import refuse, token

WORDS = Words(
    ("ff1.pre_norm", "attn.pre_norm", "conv.norm", "ff2.pre_norm", "post_norm"), ("ff1", "ff2"), "up_proj", "down_proj",
    {"q_proj": "to_q", "kv_proj": "to_kv", "o_proj": "to_out"}, "conv", "batch_norm", "up_conv", "depth_conv.conv", "down_conv",
)  # fmt: skip


def encoder(c: Config) -> Tree:
    """The encoder (Saon et al. 2025): attention within blocks of frames with a table of distances in each layer; what is
    heard half way up is read back into the stream (self-conditioned CTC, Nozaki & Komatsu 2021)."""
    width, number, heard = c.size("hidden_size"), c.size("num_attention_heads"), c.size("output_dim")
    head_dim, block, reach = c.optional("dim_head") or max(1, width // number), c.size("context_size"), c.size("max_pos_emb")
    if block > reach:
        c.fail("context_size", f"({block}) exceeds max_pos_emb ({reach})")
    own = seen_as(c, head_dim=head_dim, intermediate_size=width * c.size("feedforward_mult"), hidden_act="silu")
    attend = attention(own, WORDS, path="attn", fused="kv", bias=["o"], chunk=block)
    table = {"kind": "embedding", "vocabulary": 2 * reach + 1, "size": head_dim, "path": "attn.rel_pos_emb"}
    placed = {"attention": attend, "relative": table | {"component": "position_embedding"}}
    expansion = c.size("conv_expansion_factor")
    built = layer(own, WORDS, placed, bias=True, conv_bias=False, pointwise=True, expansion=expansion)
    parts = {
        "input": dense("input_linear", c.size("num_mel_bins"), width) | {"component": "embedding"},
        "layers": stack("layers.{}", {"layer": built}, f"{c.size('num_hidden_layers')} layer"),
        "predict": dense("out", width, heard),
        "condition": dense("out_mid", heard, width),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False, flow=["input layers", "predict condition +"])


def queried(c: Config, sounds: Config, width: int) -> Tree:
    """A few learned queries read each window of frames through BLIP-2's querying transformer, then one dense layer."""
    queries, window = c.part("projector_config"), c.size("window_size")
    number, read = window // c.size("downsample_rate"), queries.size("hidden_size")
    if number < 1:
        c.fail("downsample_rate", f"({c.size('downsample_rate')}) exceeds window_size ({window})")
    layers = sounds.listed("cat_hidden_layers")
    heard, given = sounds.size("hidden_size") * (1 + len(layers or [])), queries.size("encoder_hidden_size")
    if layers is not None and heard != given:
        c.fail("projector_config.encoder_hidden_size", f"({given}) is not what the encoder's layers come to ({heard})")
    asked = {"query": token("query", 1, max(1, number), read)}
    return asked | nested(queries, "qformer", "qformer") | {"linear": dense("linear", read, width)}


whole = partial(audio_text, bridge=queried, sound=("encoder_config", "encoder"), bridge_path="projector")

FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "granite_speech": whole,
    "granite_speech_encoder": encoder,
    "granite_speech_plus": whole,
    "granite_speech_plus_encoder": encoder,
}
