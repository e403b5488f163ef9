"""Encoders of the time after BERT: rotary positions, gated feed-forward, few biases."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import ROBERTA, Style, assembled, classifier, lm_head
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.recipes import (
    POST_NORM,
    PRE_NORM,
    Tree,
    document,
    dropped,
    heads,
    labels,
    layer_norm,
    layered,
    plain_activation,
    rate,
    rms,
    stack,
    tree,
    under,
    windows,
)


def attention(c: Config, *, dropout: str = "attention_dropout", **fields: Any) -> Tree:
    return tree(kind="attention", path="self_attn", **heads(c, rounded=True), rotary=True, dropout=rate(c, dropout)) | tree(**fields)


def gated(c: Config, **fields: Any) -> Tree:
    own = tree(kind="feed_forward", path="mlp", size=c.size("intermediate_size"), activation=plain_activation(c))
    return own | tree(**fields)


def plain(c: Config, path: str, layers: Tree, norm: Tree, before: Tree | None = None) -> Tree:
    """A base model: token table, layers, norm."""
    return {"embedding": {"vocabulary": c.size("vocab_size"), "path": path}, **(before or {}), "layers": layers, "norm": norm}


def token_head(c: Config, path: str, **fields: Any) -> Tree:
    tied = "embedding" if c.flag("tie_word_embeddings", True) else None
    return {"head": tree(kind="head", path=path, outputs=c.size("vocab_size"), tied=tied, **fields)}


def modernbert(c: Config) -> Tree:
    """ModernBERT (Warner et al. 2024): windows in two layers of three, and no norm before the first attention."""
    bias = c.flag("norm_bias")
    attend = tree(
        kind="attention",
        path="attn",
        **heads(c, own_dim=False),
        fused="qkv",
        bias=c.flag("attention_bias") or None,
        rotary=True,
        dropout=rate(c, "attention_dropout"),
        output_dropout=rate(c, "attention_dropout"),
        names={"qkv_proj": "Wqkv", "o_proj": "Wo"},
    )
    feed = gated(
        c,
        fused=True,
        bias=c.flag("mlp_bias") or None,
        activation_dropout=rate(c, "mlp_dropout"),
        names={"gate_up_proj": "Wi", "down_proj": "Wo"},
    )

    def build(place: str, word: str) -> Tree:
        window = {"window": c.size("local_attention") // 2 + 1} if word == "local" else {}
        first = {} if place == "first" else {"norm_1": layer_norm("attn_norm", bias=bias)}
        flow = PRE_NORM if first else ["attention +", PRE_NORM[1]]
        return first | {"attention": attend | window, "norm_2": layer_norm("mlp_norm", bias=bias), "feed_forward": feed, "flow": flow}

    every = c.optional("global_attn_every_n_layers") or 3
    words = windows(c, lambda index: index % every != 0)
    places = ["first"] + ["later"] * (len(words) - 1)
    extra = {"embedding_norm": layer_norm("embeddings.norm", bias=bias), **dropped(c, "embedding_dropout")}
    layers = layered("layers.{}", [places, words], build, cache=False)
    parts = plain(c, "embeddings.tok_embeddings", layers, layer_norm("final_norm", bias=bias), extra)
    c.ignore("global_rope_theta", "local_rope_theta", "reference_compile", "repad_logits_with_grad", "initializer_cutoff_factor")
    return modernbert_headed(c, parts)


def modernbert_headed(c: Config, parts: Tree) -> Tree:
    """A layer and a norm under the head of every class."""
    task = c.task("masked_lm")
    if task == "base":
        return document(c, parts)
    dense = tree(
        kind="dense",
        path="head.dense",
        bias=c.flag("classifier_bias"),
        activation=plain_activation(c, "classifier_activation"),
        component="head",
    )
    top = {"head_dense": dense, "head_norm": layer_norm("head.norm", bias=c.flag("norm_bias"))}
    if task == "masked_lm":
        return document(c, under("model.", parts) | top | token_head(c, "decoder", bias=c.flag("decoder_bias", True) or None))
    if task == "multiple_choice":
        return document(c, under("model.", parts) | top | dense_head("classifier", 1))
    if task not in ("sequence_classification", "token_classification", "question_answering"):
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return document(c, under("model.", parts) | top | dropped(c, "classifier_dropout") | dense_head("classifier", labels(c)))


def llama_layer(c: Config, **fields: Any) -> Tree:
    bias = c.flag("attention_bias") or None
    return {
        "norm_1": rms("input_layernorm"),
        "attention": attention(c, bias=bias, **fields),
        "norm_2": rms("post_attention_layernorm"),
        "feed_forward": gated(c, bias=c.flag("mlp_bias") or None),
        "flow": PRE_NORM,
    }


def eurobert(c: Config) -> Tree:
    """EuroBERT (Boizard et al. 2025): Llama's layers without a causal mask; a head whose bias follows the feed-forward's."""
    layers = stack("layers.{}", {"layer": llama_layer(c)}, f"{c.size('num_hidden_layers')} layer", cache=False)
    parts, task = plain(c, "embed_tokens", layers, rms("norm")), c.task("masked_lm")
    if task == "base":
        return document(c, parts)
    if task == "masked_lm":
        top = token_head(c, "lm_head", bias=c.flag("mlp_bias") or None)
    elif task == "sequence_classification":
        dense = {"kind": "dense", "path": "dense", "activation": "gelu", "component": "head"}
        top = {"head_dense": dense, **dense_head("classifier", labels(c))}
    else:
        top = classifier(c, Style(), task)
    return document(c, under("model.", parts) | top)


def ultrabert(c: Config) -> Tree:
    """UltraBERT as the reference has it: Llama's layers with windows in two of three, a head through a narrow network."""
    stated = c.listed("attention_windows")
    words = windows(c, lambda index: bool(stated[index]) if stated and index < len(stated) else (index + 1) % 3 != 0)

    def build(word: str) -> Tree:
        return llama_layer(c, window=c.size("sliding_window") + 1 if word == "local" else None)

    parts = plain(c, "embed_tokens", layered("layers.{}", [words], build, cache=False), rms("norm"))
    task = c.task("masked_lm")
    if task == "base":
        return document(c, parts)
    if task == "question_answering":
        return document(c, under("model.", parts) | dense_head("qa_outputs", 2))
    if task != "masked_lm":
        return document(c, under("model.", parts) | classifier(c, Style(), task))
    narrow = tree(
        kind="feed_forward",
        path="head",
        size=c.size("prediction_head_size"),
        gated=False,
        activation="gelu_pytorch_tanh",
        component="head",
        names={"up_proj": "linear1", "down_proj": "linear2"},
    )
    last = {"kind": "activation", "function": "gelu_pytorch_tanh"}
    return document(c, under("model.", parts) | {"head_feed_forward": narrow, "head_activation": last} | token_head(c, "head.decoder"))


