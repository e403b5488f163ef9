"""Pieces that families are put together from: each returns a part, or parts, of the full form as plain mappings."""

from __future__ import annotations

from typing import Any

from paramcalc.gate.config import Config

Tree = dict[str, Any]

PRE_NORM = ["norm_1 attention +", "norm_2 feed_forward +"]
"""The stream of a pre-norm layer (Xiong et al. 2020)."""
POST_NORM = ["attention + norm_1", "feed_forward + norm_2"]
"""The stream of a post-norm layer (Vaswani et al. 2017)."""
SANDWICH = ["norm_1 attention norm_2 +", "norm_3 feed_forward norm_4 +"]
"""Norms before and after each block, inside the residual branch (Gemma 2)."""
PARALLEL = ["norm_1 (attention | feed_forward) +"]
"""One norm, both blocks on its output, one sum (GPT-J)."""
PARALLEL_TWO_NORMS = ["(norm_1 attention | norm_2 feed_forward) +"]
"""A norm for each block, both on the stream, one sum (GPT-NeoX)."""


def tree(**fields: Any) -> Tree:
    """A mapping without the fields that say nothing: None, an empty list or mapping."""
    return {key: value for key, value in fields.items() if value is not None and value != {} and value != []}


def rms(path: str, **fields: Any) -> Tree:
    return tree(kind="norm", type="rms", path=path, **fields)


def layer_norm(path: str, **fields: Any) -> Tree:
    return tree(kind="norm", type="layer", path=path, **fields)


def heads(c: Config) -> Tree:
    """Heads, KV heads and head_dim as most configs state them: KV heads default to heads, head_dim to width / heads."""
    number = c.size("num_attention_heads")
    kv_heads = c.optional("num_key_value_heads")
    if kv_heads and number % kv_heads:
        c.fail("num_key_value_heads", f"({kv_heads}) does not divide num_attention_heads ({number})")
        kv_heads = None
    head_dim = c.optional("head_dim")
    width = c.size("hidden_size")
    if head_dim is None and width % number and not c.root.problems:
        c.fail("num_attention_heads", f"({number}) does not divide hidden_size ({width})", "give head_dim")
    return tree(heads=number, kv_heads=kv_heads, head_dim=head_dim or max(1, width // number))


def labels(c: Config, default: int = 2) -> int:
    """How many classes a classifier tells apart: the size of `id2label`, else `num_labels`."""
    named = c.value("id2label")
    if isinstance(named, dict) and named:
        return len(named)
    return c.optional("num_labels") or c.optional("_num_labels") or default


def tied(c: Config, owner: str, default: bool = True) -> str | None:
    """The tie of a head: the part that owns the matrix where `tie_word_embeddings` holds."""
    return owner if c.flag("tie_word_embeddings", default) else None


def stack(path: str, kinds: dict[str, Tree], order: str, **fields: Any) -> Tree:
    """Layers: kinds and the order they stand in."""
    used = {kind: layer for kind, layer in kinds.items() if kind in order}
    return tree(path=path, **fields) | {"kinds": used, "order": order}


def document(c: Config, parts: Tree, **fields: Any) -> Tree:
    """The full form of a model whose stream has the config's width."""
    about = tree(
        model_type=c.model_type,
        context=c.optional("max_position_embeddings"),
        dtype=c.text("dtype") or c.text("torch_dtype") or None,
        quantization=c.value("quantization_config"),
    )
    return about | tree(**fields) | {"width": c.size("hidden_size"), "parts": tree(**parts)}


def decoder_parts(
    c: Config,
    layers: Tree,
    norm: Tree | None,
    *,
    base: str = "model",
    embed: str = "embed_tokens",
    extra: Tree | None = None,
    head: str = "lm_head",
    head_bias: bool = False,
    tie: bool = False,
) -> Tree:
    """A decoder: token table, what else is added to it (`extra`), layers, final norm, and the head its task asks for.

    Paths are those below the base model; with a head they gain the prefix `base`.
    """
    task = c.task("causal_lm")
    prefix = "" if task == "base" else f"{base}."
    vocabulary = c.size("vocab_size")
    parts: Tree = {"embedding": {"vocabulary": vocabulary, "path": embed}, **(extra or {}), "layers": layers}
    if norm:
        parts["norm"] = norm
    parts = {name: part | {"path": prefix + part["path"]} for name, part in parts.items()}
    return parts | task_head(
        c, task, head=tree(kind="head", path=head, outputs=vocabulary, bias=head_bias or None, tied=tied(c, "embedding", tie))
    )


def task_head(c: Config, task: str, head: Tree) -> Tree:
    """The head of a decoder by its task; classifiers as the reference's generic ones have them."""
    if task == "base":
        return {}
    if task == "sequence_classification":
        return {"head": tree(kind="dense", path="score", outputs=labels(c), bias=False, component="head")}
    if task == "token_classification":
        return {"head": tree(kind="dense", path="score", outputs=labels(c), bias=True, component="head")}
    if task == "question_answering":
        return {"head": tree(kind="dense", path="qa_outputs", outputs=2, bias=True, component="head")}
    if task not in ("causal_lm", "generation"):
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return {"head": head}
