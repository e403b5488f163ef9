"""The byte latent transformer: bytes in a small decoder, patches of bytes in a large one."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import LLAMA, attention, feed_forward, layer
from paramcalc.gate.families.recipes import Tree, document, rms, stack, tree, under, window_size


def dense(path: str, inputs: int, outputs: int) -> Tree:
    return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, bias=False)


def size(c: Config) -> int:
    """The network's size: as stated, else two thirds of four times the width, as Llama's."""
    return c.optional("intermediate_size") or 8 * c.size("hidden_size") // 3


def layers(c: Config, window: int | None = None) -> Tree:
    attend = attention(c, bias=False, own_dim=False, rounded=True) | tree(window=window)
    made = layer(LLAMA, rms, attend, feed_forward(c, bias=False, size=size(c)))
    return stack("layers.{}", {"layer": made}, f"{c.size('num_hidden_layers')} layer")


def cross(c: Config, default: bool) -> Tree:
    """Attention between bytes and patches, in every layer or once; queries and what keys come from are normed."""
    number = c.size("num_hidden_layers") if c.flag("cross_attn_all_layers", default) else 1
    width = c.size("hidden_size")
    block = attention(c, bias=False, own_dim=False, rounded=True) | {"path": "", "source": width}
    block.pop("rotary", None)
    parts = {"norm_q": rms("q_norm"), "norm_k": rms("k_norm"), "attention": block, "flow": ["norm_q attention +"]}
    return {"kind": "group", "path": "cross_attn_layers.{}", "repeat": number} | parts


def group(path: str, width: int, **parts: Tree | bool) -> Tree:
    return {"kind": "group", "path": path, "width": width} | parts


def patcher(c: Config) -> Tree:
    """A small model of bytes whose entropy says where patches end; frozen."""
    width, vocabulary = c.size("hidden_size"), c.size("vocab_size")
    inner = layers(c, window_size(c))
    parts = {
        "embedding": tree(vocabulary=vocabulary, path="embed_tokens"),
        "layers": inner,
        "norm": rms("norm"),
        "head": tree(path="lm_head", outputs=vocabulary),
    }
    return group("patcher", width, trainable=False, **parts)


def blt(c: Config) -> Tree:
    """BLT (Pagnoni et al. 2024). A tied head is one table with the bytes' embedding."""
    task = c.task("causal_lm")
    if task not in ("base", "causal_lm"):
        c.fail("architectures", f"{c.architecture()} is not modelled")
    encoder, decoder, large = c.part("encoder_config"), c.part("decoder_config"), c.part("global_config")
    inner, outer, width = encoder.size("hidden_size"), decoder.size("hidden_size"), large.size("hidden_size")
    large.ignore("encoder_cross_output_size")
    local, patches = c.optional("local_attention_window_len"), c.size("cross_attn_k")
    tied = task == "causal_lm" and c.flag("tie_word_embeddings")
    byte_table = tree(kind="embedding", path="embed_tokens", vocabulary=encoder.size("vocab_size"))
    if tied:
        byte_table |= {"vocabulary": c.size("vocab_size"), "size": outer}
    hashes = len(c.sizes("encoder_hash_byte_group_size", least=1) or [3, 4, 5, 6, 7, 8]) * c.size("encoder_hash_byte_group_nb_functions")
    parts: Tree = {
        "hashes": tree(
            kind="embedding", path="encoder_hash_tok_embedding", vocabulary=hashes * c.size("encoder_hash_byte_group_vocab"), size=inner
        ),
        "encoder": group(
            "local_encoder",
            inner,
            embedding=byte_table,
            layers=layers(encoder, local),
            projection=dense("patch_embedding_projection", inner, inner * encoder.size("cross_attn_k")),
            cross=cross(encoder, False),
        ),
        "patches": group(
            "global_transformer",
            width,
            **({"projection": dense("token_embedding_projection", inner * patches, width)} if inner * patches != width else {}),
            layers=layers(large),
        ),
        "decoder": group(
            "local_decoder",
            outer,
            projection=dense("patch_embedding_projection", decoder.size("hidden_size_global"), outer * decoder.size("cross_attn_k")),
            cross=cross(decoder, True),
            layers=layers(decoder, local),
            norm=rms("norm"),
        ),
    }
    if c.flag("patch_in_forward", True):
        parts["patcher"] = patcher(c.part("patcher_config"))
    if task == "causal_lm":
        parts = under("model.", parts)
        parts["head"] = tree(path="lm_head", inputs=outer, outputs=c.size("vocab_size"), tied="encoder.embedding" if tied else None)
    return document(c, parts, width=width)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"blt": blt}