def post_norm(c: Config, *, style: Style, bias: bool = False, feed: str = "gated") -> Tree:
    """BERT's order of norms with rotary positions: Nomic BERT (Nussbaum et al. 2024), GTE (Zhang et al. 2024) and Jina
    Embeddings 3 (Sturua et al. 2024)."""
    drop = rate(c, "hidden_dropout_prob")
    attend = attention(c, dropout="attention_probs_dropout_prob", bias=bias or None, output_dropout=drop)
    inner = drop if c.model_type == "gte" else None
    network = gated(c, dropout=drop, activation_dropout=inner, bias=["down"] if feed == "gated" and bias else None)
    if feed == "plain":
        network |= {"gated": False, "bias": True, "names": {"up_proj": "fc1", "down_proj": "fc2"}}
    one = {
        "attention": attend,
        "norm_1": layer_norm("post_attention_layernorm"),
        "feed_forward": network,
        "norm_2": layer_norm("post_mlp_layernorm"),
        "flow": POST_NORM,
    }
    types = c.zero_or("type_vocab_size")
    where = "embeddings"
    parts = {"embedding": {"vocabulary": c.size("vocab_size"), "path": f"{where}.word_embeddings"}}
    if types:
        parts["token_types"] = {"kind": "embedding", "vocabulary": types, "path": f"{where}.token_type_embeddings"}
    parts |= {"embedding_norm": layer_norm(f"{where}.LayerNorm"), **dropped(c, "hidden_dropout_prob")}
    parts["layers"] = stack("layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer", cache=False)
    return assembled(c, style, parts, head=gte_head if c.model_type == "gte" else lm_head)


def gte_head(c: Config, _: Style) -> Tree:
    dense = {"kind": "dense", "path": "lm_head.dense", "activation": plain_activation(c), "component": "head"}
    return {"head_dense": dense, "head_norm": layer_norm("lm_head.layer_norm"), **token_head(c, "lm_head.decoder", bias=True)}


