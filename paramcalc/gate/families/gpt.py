"""Decoders of the GPT-2 era: layer norms with biases, biased projections, plain feed-forward."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import PRE_NORM, Tree, decoder_parts, document, heads, layer_norm, stack, tree


def gpt2(c: Config) -> Tree:
    """GPT-2 (Radford et al. 2019): learned positions, fused qkv, weights stored [inputs, outputs], tied head."""
    width = c.size("hidden_size")
    attend = tree(
        kind="attention", path="attn", **heads(c), fused="qkv", bias=True, transposed=True, dropout=c.number("attn_pdrop") or None
    )
    feed = tree(
        kind="feed_forward",
        path="mlp",
        size=c.optional("intermediate_size") or 4 * width,
        gated=False,
        bias=True,
        transposed=True,
        activation=c.text("hidden_act", "gelu_new"),
        dropout=c.number("resid_pdrop") or None,
    )
    layer = {
        "norm_1": layer_norm("ln_1"),
        "attention": attend | {"names": {"qkv_proj": "c_attn", "o_proj": "c_proj"}},
        "norm_2": layer_norm("ln_2"),
        "feed_forward": feed | {"names": {"up_proj": "c_fc", "down_proj": "c_proj"}},
        "flow": PRE_NORM,
    }
    layers = stack("h.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    extra = {"position": {"rows": c.size("max_position_embeddings"), "path": "wpe"}}
    return document(c, decoder_parts(c, layers, layer_norm("ln_f"), base="transformer", embed="wte", extra=extra, tie=True))


FAMILIES = {"gpt2": gpt2}
