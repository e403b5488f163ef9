"""Evolla: a language model that is asked about a protein."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import projector
from paramcalc.gate.families.encoders import esm_encoder
from paramcalc.gate.families.llama import LLAMA, attention, feed_forward, layer
from paramcalc.gate.families.recipes import (
    PRE_NORM,
    Tree,
    decoder_parts,
    depth,
    document,
    floored,
    layer_norm,
    layered,
    rate,
    rms,
    stack,
    tree,
)
from paramcalc.gate.families.vision import token


def network(path: str, width: int, factor: int) -> Tree:
    """A plain network without biases."""
    names = {"up_proj": "fc1", "down_proj": "fc2"}
    return {"kind": "feed_forward", "path": path, "size": width * factor, "gated": False, "activation": "gelu", "names": names}


def protein(c: Config, width: int) -> Tree:
    """SaProt (Su et al. 2023), which is ESM-2 over amino acids with their structure, and a resampler of what it says."""
    part = c.part("protein_encoder_config")
    inner, heads = part.size("hidden_size"), c.size("resampler_heads")
    names = {"q_proj": "to_q", "kv_proj": "to_kv", "o_proj": "to_out"}
    block = {
        "norm_context": layer_norm("norm_media"),
        "norm_1": layer_norm("norm_latents"),
        "attention": {"path": "", "heads": heads, "head_dim": c.size("resampler_dim_head"), "fused": "kv", "names": names},
        "norm_2": layer_norm("norm"),
        "feed_forward": network("", inner, c.size("resampler_ff_mult")),
        "flow": PRE_NORM,
    }
    latents = c.size("resampler_num_latents")
    encoder = {"path": "protein_encoder.model", "width": inner, "tower": "protein", "cache": False, **esm_encoder(part)[1]}
    bridge = {
        "width": inner,
        "tokens": latents,
        "latents": token("latents", latents, inner),
        "layers": stack("layers.{}.{}", {"layer": block}, f"{c.size('resampler_depth')} layer"),
        "linear": {"kind": "dense", "path": "protein_projector", "inputs": inner, "outputs": width},
        "norm": layer_norm("norm", size=width),
    }
    return {"protein": encoder, "resampler": projector("protein_encoder.sequence_compressor_resampler", bridge)}


def adapter(c: Config) -> Tree:
    """What lets a layer look at the protein, behind two gates that start at zero."""
    width, number = c.size("hidden_size"), c.size("num_attention_heads")
    names = {"q_proj": "query", "k_proj": "key_protein", "v_proj": "value_protein", "o_proj": "out_proj"}
    return {
        "path": "adapter",
        "cache": False,
        "norm_1": rms("attention_norm"),
        "attention": tree(
            path="", **floored(c, {"heads": number, "head_dim": max(1, width // number)}),
            source=width, source_tokens=c.size("resampler_num_latents"),
            bias=True if c.flag("aligner_enable_bias") else ["q", "k", "v"], dropout=rate(c, "aligner_attention_probs_dropout_prob"),
            names=names,
        ),
        "gate_1": token("gate_attention", 1),
        "norm_2": layer_norm("ff.norm"),
        "feed_forward": network("ff", width, c.size("aligner_ffn_mult")),
        "gate_2": token("gate_ffw", 1),
        "flow": ["norm_1 attention gate_1 +", "norm_2 feed_forward gate_2 +"],
    }  # fmt: skip


def evolla(c: Config) -> Tree:
    """Evolla (Zhou et al. 2025): Llama, some of whose layers end in an adapter."""
    if c.architecture().endswith("ForProteinText2Text") or not c.architecture():
        c.serves = "generation"
    number = depth(c)
    period = max(number // c.size("aligner_num_add_layers"), 1)
    words = ["adapted" if (index + 1) % period == 0 else "plain" for index in range(number)]

    def build(word: str) -> Tree:
        made = layer(LLAMA, rms, attention(c), feed_forward(c))
        return made | {"adapter": adapter(c), "flow": [*PRE_NORM, "adapter"]} if word == "adapted" else made

    width = c.size("hidden_size")
    return document(c, decoder_parts(c, layered("layers.{}", [words], build), rms("norm"), extra=protein(c, width), tie=None))


FAMILIES = {"evolla": evolla}
