"""Bark (Suno 2023): three GPTs from text to units, to coarse and to fine codes of sound, and EnCodec."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.nesting import tower
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, layer_norm, rate, stack, tree
from paramcalc.gate.families.vision import refuse

WIDENING = 4  # of the feed-forward networks, fixed in the reference's code


def layers(c: Config, *, biased_norms: bool) -> Tree:
    """Pre-norm layers whose biases are switched on together; norms of the model that sees both ways always have theirs."""
    width, heads, bias = c.size("hidden_size"), c.size("num_heads"), c.flag("bias", True)
    norm = None if biased_norms or bias else False
    dropout = rate(c, "dropout")
    names = {"qkv_proj": "att_proj", "o_proj": "out_proj"}
    about = tree(heads=heads, head_dim=max(1, width // heads), fused="qkv", bias=bias or None, dropout=dropout, names=names)
    feed = tree(size=WIDENING * width, gated=False, activation="gelu", bias=bias or None, dropout=dropout)
    layer: Tree = {
        "norm_1": layer_norm("layernorm_1", bias=norm),
        "attention": {"path": "attn", **about},
        "norm_2": layer_norm("layernorm_2", bias=norm),
        "feed_forward": {"path": "mlp", **feed, "names": {"up_proj": "in_proj", "down_proj": "out_proj"}},
        "flow": PRE_NORM,
    }
    if width % heads:
        c.fail("num_heads", f"({heads}) does not divide hidden_size ({width})")
    position = {"rows": c.size("block_size"), "path": "position_embeds_layer"}
    found = stack("layers.{}", {"layer": layer}, f"{c.size('num_layers')} layer")
    return {"position": position, "layers": found, "norm": layer_norm("layernorm_final", bias=norm)}


def causal(c: Config, path: str) -> Tree:
    words = {"vocabulary": c.size("input_vocab_size"), "path": "input_embeds_layer"}
    head = {"kind": "head", "path": "lm_head", "outputs": c.size("output_vocab_size")}
    return {"path": path, "width": c.size("hidden_size"), "embedding": words, **layers(c, biased_norms=False), "head": head}


def fine(c: Config, path: str) -> Tree:
    """A table for each codebook, and a head for each that is not given, tied to the table of the next one."""
    total, given = c.size("n_codes_total"), c.size("n_codes_given")
    if given >= total:
        c.fail("n_codes_given", f"({given}) leaves none of {total} codes")
    table = {"kind": "embedding", "path": "", "vocabulary": c.size("input_vocab_size")}
    owner = "fine_acoustics.tables.table" if c.flag("tie_word_embeddings", True) else None
    head = tree(kind="head", outputs=c.size("output_vocab_size"), tied=owner) | {"path": ""}
    return {
        "path": path,
        "width": c.size("hidden_size"),
        "cache": False,
        "tables": {"path": "input_embeds_layers.{}", "repeat": total, "table": table},
        **layers(c, biased_norms=True),
        "heads": {"path": "lm_heads.{}", "repeat": max(1, total - given), "head": head},
    }


def bark(c: Config) -> Tree:
    if c.task("base") not in ("base", "waveform"):
        refuse(c)
    parts: Tree = {name: causal(c.part(f"{name}_config"), name) for name in ("semantic", "coarse_acoustics")}
    parts["fine_acoustics"] = fine(c.part("fine_acoustics_config"), "fine_acoustics")
    parts |= tower(c.part("codec_config"), "codec", "codec_model")
    return document(c, parts, width=c.part("semantic_config").size("hidden_size"))


FAMILIES: dict[str, Callable[[Config], Tree]] = {"bark": bark}
