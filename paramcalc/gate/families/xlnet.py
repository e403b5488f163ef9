"""XLNet, XLM and FlauBERT, CPM-Ant: models of their own make from the years of BERT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert_kin import summary
from paramcalc.gate.families.gpt import dense_head, lm_head
from paramcalc.gate.families.recipes import (
    POST_NORM,
    PRE_NORM,
    Tree,
    document,
    dropped,
    heads,
    labels,
    layer_norm,
    plain_activation,
    rate,
    rms,
    stack,
    tree,
    under,
)


def squad(c: Config, where: str) -> Tree:
    """A beam over answers: where they start, where they end given that, and whether there is one."""
    width = c.size("hidden_size")

    def dense(path: str, **fields: Any) -> Tree:
        return {"kind": "dense", "path": f"{where}{path}", "component": "head", **fields}

    return {
        "start": dense("start_logits.dense", outputs=1),
        "end_dense": dense("end_logits.dense_0", inputs=2 * width, activation="tanh"),
        "end_norm": layer_norm(f"{where}end_logits.LayerNorm"),
        "end": dense("end_logits.dense_1", outputs=1),
        "answer_dense": dense("answer_class.dense_0", inputs=2 * width, activation="tanh"),
        "answer": dense("answer_class.dense_1", outputs=1, bias=False),
    }


def tokens(c: Config) -> int:
    """The vocabulary, under the name that older configs give it (`n_words`, `n_token`)."""
    older = "n_token" if c.model_type == "xlnet" else "n_words"
    return c.size(older) if c.has(older) else c.size("vocab_size")


def headed(c: Config, parts: Tree, heads: dict[str, Callable[[], Tree]]) -> Tree:
    """The base model, and the head of the task that the class is for."""
    task = c.task("causal_lm")
    if task == "base":
        return document(c, parts)
    if task not in heads:
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return document(c, under("transformer.", parts) | heads.get(task, dict)())


def xlnet(c: Config) -> Tree:
    """XLNet (Yang et al. 2019): bare tensors for projections, relative positions, a memory of earlier segments."""
    width, number = c.size("hidden_size"), c.size("num_attention_heads")
    head_dim = c.optional("d_head") or max(1, width // number)
    drop = rate(c, "dropout")
    one = {
        "attention": tree(
            kind="relative_attention",
            path="rel_attn",
            heads=number,
            head_dim=head_dim,
            memory=c.zero_or("mem_len") or None if c.flag("use_mems_eval", True) else None,
            dropout=drop,
            output_dropout=drop,
        ),
        "norm_1": layer_norm("rel_attn.layer_norm"),
        "feed_forward": tree(
            kind="feed_forward",
            path="ff",
            size=c.size("d_inner"),
            gated=False,
            bias=True,
            activation=plain_activation(c, "ff_activation"),
            dropout=drop,
            activation_dropout=drop,
            names={"up_proj": "layer_1", "down_proj": "layer_2"},
        ),
        "norm_2": layer_norm("ff.layer_norm"),
        "flow": POST_NORM,
    }
    parts = {
        "mask": {"kind": "tensor", "shape": [1, 1, width], "path": "mask_emb", "component": "embedding"},
        "embedding": {"vocabulary": tokens(c), "path": "word_embedding"},
        **dropped(c, "dropout"),
        "layers": stack("layer.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer"),
    }
    tied = "embedding" if c.flag("tie_word_embeddings", True) else None
    c.ignore("attn_type", "d_head", "untie_r")
    return headed(c, parts, {
        "causal_lm": lambda: {"head": tree(kind="head", path="lm_loss", outputs=tokens(c), bias=True, tied=tied)},
        "sequence_classification": lambda: summary(c) | dense_head("logits_proj", labels(c)),
        "multiple_choice": lambda: summary(c) | dense_head("logits_proj", 1),
        "token_classification": lambda: dense_head("classifier", labels(c)),
        "simple_question_answering": lambda: dense_head("qa_outputs", labels(c)),
        "question_answering": lambda: squad(c, ""),
    })  # fmt: skip


def xlm(c: Config) -> Tree:
    """XLM (Lample & Conneau 2019) and FlauBERT (Le et al. 2020): BERT's layers in separate lists, languages beside tokens."""
    if not c.flag("is_encoder", True):
        c.fail("is_encoder", "the reference has no decoder of this kind")
    if c.flag("asm") and c.task("causal_lm") == "causal_lm":
        c.fail("asm", "an adaptive softmax is not known: the reference's config does not hold its cut-offs")
    width, drop = c.size("hidden_size"), rate(c, "dropout")
    before = c.flag("pre_norm")
    names = {"q_proj": "q_lin", "k_proj": "k_lin", "v_proj": "v_lin", "o_proj": "out_lin"}
    attend = tree(kind="attention", path="attentions.{}", **heads(c), bias=True, dropout=rate(c, "attention_dropout"), output_dropout=drop)
    one = {
        "attention": attend | {"names": names},
        "norm_1": layer_norm("layer_norm1.{}"),
        "feed_forward": tree(
            kind="feed_forward",
            path="ffns.{}",
            size=4 * width,
            gated=False,
            bias=True,
            activation="gelu" if c.flag("gelu_activation", True) else "relu",
            dropout=drop,
            names={"up_proj": "lin1", "down_proj": "lin2"},
        ),
        "norm_2": layer_norm("layer_norm2.{}"),
        "flow": PRE_NORM if before else POST_NORM,
    }
    parts: Tree = {"position": {"rows": c.size("max_position_embeddings"), "path": "position_embeddings"}}
    if (languages := c.optional("n_langs") or 1) > 1 and c.flag("use_lang_emb", True):
        parts["languages"] = {"kind": "embedding", "vocabulary": languages, "path": "lang_embeddings"}
    parts = {"embedding": {"vocabulary": tokens(c), "path": "embeddings"}, **parts, "embedding_norm": layer_norm("layer_norm_emb")}
    parts |= dropped(c, "dropout")
    causal = None if c.flag("causal") else False
    parts["layers"] = stack("", {"layer": one}, f"{c.size('num_hidden_layers')} layer", cache=causal)
    tied = "embedding" if c.flag("tie_word_embeddings", True) else None
    return headed(c, parts, {
        "causal_lm": lambda: {"head": tree(kind="head", path="pred_layer.proj", outputs=tokens(c), bias=True, tied=tied)},
        "sequence_classification": lambda: summary(c),
        "multiple_choice": lambda: summary(c) | dense_head("logits_proj", 1, inputs=labels(c)),
        "token_classification": lambda: dense_head("classifier", labels(c)),
        "simple_question_answering": lambda: dense_head("qa_outputs", labels(c)),
        "question_answering": lambda: squad(c, "qa_outputs."),
    })  # fmt: skip


