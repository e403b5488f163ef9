"""Encoders with the layers of BERT: the recipe that they share, and those that differ by names, norms and heads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.recipes import (
    POST_NORM,
    PRE_NORM,
    Tree,
    document,
    dropped,
    floored,
    heads,
    labels,
    layer_norm,
    plain_activation,
    rate,
    stack,
    tree,
    under,
)

CROSS = {True: "norm_cross cross_attention +", False: "cross_attention + norm_cross"}
POOLED = ("base", "pretraining", "next_sentence", "sequence_classification", "multiple_choice")
"""Tasks for which BERT has a layer on its first token."""
NAMES = {"q_proj": "self.query", "k_proj": "self.key", "v_proj": "self.value", "o_proj": "output.dense"}


class Style(NamedTuple):
    """How a family differs from BERT."""

    base: str = "bert"
    norms: tuple[str, str] = ("attention.output.LayerNorm", "output.LayerNorm")
    """Reference names of a layer's norms; that of cross attention follows from the first."""
    pre_norm: bool = False
    last_norm: str | None = None
    embedding_norm: str | None = "embeddings.LayerNorm"
    position: str = "learned"
    types: bool = True
    narrow: str | None = None
    """The key of the token table's width, where that is not the stream's."""
    project: str = "embeddings_project"
    """What widens a narrow table, if it is narrower."""
    always_project: bool = False
    """Whether that layer is there even if the table is as wide as the stream."""
    bias: str | None = None
    """The flag that says whether queries, keys and values have biases."""
    pooled: tuple[str, ...] = POOLED
    pooler: str = "pooler.dense"
    predictions: str = "cls.predictions"
    """What makes logits of tokens, with its inner names."""
    inner: tuple[str | None, str] = ("transform.dense", "transform.LayerNorm")
    classifier: str = "linear"
    """`linear`, or `dense` for a layer of the same width before it."""
    answers: int | None = None
    """Outputs of question answering; one per label if None."""
    names: dict[str, str] = NAMES
    """Reference names of attention's projections."""
    cross: bool = True
    """Whether `add_cross_attention` adds cross attention."""
    single_bias: bool = False
    """Whether an untied head has its bias once."""
    offset: int = 0
    """Rows of the position table that no position uses."""
    head_first: bool = False
    """Whether the reference makes the head before the base model, so that a tied table bears the head's name."""


def attention(c: Config, style: Style, path: str, **fields: Any) -> Tree:
    bias = True if style.bias is None or c.flag(style.bias, True) else ["o"]
    drop = {"dropout": rate(c, "attention_probs_dropout_prob"), "output_dropout": rate(c, "hidden_dropout_prob")}
    # The reference lets heads that do not divide the width pass where there is a narrower embedding.
    made = floored(c, heads(c, exact="embedding_size" not in c.defaults.values))
    return tree(kind="attention", path=path, **made, bias=bias, **drop) | tree(**fields) | {"names": style.names}


def feed_forward(c: Config, **fields: Any) -> Tree:
    return tree(
        kind="feed_forward",
        path="",
        size=c.size("intermediate_size"),
        gated=False,
        bias=True,
        activation=plain_activation(c),
        dropout=rate(c, "hidden_dropout_prob"),
    ) | tree(names={"up_proj": "intermediate.dense", "down_proj": "output.dense"}, **fields)


def layer(c: Config, style: Style, **fields: Any) -> Tree:
    """Attention and feed-forward, each with a norm; cross attention between them in a decoder that asks for it."""
    parts = {"attention": attention(c, style, "attention", **fields), "norm_1": layer_norm(style.norms[0])}
    flow = list(PRE_NORM if style.pre_norm else POST_NORM)
    if style.cross and c.flag("add_cross_attention"):
        if not c.flag("is_decoder"):
            c.fail("add_cross_attention", "only a decoder has cross attention", "set is_decoder")
        parts["cross_attention"] = attention(c, style, "crossattention", source=c.size("hidden_size"))
        parts["norm_cross"] = layer_norm(f"cross{style.norms[0]}")
        flow[1:1] = [CROSS[style.pre_norm]]
    return parts | {"feed_forward": feed_forward(c), "norm_2": layer_norm(style.norms[1]), "flow": flow}


