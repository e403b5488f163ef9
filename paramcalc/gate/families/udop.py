"""UDOP (Tang et al. 2023): T5 over text, its place on a page, and patches of the page."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, tree
from paramcalc.gate.families.t5 import feed_forward, half, layer
from paramcalc.gate.families.vision import pair, refuse

BUCKETS = 32  # of each bias by distance, the default in the reference's code, which no key of the config changes
KINDS = ("1d", "horizontal", "vertical")


def distances(c: Config, owner: str | None) -> Tree:
    """Tables of biases by distance in the text and on the page; the first one may be the layers' own."""
    stated = c.listed("relative_bias_args")
    kinds = KINDS if stated is None else [one.get("type") if isinstance(one, dict) else one for one in stated]
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or (stated is not None and any(len(one) > 1 for one in stated if isinstance(one, dict))):
        c.fail("relative_bias_args", f"expected types of {', '.join(KINDS)} and nothing else, got {stated!r:.60}")
    table = {"kind": "embedding", "vocabulary": BUCKETS, "size": c.size("num_attention_heads"), "component": "position_embedding"}
    path = "relative_bias.biases.{}.relative_attention_bias"
    return {f"relative_{kind}": table | tree(path=path, tied=owner if index == 0 else None) for index, kind in enumerate(kinds)}


def udop(c: Config) -> Tree:
    task, words, width = c.task("generation"), c.size("vocab_size"), c.size("hidden_size")
    if task not in ("base", "generation", "encoder"):
        refuse(c)
    sides = list(pair(c, "patch_size"))
    patch = {
        "kind": "convolution",
        "inputs": c.size("num_channels"),
        "outputs": width,
        "kernel": sides,
        "stride": sides,
        "component": "embedding",
    }
    c.ignore("tie_word_embeddings")  # the class always ties
    token = {"vocabulary": words, "path": "embed_tokens", "tied": "embedding"}
    owner = "encoder.relative" if task != "base" else None
    feed, count = feed_forward(c), c.size("num_hidden_layers")

    def side(name: str, number: int, *, cross: bool) -> Tree:
        one = layer(c, "SelfAttention", cross=cross, own_table=False, feed=feed)
        return half(c, name, token, {"layer": one}, f"{number} layer", shared_table=True, name="SelfAttention") | distances(c, owner)

    encoder = side("encoder", count, cross=False)
    place = {"kind": "embedding", "vocabulary": c.size("max_2d_position_embeddings"), "component": "position_embedding"}
    encoder |= {f"place_{axis}": place | {"path": f"cell_2d_embedding.{axis}_position_embeddings"} for axis in ("x", "y")}
    parts: Tree = {
        "embedding": {"vocabulary": words, "path": "shared"},
        "patches": patch | {"path": "patch_embed.proj"},
        "encoder": encoder,
    }
    if task != "encoder":
        decoder = side("decoder", c.optional("num_decoder_layers") or count, cross=True)
        parts["decoder"] = decoder | {"patches": patch | {"path": "embed_patches.proj"}}
    if task == "generation":
        parts["head"] = {"kind": "head", "path": "lm_head", "outputs": words, "tied": "embedding"}
    return document(c, parts)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"udop": udop}
