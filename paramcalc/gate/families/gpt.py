"""Decoders of the GPT-2 era: layer norms with biases, biased projections, plain feed-forward, learned positions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
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
    tied,
    tree,
    under,
    whole,
)

CROSS = "norm_cross cross_attention +"
"""The step between attention and feed-forward in a pre-norm decoder that also reads an encoder's output."""


def attention(c: Config, path: str, *, checked: bool = True, **fields: Any) -> Tree:
    """Attention over heads that share the width, as most references of that time have `checked` when they built it; a spec may
    state key-value heads and dims, which no config of that time has."""
    if c.spec:
        return tree(kind="attention", path=path, **heads(c)) | tree(**fields)
    width, number = c.size("hidden_size"), c.size("num_attention_heads")
    if not checked:
        return tree(kind="attention", path=path, **whole(c, number, width)) | tree(**fields)
    if width % number and not c.root.problems:
        c.fail("num_attention_heads", f"({number}) does not divide hidden_size ({width})")
    return tree(kind="attention", path=path, heads=number, head_dim=max(1, width // number)) | tree(**fields)


def feed_forward(c: Config, path: str, up: str, down: str, **fields: Any) -> Tree:
    """Two layers with biases, four times as wide inside as outside where the config does not say."""
    width = c.size("hidden_size")
    own = tree(kind="feed_forward", path=path, size=c.optional("intermediate_size") or 4 * width, gated=False, bias=True)
    return own | tree(**fields) | {"names": {"up_proj": up, "down_proj": down}}


def lm_head(c: Config, path: str = "lm_head", *, tie: bool = True, **fields: Any) -> Tree:
    """The head of a causal language model, tied to the token table unless the config says otherwise."""
    owner = tied(c, "embedding", tie)
    return {"head": tree(kind="head", path=path, outputs=c.size("vocab_size"), tied=owner, **fields)}


def dense_head(path: str, outputs: int, *, bias: bool = True, inputs: int | None = None) -> Tree:
    """One linear layer on top of a base model."""
    return {"head": tree(kind="dense", path=path, outputs=outputs, inputs=inputs, bias=None if bias else False, component="head")}


def classifier(
    c: Config, task: str, *, inputs: int | None = None, score: str = "score", tokens: str = "classifier", answers: int | None = 2
) -> Tree:
    """What stands on the base model in the classes that are no language models; `answers` None is one per label."""
    if task == "sequence_classification":
        return dense_head(score, labels(c), bias=False, inputs=inputs)
    if task == "token_classification":
        return dense_head(tokens, labels(c), inputs=inputs)
    if task == "question_answering":
        return dense_head("qa_outputs", answers or labels(c), inputs=inputs)
    c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return {}


def decoder(
    c: Config,
    parts: Tree,
    head: Tree,
    *,
    base: str = "transformer",
    classify: Callable[[Config, str], Tree] = classifier,
) -> Tree:
    """A base model's parts, under the prefix `base` where a head of its task stands on them."""
    task = c.task("causal_lm")
    c.ignore("n_ctx")  # an older name of n_positions, which the reference does not read
    if task == "base":
        return document(c, parts)
    return document(c, under(f"{base}.", parts) | (head if task == "causal_lm" else classify(c, task)))


def gpt2(c: Config, *, transposed: bool = True, norm: Callable[[str], Tree] = layer_norm) -> Tree:
    """GPT-2 (Radford et al. 2019): learned positions, fused qkv, weights stored [inputs, outputs], tied head.

    GPT-BigCode (Li et al. 2023, StarCoder) is the same with one key-value head and weights stored the usual way.
    """
    one = {"kv_heads": 1} if not transposed and c.flag("multi_query", True) and not c.spec else {}
    c.ignore("num_key_value_heads")  # GPT-BigCode derives it from multi_query
    shared: dict[str, Any] = {"bias": True, "transposed": transposed or None} | one
    shared |= tree(dropout=rate(c, "attn_pdrop"), output_dropout=rate(c, "resid_pdrop"))
    feed = feed_forward(
        c, "mlp", "c_fc", "c_proj", transposed=transposed or None, activation=plain_activation(c), dropout=rate(c, "resid_pdrop")
    )
    layer = {
        "norm_1": norm("ln_1"),
        "attention": attention(c, "attn", fused="qkv", **shared) | {"names": {"qkv_proj": "c_attn", "o_proj": "c_proj"}},
        "norm_2": norm("ln_2"),
        "feed_forward": feed,
        "flow": PRE_NORM,
    }
    if c.flag("add_cross_attention"):
        if one:
            c.fail("add_cross_attention", "one key-value head (multi_query) has no cross attention")
        layer |= {"norm_cross": norm("ln_cross_attn"), "cross_attention": gpt2_cross(c, shared), "flow": crossed(PRE_NORM)}
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "wte"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "wpe"},
        **dropped(c, "embd_pdrop"),
        "layers": stack("h.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": norm("ln_f"),
    }
    return decoder(c, parts, lm_head(c), classify=gpt2_classifier)


def gpt2_cross(c: Config, shared: Tree) -> Tree:
    names = {"q_proj": "q_attn", "kv_proj": "c_attn", "o_proj": "c_proj"}
    return attention(c, "crossattention", fused="kv", source=c.size("hidden_size"), **shared) | {"names": names}


def crossed(flow: list[str]) -> list[str]:
    """A pre-norm flow with cross attention between its two steps."""
    return [flow[0], CROSS, *flow[1:]]


def gpt2_classifier(c: Config, task: str) -> Tree:
    """As usual, and a language model that also scores choices: one label, or the width where it is not projected."""
    if task != "double_heads":
        return classifier(c, task)
    if not c.flag("summary_use_proj", True):
        return lm_head(c)
    outputs = 1 if c.flag("summary_proj_to_labels", True) else c.size("hidden_size")
    return lm_head(c) | {"choice_head": dense_head("multiple_choice_head.summary", outputs)["head"]}


def imagegpt(c: Config) -> Tree:
    """ImageGPT (Chen et al. 2020): colours for words, norms without a mean or a bias, one logit less than the table has rows;
    a tied head takes the whole table."""
    task = "causal_lm" if c.architecture().endswith("ForCausalImageModeling") else c.task("base")
    c.serves = "sequence_classification" if task == "image_classification" else task
    made = gpt2(c, norm=rms)
    if task == "causal_lm":
        owner = "embedding" if c.flag("tie_word_embeddings") else None
        made["parts"]["head"] = tree(kind="head", path="lm_head", outputs=max(1, c.size("vocab_size") - (not owner)), tied=owner)
    return made


def decision_transformer(c: Config) -> Tree:
    """Decision Transformer (Chen et al. 2021): GPT-2 over returns, states and actions, each through a dense layer."""
    if c.task("base") != "base":
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    c.serves = "base"
    made = gpt2(c)
    sizes = {"return": 1, "state": c.size("state_dim"), "action": c.size("act_dim")}
    into = {f"{name}_in": {"kind": "dense", "path": f"embed_{name}", "inputs": size} for name, size in sizes.items()}
    paths = {"return": "predict_return", "state": "predict_state", "action": "predict_action.{}"}
    out = {f"{name}_out": {"kind": "dense", "path": paths[name], "outputs": size, "component": "head"} for name, size in sizes.items()}
    steps = {"kind": "embedding", "vocabulary": c.size("max_ep_len"), "path": "embed_timestep", "component": "position_embedding"}
    return made | {"parts": {"steps": steps, **into, "stream_norm": layer_norm("embed_ln"), **under("encoder.", made["parts"]), **out}}


def openai_gpt(c: Config) -> Tree:
    """GPT (Radford et al. 2018): norms behind each block and none at the end."""
    drop = rate(c, "resid_pdrop")
    activation = plain_activation(c, "afn")
    layer = {
        "attention": attention(c, "attn", fused="qkv", bias=True, transposed=True, dropout=rate(c, "attn_pdrop"), output_dropout=drop)
        | {"names": {"qkv_proj": "c_attn", "o_proj": "c_proj"}},
        "norm_1": layer_norm("ln_1"),
        # Its "gelu" is the tanh approximation that is called gelu_new elsewhere.
        "feed_forward": feed_forward(
            c, "mlp", "c_fc", "c_proj", transposed=True, dropout=drop, activation="gelu_new" if activation == "gelu" else activation
        ),
        "norm_2": layer_norm("ln_2"),
        "flow": POST_NORM,
    }
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "tokens_embed"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "positions_embed"},
        **dropped(c, "embd_pdrop"),
        "layers": stack("h.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
    }
    return decoder(c, parts, lm_head(c), classify=gpt2_classifier)


