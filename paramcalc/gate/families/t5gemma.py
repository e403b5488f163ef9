"""T5Gemma: encoder-decoders made of two Gemmas."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.bridges import soft_tokens
from paramcalc.gate.families.composite import projector
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.nesting import tower
from paramcalc.gate.families.recipes import (
    SANDWICH,
    Tree,
    document,
    dropped,
    heads,
    labels,
    layered,
    plain_activation,
    rate,
    rms,
    tree,
    under,
    window_size,
    windows,
)

CROSSED = [SANDWICH[0], "norm_cross cross_attention norm_after_cross +", SANDWICH[1]]


def attention(c: Config, path: str, drop: float | None, **fields: Any) -> Tree:
    cap = c.number("attn_logit_softcapping") or None
    own = tree(kind="attention", path=path, **heads(c), bias=c.flag("attention_bias") or None, softcap=cap, dropout=drop)
    return own | tree(**fields)


def layers(c: Config, outer: Config, *, period: int, cross: int | None = None, merged: bool = False, **fields: Any) -> Tree:
    """Gemma's layers, every `period`-th of which sees everything; with cross attention to a source of width `cross`."""
    drop, residual = rate(outer, "attention_dropout"), rate(outer, "dropout_rate")

    def build(word: str) -> Tree:
        window = window_size(c) if word == "local" else None
        norm = "pre_self_attn_layernorm", "post_self_attn_layernorm"
        attend = attention(c, "self_attn", drop, window=window, rotary=True, output_dropout=residual, merged=merged or None, **fields)
        parts = {"norm_1": rms(norm[0]), "attention": attend, "norm_2": rms(norm[1])}
        if cross:
            reads = attention(c, "cross_attn", drop, source=cross, output_dropout=residual)
            parts |= {"norm_cross": rms("pre_cross_attn_layernorm"), "cross_attention": reads}
            parts |= {"norm_after_cross": rms("post_cross_attn_layernorm")}
        feed = tree(
            kind="feed_forward",
            path="mlp",
            size=c.size("intermediate_size"),
            activation=plain_activation(c, "hidden_activation", "gelu_pytorch_tanh"),
            dropout=residual,
        )
        parts |= {"norm_3": rms("pre_feedforward_layernorm"), "feed_forward": feed, "norm_4": rms("post_feedforward_layernorm")}
        return parts | {"flow": CROSSED if cross else SANDWICH}

    every = c.optional("sliding_window_pattern") or period
    return layered("layers.{}", [windows(c, lambda index: (index + 1) % every != 0)], build)


def half(c: Config, outer: Config, path: str, stacked: Tree, *, source: bool = False) -> Tree:
    c.ignore("dropout_rate")  # the class around it writes its own over that
    table = {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"}
    parts = {"embedding": table, **dropped(outer, "dropout_rate"), "layers": stacked, "norm": rms("norm")}
    about: Tree = {"path": path, "width": c.size("hidden_size")} | ({"tokens": "source", "cache": False} if source else {})
    return about | parts


def t5gemma(c: Config) -> Tree:
    """T5Gemma (Zhang et al. 2025): two Gemma 2 of any widths, the second with cross attention; or the first alone."""
    first, second, task = c.part("encoder"), c.part("decoder"), c.task("generation")
    alone = task == "encoder" or (task.endswith("_classification") and not c.flag("is_encoder_decoder", True))
    width = first.size("hidden_size")
    parts = {"encoder": half(first, c, "encoder", layers(first, c, period=2), source=True)}
    outer = first if alone else second
    if not alone:
        parts["decoder"] = half(second, c, "decoder", layers(second, c, period=2, cross=width))
    return headed(c, outer, parts, task, "decoder.embedding")


def headed(c: Config, outer: Config, parts: Tree, task: str, owner: str) -> Tree:
    """Both halves and the head of the task; the logits of T5Gemma are bounded as Gemma 2's are."""
    about = {"width": outer.size("hidden_size"), "context": outer.optional("max_position_embeddings")}
    if task in ("base", "encoder"):
        return document(c, parts, **about)
    if task == "generation":
        head = tree(
            kind="head",
            path="lm_head.out_proj",
            outputs=outer.size("vocab_size"),
            tied=owner if c.flag("tie_word_embeddings", True) else None,
            softcap=outer.number("final_logit_softcapping") or None,
        )
        return document(c, under("model.", parts) | {"head": head}, **about)
    if task not in ("sequence_classification", "token_classification"):
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return document(c, under("model.", parts) | dense_head("score.out_proj", labels(c)), **about)


def t5gemma2(c: Config) -> Tree:
    """T5Gemma 2 (Zhang et al. 2025): two Gemma 3, the first with an image encoder; the second's attention reads its own
    tokens and the first's output through the same projections. A vector for the end of an image stands beside each table."""
    whole, second, task = c.part("encoder"), c.part("decoder"), c.task("generation")
    words, pictures = whole.part("text_config"), whole.part("vision_config")
    width = words.size("hidden_size")
    if width != second.size("hidden_size") or words.size("vocab_size") != second.size("vocab_size"):
        c.fail("decoder", "both halves have the same width and vocabulary")
    made = partial(layers, outer=c, period=6, qk_norm="head")
    text = half(words, c, "encoder.text_model", made(words), source=True)
    decoder = half(second, c, "decoder", made(second, merged=True))
    end = {"kind": "tensor", "shape": [width], "path": "embed_tokens.eoi_embedding", "component": "embedding"}
    text["end_of_image"] = end
    if c.flag("tie_word_embeddings", True):
        decoder["embedding"] = decoder["embedding"] | {"tied": "encoder.embedding"}
    else:
        decoder["end_of_image"] = end
    parts = tower(pictures, "vision", "encoder.vision_tower")
    bridge = soft_tokens(c, pictures.size("hidden_size"), width)
    parts["projector"] = projector("encoder.multi_modal_projector", bridge)
    return headed(c, second, parts | {"encoder": text, "decoder": decoder}, task, "encoder.embedding")


FAMILIES = {"t5gemma": t5gemma, "t5gemma2": t5gemma2}