def embeddings(c: Config, style: Style, tables: Tree | None = None) -> Tree:
    """Tokens, token types, positions and what else a family looks up (`tables`), summed; their norm and dropout."""
    width = c.size("hidden_size")
    if style.position == "learned" and c.text("position_embedding_type", "absolute") != "absolute":
        c.fail("position_embedding_type", "only absolute positions are known", "the reference builds no others")
    narrow = (c.optional(style.narrow) if style.narrow else None) or width
    size = narrow if narrow != width else None
    parts = {"embedding": tree(vocabulary=c.size("vocab_size"), size=size, path="embeddings.word_embeddings")}
    if style.types and (types := c.zero_or("type_vocab_size")):
        parts["token_types"] = tree(kind="embedding", vocabulary=types, size=size, path="embeddings.token_type_embeddings")
    if style.position == "learned":
        rows = c.size("max_position_embeddings") + style.offset
        parts["position"] = tree(rows=rows, size=size, path="embeddings.position_embeddings")
    parts |= tables or {}
    if style.embedding_norm:
        parts["embedding_norm"] = layer_norm(style.embedding_norm, size=size)
    parts |= dropped(c, "hidden_dropout_prob")
    if size or style.always_project:
        parts["project_in"] = tree(kind="dense", inputs=size, path=style.project)
    return parts


def encoder(c: Config, style: Style, one: Tree, tables: Tree | None = None, *, path: str = "encoder.layer.{}") -> Tree:
    """The base model without its pooler. Only a decoder keeps a cache."""
    layers = stack(path, {"layer": one}, f"{c.size('num_hidden_layers')} layer", cache=None if c.flag("is_decoder") else False)
    parts = embeddings(c, style, tables) | {"layers": layers}
    return parts | ({"norm": layer_norm(style.last_norm)} if style.last_norm else {})


def pooler(path: str, *, beside: bool = False) -> Tree:
    """A layer on the first token's output, which the head reads, or which is handed out `beside` it."""
    return {"pooler": {"kind": "dense", "path": path, "activation": "tanh"} | ({"first": True, "side": "computed"} if beside else {})}


def lm_head(c: Config, style: Style, size: int | None = None) -> Tree:
    """What makes logits of tokens: a layer, a norm, and the token table with a bias for each token.

    Untied, the reference holds that bias twice, and uses the one of the matrix.
    """
    dense, norm = style.inner
    where, vocabulary, tied = style.predictions, c.size("vocab_size"), c.flag("tie_word_embeddings", True)
    parts: Tree = {}
    if dense:
        parts["head_dense"] = tree(kind="dense", path=f"{where}.{dense}", outputs=size, activation=plain_activation(c), component="head")
        parts["head_norm"] = layer_norm(f"{where}.{norm}", size=size)
    if tied or style.single_bias:
        own = tree(path=where, inputs=size, bias=True, tied="embedding" if tied else None, names={"weight": "decoder.weight"})
        return parts | {"head": {"kind": "head", "outputs": vocabulary} | own}
    spare = {"kind": "tensor", "type": "bias", "shape": [vocabulary], "path": f"{where}.bias", "component": "head"}
    head = tree(kind="head", path=f"{where}.decoder", outputs=vocabulary, inputs=size, bias=True)
    return parts | {"head": head, "spare_bias": spare}


