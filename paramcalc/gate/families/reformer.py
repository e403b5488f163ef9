"""Reformer."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import (
    PRE_NORM,
    Tree,
    document,
    labels,
    layer_norm,
    layered,
    plain_activation,
    rate,
    tree,
    under,
)

MIXERS = {"local": "local", "lsh": "hashed"}


def kinds(c: Config) -> list[str]:
    """What attends in each layer; there are as many layers as the list names."""
    stated = c.listed("attn_layers") or []
    c.ignore("num_hidden_layers")
    if not stated or (unknown := [word for word in stated if not isinstance(word, str) or word not in MIXERS]):
        c.fail("attn_layers", "missing" if not stated else f"expected {', '.join(MIXERS)}; got {unknown[0]!r:.60}")
        return ["local"]
    return [MIXERS[word] for word in stated]


def positions(c: Config) -> Tree:
    """A table, or one short table for each axis of a grid of positions, which are bare tensors."""
    if not c.flag("axial_pos_embds", True):
        return {"position": tree(rows=c.size("max_position_embeddings"), path="embeddings.position_embeddings.embedding")}
    shape, dims = c.sizes("axial_pos_shape", least=1), c.sizes("axial_pos_embds_dim", least=1)
    if len(dims) > len(shape) or sum(dims) != c.size("hidden_size"):
        c.fail("axial_pos_embds_dim", f"expected dims of {len(shape)} axes whose sum is hidden_size, got {dims!r:.60}")
        return {}
    found: Tree = {}
    for axis, dim in enumerate(dims):
        sides = [side if place == axis else 1 for place, side in enumerate(shape)]
        path = "embeddings.position_embeddings.weights.{}"
        found[f"position_{axis}"] = tree(kind="tensor", path=path, shape=[*sides, dim], component="position_embedding")
    return found


def layer(c: Config, word: str) -> Tree:
    kind = "lsh" if word == "hashed" else "local"
    names = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "qk_proj": "query_key"}
    names = {ours: f"self_attention.{theirs}" for ours, theirs in names.items()} | {"o_proj": "output.dense"}
    attend = tree(
        kind="reformer_attention",
        path="attention",
        heads=c.size("num_attention_heads"),
        head_dim=c.size("attention_head_size"),
        hashed=word == "hashed" or None,
        chunk=c.optional(f"{kind}_attn_chunk_length"),
        dropout=rate(c, f"{kind}_attention_probs_dropout_prob"),
        names=names,
    )
    feed = tree(
        kind="feed_forward",
        path="feed_forward",
        size=c.size("feed_forward_size"),
        gated=False,
        bias=True,
        activation=plain_activation(c, "hidden_act", "relu"),
        names={"up_proj": "dense.dense", "down_proj": "output.dense"},
    )
    norms = layer_norm("attention.layer_norm"), layer_norm("feed_forward.layer_norm")
    return {"norm_1": norms[0], "attention": attend, "norm_2": norms[1], "feed_forward": feed, "flow": PRE_NORM}


def reformer_head(c: Config, task: str) -> Tree:
    """Heads read both streams side by side; none is tied."""
    width = c.size("hidden_size")

    def dense(path: str, inputs: int, outputs: int) -> Tree:
        return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, component="head")

    if task in ("causal_lm", "masked_lm"):
        head = tree(kind="head", path="lm_head", inputs=2 * width, outputs=c.size("vocab_size"), bias=True)
        return {"head": head | {"names": {"weight": "decoder.weight"}}}
    if task == "sequence_classification":
        return {"pooler": dense("classifier.dense", 2 * width, width), "head": dense("classifier.out_proj", width, labels(c))}
    if task == "question_answering":
        return {"head": dense("qa_outputs", 2 * width, labels(c))}
    if task != "base":
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return {}


def reformer(c: Config) -> Tree:
    """Reformer (Kitaev et al. 2020): two reversible streams, one that attention adds to and one that networks add to."""
    task = c.task("causal_lm")
    parts: Tree = {"embedding": tree(vocabulary=c.size("vocab_size"), path="embeddings.word_embeddings")} | positions(c)
    parts["layers"] = layered("encoder.layers.{}", [kinds(c)], lambda word: layer(c, word))
    parts["norm"] = layer_norm("encoder.layer_norm", size=2 * c.size("hidden_size"))
    return document(c, (parts if task == "base" else under("reformer.", parts)) | reformer_head(c, task))


FAMILIES: dict[str, Callable[[Config], Tree]] = {"reformer": reformer}