def cpmant(c: Config) -> Tree:
    """CPM-Ant (OpenBMB 2022): no biases, a bias for each pair of segments and bucket of distances, prompts in the token
    table, a head of its own."""
    drop = c.number("dropout_p") or None
    names = {"q_proj": "project_q", "k_proj": "project_k", "v_proj": "project_v", "o_proj": "attention_out"}
    number = c.size("num_attention_heads")
    attend = tree(
        kind="attention",
        path="self_att.self_attention",
        heads=number,
        head_dim=c.size("dim_head"),
        dropout=drop,
        output_dropout=drop,
        names=names,
    )
    feed = tree(
        kind="feed_forward",
        path="ffn.ffn",
        size=c.size("dim_ff"),
        activation="gelu",
        activation_dropout=drop,
        dropout=drop,
        names={"gate_proj": "w_in.w_0", "up_proj": "w_in.w_1", "down_proj": "w_out"},
    )
    one = {
        "norm_1": rms("self_att.layernorm_before_attention"),
        "attention": attend,
        "norm_2": rms("ffn.layernorm_before_ffn"),
        "feed_forward": feed,
        "flow": PRE_NORM,
    }
    segments = c.size("segment_types")
    rows = segments * segments + c.size("position_bias_num_buckets")
    prompts = c.size("prompt_types") * c.size("prompt_length")
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size") + prompts, "path": "input_embedding"},
        "segments": {"kind": "embedding", "vocabulary": segments, "path": "segment_embedding"},
        "relative": {
            "kind": "tensor",
            "type": "bias",
            "shape": [rows, number],
            "path": "position_bias.relative_attention_bias",
            "component": "position_embedding",
        },
        "layers": stack("encoder.layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer"),
        "norm": rms("encoder.output_layernorm"),
    }
    if c.task("causal_lm") == "base":
        return document(c, parts)
    if c.task("causal_lm") != "causal_lm":
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    head = lm_head(c)["head"]
    return document(c, under("cpmant.", parts) | {"head": {key: value for key, value in head.items() if key != "tied"}})


FAMILIES = {"cpmant": cpmant, "flaubert": xlm, "xlm": xlm, "xlnet": xlnet}
