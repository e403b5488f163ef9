"""Encoder-decoders with the layers of fairseq: BART and its kin, whole and as the decoder half alone."""

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
    labels,
    layer_norm,
    plain_activation,
    rate,
    stack,
    tree,
    under,
)

CROSS = {True: "norm_cross cross_attention +", False: "cross_attention + norm_cross"}
"""The step that reads the encoder's output, by whether norms stand before their blocks."""


FAIRSEQ = (
    "add_bias_logits", "add_final_layer_norm", "classif_dropout", "extra_pos_embeddings", "force_bos_token_to_be_generated",
    "normalize_before", "normalize_embedding", "save_step", "static_position_embeddings", "variant",
)  # fmt: skip
"""Keys of older configs that said what now follows from the model type; the reference does not read them."""


class Style(NamedTuple):
    """How a family differs from BART."""

    pre_norm: bool = False
    """Whether norms stand before their blocks; layers of that kind are followed by one more norm."""
    final_norm: str = "layer_norm"
    embedding_norm: str | None = "layernorm_embedding"
    position: str = "learned"
    offset: int = 0
    """Rows of the learned table that no position uses."""
    bias: bool | list[str] = True
    """Biases of attention."""
    attention: str = "self_attn"
    cross: str = "encoder_attn"
    dropout: str = "dropout"
    attention_dropout: str = "attention_dropout"
    source_tokens: str | None = None
    """The key of the source's length, where that is fixed."""


