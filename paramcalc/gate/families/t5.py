"""T5 and its kin: pre-norm RMS layers without biases, relative positions from a table of buckets."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import seq2seq_head
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, dropped, labels, plain_activation, rate, rms, tree, under

CROSSED = [PRE_NORM[0], "norm_cross cross_attention +", PRE_NORM[1]]
ENCODER_ATTENTION = {"local": "LocalSelfAttention", "transient-global": "TransientGlobalSelfAttention"}
"""LongT5's encoders: attention to neighbours only, or also to means of blocks (Guo et al. 2022)."""


def attention(c: Config, name: str, **fields: object) -> Tree:
    """No biases, no scaling of the logits, and a width that need not be the stream's."""
    return tree(
        kind="attention",
        path=f"layer.{{}}.{name}",
        heads=c.size("num_attention_heads"),
        head_dim=c.size("d_kv"),
        dropout=rate(c, "dropout_rate"),
        output_dropout=rate(c, "dropout_rate"),
        names={"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o"},
    ) | tree(**fields)


def feed_forward(c: Config) -> Tree:
    """Two layers, or three where it is gated; `is_gated_act` wins over the word that it is usually derived from."""
    word = c.text("feed_forward_proj", "relu")
    gate, _, name = word.rpartition("-")
    if gate not in ("", "gated") or not name:
        c.fail("feed_forward_proj", f"expected an activation, or gated- and an activation, got {word!r:.60}")
    gated = c.flag("is_gated_act", gate == "gated")
    stated = plain_activation(c, "dense_act_fn", "gelu_new" if word == "gated-gelu" else name)
    names = {"gate_proj": "wi_0", "up_proj": "wi_1", "down_proj": "wo"} if gated else {"up_proj": "wi", "down_proj": "wo"}
    drop = rate(c, "dropout_rate")
    return tree(
        kind="feed_forward",
        path="layer.{}.DenseReluDense",
        size=c.size("d_ff"),
        gated=gated,
        activation=stated,
        dropout=drop,
        activation_dropout=drop,
        names=names,
    )


def table(c: Config, name: str) -> Tree:
    """A bias for each bucket of distances and each head (Raffel et al. 2020, §2.1)."""
    return {
        "kind": "embedding",
        "vocabulary": c.size("relative_attention_num_buckets"),
        "size": c.size("num_attention_heads"),
        "path": name,
        "component": "position_embedding",
    }


def half(c: Config, side: str, embedding: Tree, kinds: Tree, order: str, *, shared_table: bool, name: str) -> Tree:
    """The encoder or the decoder. The first layer owns the table of relative positions that all its layers use."""
    where = f"block.{{}}.layer.{{}}.{name}"
    tables = {"relative": table(c, f"{where}.relative_attention_bias")} if shared_table else {}
    if "TransientGlobal" in name:
        tables["relative_global"] = table(c, f"{where}.global_relative_attention_bias")
    drop = dropped(c, "dropout_rate")
    parts = {"embedding": embedding, **drop, **tables, "layers": {"path": "block.{}", "kinds": kinds, "order": order}}
    parts["norm"] = rms("final_layer_norm")
    last = {"last_dropout": {"kind": "dropout", **drop["dropout"]}} if drop else {}
    about: Tree = {"path": side, "tokens": "source", "cache": False} if side == "encoder" else {"path": side}
    return about | parts | last


def layer(c: Config, name: str, *, cross: bool, own_table: bool, feed: Tree) -> Tree:
    norm = "layer.{}.layer_norm"
    parts = {"norm_1": rms(norm), "attention": attention(c, name)}
    if own_table:
        parts["relative"] = table(c, f"layer.{{}}.{name}.relative_attention_bias")
    if "TransientGlobal" in name:
        parts["norm_global"] = rms(f"layer.{{}}.{name}.global_input_layer_norm")
    if cross:
        parts["norm_cross"] = rms(norm)
        parts["cross_attention"] = attention(c, "EncDecAttention", source=c.size("hidden_size"))
    return parts | {"norm_2": rms(norm), "feed_forward": feed, "flow": CROSSED if cross else PRE_NORM}


