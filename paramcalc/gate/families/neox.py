"""Decoders between GPT-2 and Llama: fused or split projections, rotary positions or linear biases, parallel blocks."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.gpt import attention, classifier, decoder, feed_forward, lm_head
from paramcalc.gate.families.recipes import (
    PARALLEL,
    PARALLEL_TWO_NORMS,
    PRE_NORM,
    Tree,
    dropped,
    layer_norm,
    plain_activation,
    rate,
    stack,
    tree,
)

FUSED = {"qkv_proj": "query_key_value", "o_proj": "dense"}
MEGATRON = ("attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion", "n_inner", "offset_alibi", "seq_length",
            "skip_bias_add", "skip_bias_add_qkv")  # fmt: skip
"""Keys of BLOOM's training code that its published configs still hold; the reference does not read them."""
AFTER_NORM = ["norm_1", "attention +", "norm_2", "feed_forward +"]
"""Norms in the stream itself: what is added is the stream behind the norm (BLOOM's option)."""


def body(c: Config, layers: Tree, *, embed: str, norm: str, extra: Tree | None = None, **norms: bool) -> Tree:
    """Token table, what follows it, layers, final norm."""
    embedding = {"vocabulary": c.size("vocab_size"), "path": embed}
    return {"embedding": embedding, **(extra or {}), "layers": layers, "norm": layer_norm(norm, **norms)}


def gpt_neox(c: Config) -> Tree:
    """GPT-NeoX (Black et al. 2022): both blocks on the stream, each behind its own norm, summed."""
    drop = rate(c, "hidden_dropout")
    layer = {
        "norm_1": layer_norm("input_layernorm"),
        "attention": attention(
            c,
            "attention",
            fused="qkv",
            bias=c.flag("attention_bias", True) or None,
            rotary=True,
            dropout=rate(c, "attention_dropout"),
            output_dropout=drop,
        )
        | {"names": FUSED},
        "norm_2": layer_norm("post_attention_layernorm"),
        "feed_forward": feed_forward(
            c, "mlp", "dense_h_to_4h", "dense_4h_to_h", size=c.size("intermediate_size"), activation=plain_activation(c), dropout=drop
        ),
        "flow": PARALLEL_TWO_NORMS if c.flag("use_parallel_residual", True) else PRE_NORM,
    }
    layers = stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    parts = body(c, layers, embed="embed_in", norm="final_layer_norm", extra=dropped(c, "hidden_dropout"))
    return decoder(c, parts, lm_head(c, tie=False), base="gpt_neox")


def gpt_neox_japanese(c: Config) -> Tree:
    """GPT-NeoX Japanese: no biases, but for the attention output of the last layer."""
    drop, count = rate(c, "hidden_dropout"), c.size("num_hidden_layers")
    width = c.size("hidden_size")
    drops = {"dropout": rate(c, "attention_dropout"), "output_dropout": drop}
    attend = attention(c, "attention", checked=False, fused="qkv", rotary=True, **drops)
    size = int(width * c.number("intermediate_multiple_size", 4))
    feed = feed_forward(c, "mlp", "dense_h_to_4h", "dense_4h_to_h", size=size, bias=False, activation=plain_activation(c), dropout=drop)
    layer = {
        "norm_1": layer_norm("input_layernorm"),
        "attention": attend | {"names": FUSED},
        "norm_2": layer_norm("post_attention_layernorm"),
        "feed_forward": feed,
        "flow": PRE_NORM,
    }
    last = layer | {"attention": attend | {"bias": ["o"], "names": FUSED | {"o_proj.bias": "dense_bias"}}}
    order = f"{count - 1} layer, last" if count > 1 else "last"
    layers = stack("layers.{}", {"layer": layer, "last": last}, order)
    parts = body(c, layers, embed="embed_in", norm="final_layer_norm")
    return decoder(c, parts, lm_head(c, "embed_out"), base="gpt_neox_japanese")