def attend(c: Config, style: Style, number: int, path: str, **fields: Any) -> Tree:
    """Attention with split projections over heads of the same joint width as the stream."""
    width = c.size("hidden_size")
    if width % number and not c.root.problems:
        c.fail("num_attention_heads", f"heads ({number}) do not divide the width ({width})")
    return tree(
        kind="attention",
        path=path,
        heads=number,
        head_dim=max(1, width // number),
        bias=style.bias or None,
        dropout=rate(c, style.attention_dropout),
        output_dropout=rate(c, style.dropout),
        names={"o_proj": "out_proj"},
    ) | tree(**fields)


def layer(c: Config, style: Style, number: int, size: int, *, cross: str = "", attention: Tree | None = None) -> Tree:
    """Attention (another one if given), feed-forward, and between them cross attention: `read`, or there but `unused` as
    without an encoder."""
    feed = tree(
        kind="feed_forward",
        path="",
        size=size,
        gated=False,
        bias=True,
        activation=plain_activation(c),
        dropout=rate(c, style.dropout),
        activation_dropout=rate(c, "activation_dropout"),
        names={"up_proj": "fc1", "down_proj": "fc2"},
    )
    own = attention or attend(c, style, number, style.attention)
    parts = {"attention": own, "norm_1": layer_norm("self_attn_layer_norm")}
    flow = list(PRE_NORM if style.pre_norm else POST_NORM)
    if cross:
        length = c.optional(style.source_tokens) if style.source_tokens else None
        other = {
            "cross_attention": attend(c, style, number, style.cross, source=c.size("hidden_size"), source_tokens=length),
            "norm_cross": layer_norm(f"{style.cross}_layer_norm"),
        }
        parts |= other if cross == "read" else {"unused": {"path": "", "cache": False, **other}}
        flow[1:1] = [CROSS[style.pre_norm]] if cross == "read" else []
    return parts | {"feed_forward": feed, "norm_2": layer_norm("final_layer_norm"), "flow": flow}


def half(c: Config, style: Style, side: str, before: Tree, *, cross: str = "", attention: Tree | None = None, **fields: Any) -> Tree:
    """The encoder or the decoder: what stands before its layers, layers, final norm."""
    one = layer(c, style, c.size(f"{side}_attention_heads"), c.size(f"{side}_ffn_dim"), cross=cross, attention=attention)
    parts = before | {"layers": stack("layers.{}", {"layer": one}, f"{c.size(f'{side}_layers')} layer")}
    if style.pre_norm:
        parts["norm"] = layer_norm(style.final_norm)
    return tree(path=side, **fields) | parts


def before(c: Config, style: Style, embedding: Tree, rows: str = "max_position_embeddings") -> Tree:
    """Tokens, positions, their norm, dropout."""
    position: Tree = {"type": "sinusoidal"}
    if style.position != "sinusoidal":
        kind = None if style.position == "learned" else style.position
        position = tree(type=kind, rows=c.size(rows) + style.offset, path="embed_positions")
    parts = {"embedding": embedding, "position": position}
    if style.embedding_norm:
        parts["embedding_norm"] = layer_norm(style.embedding_norm)
    return parts | dropped(c, style.dropout)


def own_table(c: Config, key: str = "vocab_size") -> Tree:
    return {"vocabulary": c.size(key), "path": "embed_tokens"}


def lm_head(c: Config, owner: str, *, path: str = "lm_head", vocabulary: str = "vocab_size", tie: bool = True) -> Tree:
    tied = owner if c.flag("tie_word_embeddings", True) and tie else None
    return {"head": tree(kind="head", path=path, outputs=c.size(vocabulary), tied=tied)}


def decoder_half(c: Config, style: Style, *, head: str = "lm_head", rows: str = "max_position_embeddings", tie: bool = True) -> Tree:
    """The decoder as a language model of its own: it holds cross attention, which nothing feeds."""
    decoder = half(c, style, "decoder", before(c, style, own_table(c), rows), cross="unused")
    return document(c, under("model.", {"decoder": decoder}) | lm_head(c, "decoder.embedding", path=head, tie=tie))


def bart(
    c: Config,
    *,
    style: Style = Style(),
    base: str = "model",
    choices: int = 2,
    rows: tuple[str, str] = ("max_position_embeddings", "max_position_embeddings"),
    alter: Callable[[Config, Tree], None] | None = None,
) -> Tree:
    """BART (Lewis et al. 2020) and its kin: one token table for both halves and the head. `rows` are the keys of each half's
    positions; `alter` changes the two halves where a family differs by more than `style` says."""
    task = c.task("generation")
    c.ignore(*FAIRSEQ)
    if task == "causal_lm":
        return decoder_half(c, style, rows=rows[1], tie=c.model_type != "bigbird_pegasus")
    parts = {
        "encoder": half(c, style, "encoder", before(c, style, own_table(c), rows[0]), tokens="source", cache=False),
        "decoder": half(c, style, "decoder", before(c, style, own_table(c), rows[1]), cross="read"),
    }
    if alter:
        alter(c, parts)
    return shared(c, parts, seq2seq_head(c, task, lm_head(c, "encoder.embedding"), choices), base=base)


def shared(c: Config, parts: Tree, top: Tree, *, base: str, table: str = "shared") -> Tree:
    """Both halves with one token table that bears a name of its own. With ties off the reference holds a table for each half
    beside that one, which nothing reads."""
    prefix = "" if c.task("generation") == "base" else f"{base}."
    encoder, decoder = parts["encoder"], parts["decoder"]
    if c.flag("tie_word_embeddings", True):
        encoder["embedding"] = encoder["embedding"] | {"path": f"/{prefix}{table}"}
        decoder["embedding"] = decoder["embedding"] | {"tied": "encoder.embedding"}
        return document(c, under(prefix, parts) | top)
    spare = {"spare": {"kind": "embedding", "vocabulary": c.size("vocab_size"), "path": table}}
    return document(c, under(prefix, parts | spare) | top, flow=[" ".join(["encoder", "decoder", *top])])


def seq2seq_head(c: Config, task: str, head: Tree, choices: int = 2) -> Tree:
    """What stands on an encoder-decoder, by its task."""
    if task == "base":
        return {}
    if task == "generation":
        return head
    if task == "sequence_classification":
        dense = tree(kind="dense", path="classification_head.dense", activation="tanh", component="head")
        drop = dropped(c, "classifier_dropout")
        out = dense_head("classification_head.out_proj", labels(c, choices))
        return {"head_dense": dense, **({"head_dropout": {"kind": "dropout", **drop["dropout"]}} if drop else {}), **out}
    if task == "question_answering":
        return dense_head("qa_outputs", 2)
    c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return {}


PRE = Style(pre_norm=True, embedding_norm=None)
OFFSET = Style(offset=2)

FAMILIES = {
    "bart": partial(bart, style=OFFSET, choices=3),
    "blenderbot": partial(bart, style=PRE),
    "blenderbot-small": bart,
    "m2m_100": partial(bart, style=PRE._replace(position="sinusoidal")),
    "mbart": partial(bart, style=OFFSET._replace(pre_norm=True)),
    "pegasus": partial(bart, style=PRE._replace(position="fixed")),
    "plbart": partial(bart, style=OFFSET),
}
