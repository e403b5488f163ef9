"""DeepSeek-OCR 2 and Unlimited-OCR: SAM's encoder before a second one, and a mixture of experts that reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.clip import vision_encoder
from paramcalc.gate.families.composite import dense, image_text
from paramcalc.gate.families.llama import attention, decoder, feed_forward
from paramcalc.gate.families.mixtures import SPARSE, mixture
from paramcalc.gate.families.nesting import nested
from paramcalc.gate.families.recipes import Tree, depth, document, tree
from paramcalc.gate.families.texts import QWEN2
from paramcalc.gate.families.vision import refuse, token

QUERIES = {"query_768_resolution": 144, "query_1024_resolution": 256}
"""Rows of DeepSeek-OCR 2's tables of queries, for two resolutions; fixed in the reference's code."""


def feeds(c: Config, *, first: int | None = None) -> list[str]:
    """By `mlp_layer_types`, of which only as many words count as there are layers; else dense for the `first`."""
    stated, layers = c.listed("mlp_layer_types"), depth(c)
    if stated is None and first is None:
        c.fail("mlp_layer_types", "missing", "give a word for each layer")
    words = stated or [
        "dense" if index < (c.optional("first_k_dense_replace", least=0) or first or 0) else "sparse" for index in range(layers)
    ]
    if len(words) < layers or not all(isinstance(word, str) and word in SPARSE for word in words):
        c.fail("mlp_layer_types", f"expected `dense` or `sparse` for each of {layers} layers")
        return ["dense"] * layers
    return words[:layers]


def text(c: Config, *, first: int | None = None) -> Tree:
    """DeepSeek-V2's experts with plain attention."""
    bias = c.flag("mlp_bias") or None
    shared: Tree = {"shared": "n_shared_experts", "shared_fields": tree(bias=bias)}
    experts = partial(mixture, **shared) if c.zero_or("n_shared_experts") else mixture
    return decoder(
        c, attend=partial(attention, own_dim=False), feed=feed_forward, experts=experts, feeds=partial(feeds, first=first), sees=everything
    )


def everything(c: Config) -> list[str]:
    """Every layer keeps all tokens: a window here leaves the image's tokens in sight."""
    c.ignore("sliding_window", "layer_types")
    return ["global"] * depth(c)


def causal_encoder(c: Config) -> Tree:
    """Qwen 2's layers over the image's tokens, without a table of their own."""
    whole = QWEN2(c)
    return whole | {"parts": {name: part for name, part in whole["parts"].items() if name != "embedding"}, "cache": False}


def clip_encoder(c: Config) -> Tree:
    """CLIP's layers over another encoder's map: no patches of their own and no norm at the end."""
    whole = vision_encoder(c)
    return whole | {"parts": {name: part for name, part in whole["parts"].items() if name not in ("patches", "norm")}}


def two_encoders(c: Config, *, queries: bool = True) -> Tree:
    """SAM's encoder, then the other; DeepSeek-OCR 2's second one reads by queries."""
    inner = c.part("encoder_config")
    width = inner.size("hidden_size")
    parts = nested(c.part("sam_config"), "sam", "sam_encoder") | nested(inner, "encoder", "vision_encoder")
    if queries:
        parts |= {name: {"kind": "embedding", "vocabulary": rows, "size": width, "path": name} for name, rows in QUERIES.items()}
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, width=width, cache=False)


def one_of_both(c: Config, _: int, width: int) -> Tree:
    """A dense layer on both encoders' maps side by side."""
    v = c.part("vision_config")
    channels = v.part("sam_config").sizes("downsample_channels", least=1) or [1]
    return {"linear": dense("", channels[-1] + v.part("encoder_config").size("hidden_size"), width)}


def one_of_second(c: Config, _: int, width: int) -> Tree:
    return {"linear": dense("", c.part("vision_config").part("encoder_config").size("hidden_size"), width)}


def separators(names: tuple[str, ...], _: Config, width: int) -> Tree:
    return {name: token(name, width) for name in names}


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "deepseek_ocr2": partial(image_text, bridge=one_of_second, beside=partial(separators, ("view_separator",))),
    "deepseek_ocr2_encoder": causal_encoder,
    "deepseek_ocr2_text": text,
    "deepseek_ocr2_vision": two_encoders,
    "unlimited_ocr": partial(image_text, bridge=one_of_both, beside=partial(separators, ("view_separator", "image_newline"))),
    "unlimited_ocr_text": partial(text, first=1),
    "unlimited_ocr_vision": partial(two_encoders, queries=False),
    "unlimited_ocr_vision_encoder": clip_encoder,
}