def esmc(c: Config) -> Tree:
    """ESM Cambrian (EvolutionaryScale 2024): layer norms without a bias over all heads' queries and keys; nothing tied."""
    attend = attention(c, bias=c.flag("attention_bias") or None, qk_norm="full", qk_norm_type="layer")
    norms: Tree = {}
    if attend["heads"] * attend["head_dim"] != c.size("hidden_size"):  # they are as wide as the stream, whatever the heads are
        attend = {key: value for key, value in attend.items() if not key.startswith("qk_norm")}
        norms = {f"norm_{word}": layer_norm(f"self_attn.{word}_norm", bias=False) for word in "qk"}
    one = {
        **norms,
        "norm_1": layer_norm("input_layernorm"),
        "attention": attend,
        "norm_2": layer_norm("post_attention_layernorm"),
        "feed_forward": gated(c, bias=c.flag("mlp_bias") or None),
        "flow": PRE_NORM,
    }
    layers = stack("layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer", cache=False)
    parts, task = plain(c, "embed_tokens", layers, layer_norm("norm", bias=False)), c.task("masked_lm")
    if task == "base":
        return document(c, parts)
    if task == "token_classification":
        return document(c, under("esmc.", parts) | dense_head("score", labels(c)))
    if task == "masked_lm":
        dense = {"kind": "dense", "path": "lm_head.dense", "activation": "gelu", "component": "head"}
        head = {"kind": "head", "path": "lm_head.decoder", "outputs": c.size("vocab_size"), "bias": True}
        return document(c, under("esmc.", parts) | {"head_dense": dense, "head_norm": layer_norm("lm_head.layer_norm"), "head": head})
    return document(c, under("esmc.", parts) | classifier(c, Style(classifier="dense"), task))


def neomme(c: Config) -> Tree:
    """NeoMME as the reference has it: a factorised token table, gated attention less what lies along its own value, norms
    without a gain, and a table of values that the first and the last global layer add to theirs."""
    width, number = c.size("hidden_size"), c.size("num_attention_heads")
    kv_heads, head_dim = c.size("num_key_value_heads"), c.size("head_dim")
    names = {"gate_proj": "output_projection.gate_proj", "o_proj": "output_projection.o_proj"}
    one = {
        "lambdas": {"kind": "tensor", "shape": [2], "path": "lambdas"},
        "norm_1": rms("input_layernorm", scale=False),
        "attention": attention(c, bias=c.flag("attention_bias") or None, gate_proj="full", names=names),
        "own_value": {"kind": "tensor", "shape": [number], "path": "self_attn.exclusive_self_attention.alpha", "component": "attention"},
        "norm_2": rms("post_attention_layernorm", scale=False),
        "feed_forward": gated(c, gated=False, bias=c.flag("mlp_bias") or None),
        "flow": PRE_NORM,
    }
    patch, rank = 3 * c.size("patch_size") ** 2, c.size("embedding_rank")
    patches = tree(kind="feed_forward", path="", inputs=patch, size=2 * width, gated=False, bias=["down"], activation="gelu")
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "size": rank, "path": "embed_tokens.word_embeddings"},
        "project_in": {"kind": "dense", "inputs": rank, "bias": False, "path": "embed_tokens.embedding_projection"},
        "embedding_norm": rms("embedding_norm", scale=False),
        "patches": {"path": "patch_embeddings", "tower": "vision", "norm": layer_norm("norm", size=patch), "feed_forward": patches},
        "values": {"kind": "embedding", "vocabulary": c.size("vocab_size"), "size": kv_heads * head_dim, "path": "value_embeddings"},
        "layers": stack("layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer", cache=False),
        "norm": rms("final_norm", scale=False),
    }
    flow = "embedding project_in embedding_norm layers norm"
    if c.architecture() == "NeoMMEForRetrieval":
        vectors = dense_head("multi_vector_head.proj", c.size("embedding_dim"), bias=False)
        return document(c, under("model.", parts) | vectors, flow=[f"{flow} head"])
    if c.task("masked_lm") == "base":
        return document(c, parts, flow=[flow])
    if c.task("masked_lm") != "masked_lm":
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    tied = "project_in" if c.flag("tie_word_embeddings", True) else None
    back = tree(kind="head", path="unembedding_projection", outputs=width, inputs=rank, tied=tied)
    top = {"project_out": back, **token_head(c, "lm_head", inputs=rank)}
    return document(c, under("model.", parts) | top, flow=[f"{flow} project_out head"])


FAMILIES = {
    "esmc": esmc,
    "eurobert": eurobert,
    "gte": partial(post_norm, style=Style(base="gte", pooled=("sequence_classification",)), bias=True),
    "jina_embeddings_v3": partial(post_norm, style=ROBERTA._replace(pooled=("base",), head_first=True), bias=True, feed="plain"),
    "modernbert": modernbert,
    "neomme": neomme,
    "nomic_bert": partial(
        post_norm,
        style=Style(base="nomic_bert", pooled=("sequence_classification",), inner=("transform.dense", "transform.layer_norm")),
    ),
    "ultrabert": ultrabert,
}
