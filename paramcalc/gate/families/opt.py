"""Decoders with the layers of fairseq: OPT, BioGPT, XGLM."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import Style, attend, layer
from paramcalc.gate.families.gpt import classifier, decoder, lm_head
from paramcalc.gate.families.recipes import Tree, dropped, layer_norm, stack, tree, under

PLAIN = Style(pre_norm=True, embedding_norm=None)


def opt(c: Config) -> Tree:
    """OPT (Zhang et al. 2022): BART's decoder alone; two rows of its position table stand for no position.

    OPT-350m projects its token table to the width and back, has its norms behind the blocks and none at the end.
    """
    width = c.size("hidden_size")
    narrow = c.optional("word_embed_proj_dim") or width
    before, bias = c.flag("do_layer_norm_before", True), c.flag("enable_bias", True)
    affine = {} if c.flag("layer_norm_elementwise_affine", True) else {"scale": False, "bias": False}
    style = PLAIN._replace(pre_norm=before, bias=bias)
    one = layer(c, style, c.size("num_attention_heads"), c.size("intermediate_size"))
    one |= {"norm_1": one["norm_1"] | affine, "norm_2": one["norm_2"] | affine, "feed_forward": one["feed_forward"] | {"bias": bias}}
    parts = {
        "embedding": tree(vocabulary=c.size("vocab_size"), size=narrow if narrow != width else None, path="embed_tokens"),
        "position": {"rows": c.size("max_position_embeddings") + 2, "path": "embed_positions"},
        "layers": stack("layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer"),
    }
    if before and not c.flag("_remove_final_layer_norm"):
        parts["norm"] = layer_norm("final_layer_norm", **affine)
    inputs = None
    if narrow != width:
        inputs = narrow
        between = {"project_in": {"kind": "dense", "inputs": narrow, "bias": False, "path": "project_in"}}
        parts = {"embedding": parts.pop("embedding"), **between, **parts}
        parts["project_out"] = {"kind": "dense", "outputs": narrow, "bias": False, "path": "project_out"}
    head = lm_head(c) if inputs is None else lm_head(c, inputs=inputs)
    return decoder(c, under("decoder.", parts), head, base="model", classify=partial(classifier, inputs=inputs))


def biogpt(c: Config) -> Tree:
    """BioGPT (Luo et al. 2022)."""
    style = PLAIN._replace(dropout="hidden_dropout_prob", attention_dropout="attention_probs_dropout_prob")
    one = layer(c, style, c.size("num_attention_heads"), c.size("intermediate_size"))
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"},
        "position": {"rows": c.size("max_position_embeddings") + 2, "path": "embed_positions"},
        **dropped(c, "hidden_dropout_prob"),
        "layers": stack("layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layer_norm"),
    }
    return decoder(c, parts, lm_head(c, "output_projection"), base="biogpt")


def xglm(c: Config) -> Tree:
    """XGLM (Lin et al. 2021): sinusoidal positions; cross attention where asked for."""
    number = c.size("num_attention_heads")
    one = layer(c, PLAIN, number, c.size("intermediate_size"))
    if c.flag("add_cross_attention"):
        one["norm_cross"] = layer_norm("encoder_attn_layer_norm")
        one["cross_attention"] = attend(c, PLAIN, number, "encoder_attn", source=c.size("hidden_size"))
        one["flow"] = [one["flow"][0], "norm_cross cross_attention +", one["flow"][1]]
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"},
        "position": {"type": "sinusoidal"},
        **dropped(c, "dropout"),
        "layers": stack("layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layer_norm"),
    }
    return decoder(c, parts, lm_head(c), base="model")


FAMILIES = {"biogpt": biogpt, "opt": opt, "xglm": xglm}