def ctrl(c: Config) -> Tree:
    """CTRL (Keskar et al. 2019): sinusoidal positions, split projections with biases, a head with a bias."""
    drop = rate(c, "resid_pdrop")
    names = {"q_proj": "Wq", "k_proj": "Wk", "v_proj": "Wv", "o_proj": "dense"}
    layer = {
        "norm_1": layer_norm("layernorm1"),
        "attention": attention(c, "multi_head_attention", checked=False, bias=True, output_dropout=drop) | {"names": names},
        "norm_2": layer_norm("layernorm2"),
        "feed_forward": feed_forward(c, "ffn", "{}", "{}", size=c.size("dff"), activation="relu", dropout=drop),
        "flow": PRE_NORM,
    }
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "w"},
        "position": {"type": "sinusoidal"},
        **dropped(c, "embd_pdrop"),
        "layers": stack("h.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layernorm"),
    }
    return decoder(c, parts, lm_head(c, bias=True), classify=partial(classifier, score="classifier"))


def gpt_neo(c: Config) -> Tree:
    """GPT-Neo (Black et al. 2021): no biases but the output's. Its local layers mask what is outside of `window_size`,
    yet keep all keys and values, so they are no windows here."""
    drop = rate(c, "resid_dropout")
    attend = attention(c, "attn.attention", bias=["o"], dropout=rate(c, "attention_dropout"), output_dropout=drop)
    layer = {
        "norm_1": layer_norm("ln_1"),
        "attention": attend | {"names": {"o_proj": "out_proj"}},
        "norm_2": layer_norm("ln_2"),
        "feed_forward": feed_forward(c, "mlp", "c_fc", "c_proj", activation=plain_activation(c), dropout=drop),
        "flow": PRE_NORM,
    }
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "wte"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "wpe"},
        **dropped(c, "embed_dropout"),
        "layers": stack("h.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("ln_f"),
    }
    return decoder(c, parts, lm_head(c))


FAMILIES = {
    "ctrl": ctrl,
    "decision_transformer": decision_transformer,
    "gpt2": gpt2,
    "gpt-sw3": gpt2,
    "gpt_bigcode": partial(gpt2, transposed=False),
    "gpt_neo": gpt_neo,
    "imagegpt": imagegpt,
    "openai-gpt": openai_gpt,
}