def classifier(c: Config, style: Style, task: str) -> Tree:
    """What stands on the base model in the classes that are no language models."""
    drop = dropped(c, "classifier_dropout" if c.has("classifier_dropout") else "hidden_dropout_prob")
    before = {"head_dropout": {"kind": "dropout", **drop["dropout"]}} if drop else {}
    if task == "sequence_classification" and style.classifier == "dense":
        dense = {"kind": "dense", "path": "classifier.dense", "activation": "tanh", "component": "head"}
        return {"head_dense": dense, **before, **dense_head("classifier.out_proj", labels(c))}
    if task in ("sequence_classification", "token_classification"):
        return before | dense_head("classifier", labels(c))
    if task == "multiple_choice":
        return before | dense_head("classifier", 1)
    if task == "question_answering":
        return dense_head("qa_outputs", style.answers or labels(c))
    c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return {}


GOOGLE = ("directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head",
          "pooler_type", "down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks")  # fmt: skip
"""Keys of BERT's and ALBERT's first configs that the reference does not read."""


def assembled(
    c: Config,
    style: Style,
    parts: Tree,
    *,
    head: Callable[[Config, Style], Tree] = lm_head,
    other: Callable[[Config, Style, str], Tree] = classifier,
) -> Tree:
    """The base model, its pooler where the task has one, and the task's head."""
    task = c.task("masked_lm")
    c.ignore(*GOOGLE)
    if task in style.pooled:
        parts = parts | pooler(style.pooler, beside=task in ("masked_lm", "causal_lm"))
    if task == "base":
        return document(c, parts)
    relation = {"relation": dense_head("cls.seq_relationship", 2)["head"]}
    tops: dict[str, Callable[[], Tree]] = {
        "causal_lm": lambda: head(c, style),
        "masked_lm": lambda: head(c, style),
        "pretraining": lambda: head(c, style) | relation,
        "next_sentence": lambda: relation,
    }
    top = tops[task]() if task in tops else other(c, style, task)
    if style.head_first and "head" in top and top["head"].get("tied"):
        parts["embedding"] = parts["embedding"] | {"path": f"/{style.predictions}.decoder"}
    return document(c, under(f"{style.base}.", parts) | top)


def bert(c: Config, *, style: Style = Style()) -> Tree:
    """BERT (Devlin et al. 2019), and those with other norms, names or heads."""
    tables: Tree = {}
    if c.flag("use_task_id"):  # ERNIE
        kinds = c.size("task_type_vocab_size")
        tables["task_types"] = {"kind": "embedding", "vocabulary": kinds, "path": "embeddings.task_type_embeddings"}
    return assembled(c, style, encoder(c, style, layer(c, style), tables))


ROBERTA = Style(
    base="roberta",
    pooled=("base", "multiple_choice"),
    predictions="lm_head",
    inner=("dense", "layer_norm"),
    classifier="dense",
)
"""RoBERTa (Liu et al. 2019): other heads. Its positions begin behind the padding token's, so that published configs state
two rows more than tokens fit."""

FAMILIES = {
    "bert": bert,
    "camembert": partial(bert, style=ROBERTA._replace(head_first=True)),
    "data2vec-text": partial(bert, style=ROBERTA._replace(base="data2vec_text")),
    "ernie": partial(bert, style=Style(base="ernie")),
    "megatron-bert": partial(bert, style=Style(pre_norm=True, norms=("attention.ln", "ln"), last_norm="encoder.ln", embedding_norm=None)),
    "roberta": partial(bert, style=ROBERTA),
    "roberta-prelayernorm": partial(
        bert,
        style=ROBERTA._replace(
            base="roberta_prelayernorm", pre_norm=True, norms=("attention.LayerNorm", "intermediate.LayerNorm"), last_norm="LayerNorm"
        ),
    ),
    "xlm-roberta": partial(bert, style=ROBERTA._replace(head_first=True)),
    "xlm-roberta-xl": partial(
        bert,
        style=ROBERTA._replace(
            pre_norm=True, norms=("attention.self_attn_layer_norm", "LayerNorm"), last_norm="encoder.LayerNorm", embedding_norm=None
        ),
    ),
}