def owns_head(c: Config) -> bool:
    """Whether the output matrix is one of its own, as `tie_word_embeddings: false` says.

    The reference ties it when it builds from such a config, but published weights (T5 1.1, Flan-T5, mT5) hold both, and
    it keeps them apart when it loads them. A config that the reference has written again says true.
    """
    if c.states("tie_word_embeddings") and not c.flag("tie_word_embeddings", True):
        return True
    if c.states("scale_decoder_outputs") and not c.flag("scale_decoder_outputs", True):
        c.warn("published weights with `scale_decoder_outputs: false` hold an output matrix of their own, which this config counts as tied")
    return False


def t5(c: Config, *, tables: str = "first", head: str = "stated", local: bool = False) -> Tree:
    """T5 (Raffel et al. 2020), mT5 (Xue et al. 2021); UMT5 (Chung et al. 2023) has a table in `each` layer, and LongT5
    (Guo et al. 2022) encoders that see locally. `head`: tied as `stated`, or always `tied`, or always its `own`."""
    name = "SelfAttention"
    if local:
        name = ENCODER_ATTENTION[c.choice("encoder_attention_type", list(ENCODER_ATTENTION), "local")]
    feed, each = feed_forward(c), tables == "each"
    first = {"vocabulary": c.size("vocab_size"), "path": "/shared"}
    source = layer(c, name, cross=False, own_table=each, feed=feed)
    target = layer(c, "SelfAttention", cross=True, own_table=each, feed=feed)
    count = c.size("num_hidden_layers")
    encoder = half(c, "encoder", first, {"layer": source}, f"{count} layer", shared_table=not each, name=name)
    second = {"vocabulary": c.size("vocab_size"), "tied": "encoder.embedding", "path": "embed_tokens"}
    layers = f"{c.optional('num_decoder_layers') or count} layer"
    decoder = half(c, "decoder", second, {"layer": target}, layers, shared_table=not each, name="SelfAttention")
    own = head == "own" or (head == "stated" and owns_head(c))
    tie = None if own else "encoder.embedding"
    return assembled(c, encoder, decoder, tree(kind="head", path="lm_head", outputs=c.size("vocab_size"), tied=tie))


def assembled(c: Config, encoder: Tree, decoder: Tree, head: Tree) -> Tree:
    """Both halves with a head, or what else the model's class holds."""
    task = c.task("generation")
    c.ignore("n_positions", "output_past")
    if task in ("encoder", "token_classification") and c.flag("is_decoder"):
        c.fail("is_decoder", "an encoder alone cannot be a decoder")
    if task == "encoder":
        return document(c, {"encoder": encoder})
    prefix = "transformer." if task in ("sequence_classification", "token_classification") else ""
    parts = {"encoder": encoder} if task == "token_classification" else {"encoder": encoder, "decoder": decoder}
    for part in parts.values():
        if part["embedding"]["path"].startswith("/"):
            part["embedding"] = part["embedding"] | {"path": f"/{prefix}shared"}
    if task == "token_classification":
        return document(c, under(prefix, parts) | dropped(c, "classifier_dropout") | dense_head("classifier", labels(c)))
    if task == "question_answering":
        return document(c, parts | dense_head("qa_outputs", labels(c)))
    return document(c, under(prefix, parts) | seq2seq_head(c, task, {"head": head}))


def pop2piano(c: Config) -> Tree:
    """Pop2Piano (Choi & Lee 2023): T5 over frames of a spectrogram, before which a vector of the arranger's style stands."""
    made = t5(c, head="own")
    style = {"kind": "embedding", "vocabulary": c.size("composer_vocab_size"), "path": "mel_conditioner.embedding"}
    return made | {"parts": {"style": style, **made["parts"]}}


FAMILIES = {
    "longt5": partial(t5, head="tied", local=True),
    "mt5": t5,
    "pop2piano": pop2piano,
    "t5": t5,
    "umt5": partial(t5, tables="each"),
}