def gptj(c: Config, *, fused: bool = False) -> Tree:
    """GPT-J (Wang & Komatsuzaki 2021): both blocks behind one norm, biases in the feed-forward and the head only.

    CodeGen (Nijkamp et al. 2022) is the same with one matrix for queries, keys and values.
    """
    drop = rate(c, "resid_pdrop")
    attend = attention(c, "attn", fused="qkv" if fused else None, rotary=True, dropout=rate(c, "attn_pdrop"), output_dropout=drop)
    layer = {
        "norm": layer_norm("ln_1"),
        "attention": attend | {"names": {"o_proj": "out_proj"}},
        "feed_forward": feed_forward(c, "mlp", "fc_in", "fc_out", activation=plain_activation(c), dropout=drop),
        "flow": ["norm (attention | feed_forward) +"],
    }
    layers = stack("h.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    parts = body(c, layers, embed="wte", norm="ln_f", extra=dropped(c, "embd_pdrop"))
    return decoder(c, parts, lm_head(c, tie=False, bias=True), classify=partial(classifier, answers=None))


def bloom(c: Config) -> Tree:
    """BLOOM (Le Scao et al. 2022): linear biases for positions, a norm behind the token table."""
    c.also("hidden_size", "n_embed")
    c.ignore(*MEGATRON)
    drop, width = rate(c, "hidden_dropout"), c.size("hidden_size")
    attend = attention(c, "self_attention", fused="qkv", bias=True, dropout=rate(c, "attention_dropout"), output_dropout=drop)
    layer = {
        "norm_1": layer_norm("input_layernorm"),
        "attention": attend | {"names": FUSED},
        "norm_2": layer_norm("post_attention_layernorm"),
        # Its own GELU is the tanh approximation, with a backward pass that needs the input alone.
        "feed_forward": feed_forward(
            c, "mlp", "dense_h_to_4h", "dense_4h_to_h", size=4 * width, activation="gelu_pytorch_tanh", dropout=drop
        ),
        "flow": AFTER_NORM if c.flag("apply_residual_connection_post_layernorm") else PRE_NORM,
    }
    layers = stack("h.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    extra = {"embedding_norm": layer_norm("word_embeddings_layernorm"), "position": {"type": "alibi"}}
    return decoder(c, body(c, layers, embed="word_embeddings", norm="ln_f", extra=extra), lm_head(c))


def falcon(c: Config) -> Tree:
    """Falcon (Almazrouei et al. 2023): one key-value head, or groups of them in the newer form; blocks in parallel."""
    c.also("hidden_size", "n_embed")
    new, drop, bias = c.flag("new_decoder_architecture"), rate(c, "hidden_dropout"), c.flag("bias") or None
    width, number, stated = c.size("hidden_size"), c.size("num_attention_heads"), c.optional("num_key_value_heads")
    # A config counts its key-value heads in the newer form only; a spec that states them means them.
    kv_heads = (stated or number) if new or (c.spec and stated) else 1 if c.flag("multi_query", True) else number
    if width % number:
        c.fail("num_attention_heads", f"({number}) does not divide hidden_size ({width})")
    attend = tree(
        kind="attention",
        path="self_attention",
        heads=number,
        kv_heads=kv_heads,
        head_dim=max(1, width // number),
        fused="qkv",
        bias=bias,
        rotary=not c.flag("alibi") or None,
        dropout=rate(c, "attention_dropout"),
        output_dropout=drop,
    )
    feed = feed_forward(
        c, "mlp", "dense_h_to_4h", "dense_4h_to_h", size=c.optional("ffn_hidden_size") or 4 * width,
        activation=plain_activation(c, "activation"), dropout=drop,
    )  # fmt: skip
    blocks = {"attention": attend | {"names": FUSED}, "feed_forward": feed | {"bias": bool(bias)}}
    layers = stack("h.{}", {"layer": blocks | falcon_norms(c, new)}, f"{c.size('num_hidden_layers')} layer")
    extra = {"position": {"type": "alibi"}} if c.flag("alibi") else {}
    return decoder(c, body(c, layers, embed="word_embeddings", norm="ln_f", extra=extra), lm_head(c))


def falcon_norms(c: Config, new: bool) -> Tree:
    """Its norms and the stream through them: one for both blocks, one each, or one before each block in turn."""
    if not c.flag("parallel_attn", True):
        norms = {"norm_1": layer_norm("input_layernorm"), "norm_2": layer_norm("post_attention_layernorm")}
        return norms | {"flow": PRE_NORM}
    count = c.optional("num_ln_in_parallel_attn", least=0)
    if (2 if count is None and new else count) == 2:
        return {"norm_1": layer_norm("ln_attn"), "norm_2": layer_norm("ln_mlp"), "flow": PARALLEL_TWO_NORMS}
    return {"norm_1": layer_norm("input_layernorm"), "flow": PARALLEL}


def mpt(c: Config) -> Tree:
    """MPT (MosaicML 2023) as the reference builds it, whatever the config says of biases, norms or the feed-forward's
    factor: no biases, linear biases for positions, a feed-forward of four times the width."""
    width, inner = c.size("hidden_size"), c.part("attn_config")
    drop = rate(inner, "attn_pdrop")
    names = {"qkv_proj": "Wqkv", "o_proj": "out_proj"}
    layer = {
        "norm_1": layer_norm("norm_1", bias=False),
        "attention": attention(c, "attn", checked=False, fused="qkv", dropout=drop, output_dropout=drop) | {"names": names},
        "norm_2": layer_norm("norm_2", bias=False),
        "feed_forward": tree(kind="feed_forward", path="ffn", size=4 * width, gated=False, activation="gelu", dropout=drop),
        "flow": PRE_NORM,
    }
    layers = stack("blocks.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    c.ignore("attn_config")
    parts = body(c, layers, embed="wte", norm="norm_f", extra={"position": {"type": "alibi"}}, bias=False)
    return decoder(c, parts, lm_head(c)) | tree(context=c.optional("max_seq_len"))


FAMILIES = {
    "bloom": bloom,
    "codegen": partial(gptj, fused=True),
    "falcon": falcon,
    "gpt_neox": gpt_neox,
    "gpt_neox_japanese": gpt_neox_japanese,
    "gptj": gptj,
    "mpt": mpt,
}
