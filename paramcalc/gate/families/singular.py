"""Dense decoders of Llama's kin that need a recipe of their own: Doge, ModernBERT as a decoder."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import LLAMA, Layout, attention, decoder, everywhere, feed_forward, layer
from paramcalc.gate.families.recipes import (
    PRE_NORM,
    Tree,
    document,
    heads,
    labels,
    layer_norm,
    layered,
    learned_activation,
    tied,
    tree,
    window_size,
    windows,
)


def doge(c: Config) -> Tree:
    """Doge (Shi et al. 2024): values make a mask for each key head, residuals have gains, and with `is_moe` experts are
    found by product keys beside the network."""
    width = c.size("hidden_size")

    def vector(name: str, size: int, component: str) -> Tree:
        return tree(kind="tensor", shape=[size], path=name, component=component)

    def beside(c: Config, *_: str) -> Tree:
        attend = attention(c)
        kv_heads = int(attend.get("kv_heads") or attend["heads"])
        bias, inputs = c.flag("attention_bias"), kv_heads * attend["head_dim"]
        step = tree(kind="dense", path="self_attn.dt_proj", inputs=inputs, outputs=kv_heads, bias=bias, component="attention")
        parts = {"decay": vector("self_attn.A", kv_heads, "attention"), "decay_step": step}
        parts |= {f"{name}_gain": vector(f"{name}_residual", width, "other") for name in ("input", "post_attention")}
        if c.flag("is_moe"):
            names = {"router": "router_gate"}
            parts["retrieval"] = tree(
                kind="product_keys", path="mlp", count=c.size("num_experts"), visited=c.size("num_experts_per_tok"), names=names
            )
        return parts

    flow = ["norm_1 attention +", "norm_2 (feed_forward | retrieval) +"] if c.flag("is_moe") else PRE_NORM

    def attend(c: Config, word: str) -> Tree:
        return attention(c, word, qk_norm="head")

    return decoder(c, attend=attend, sees=everywhere, layout=Layout(LLAMA.norms, flow), beside=beside)


def modernbert_decoder(c: Config) -> Tree:
    """ModernBERT as a decoder (Weller et al. 2025): layer norms without biases, none before the first attention, gate and
    up in one matrix; the head has a dense layer and a norm of its own."""
    bias = c.flag("norm_bias")

    def normed(path: str) -> Tree:
        return layer_norm(path, bias=bias)

    def build(place: str, sight: str) -> Tree:
        attend = tree(kind="attention", path="attn", **heads(c, own_dim=False), bias=c.flag("attention_bias") or None, rotary=True)
        attend.pop("kv_heads", None)
        window = window_size(c) or (c.optional("local_attention") or 0) // 2
        attend |= tree(window=window or None if sight == "local" else None, dropout=c.number("attention_dropout") or None)
        attend["names"] = {"o_proj": "Wo"}
        feed = feed_forward(c, fused=True, dropout=c.number("mlp_dropout") or None, names={"gate_up_proj": "Wi", "down_proj": "Wo"})
        made = layer(Layout(("attn_norm", "mlp_norm"), PRE_NORM), normed, attend, feed)
        made |= learned_activation(str(feed.get("activation")), "mlp.act")
        if place == "first":
            made.pop("norm_1")
            made["flow"] = ["attention +", PRE_NORM[1]]
        return made

    period = c.optional("global_attn_every_n_layers") or 3
    seen = windows(c, lambda index: index % period != 0)
    layers = layered("layers.{}", [["first", *["later"] * (len(seen) - 1)], seen], build)
    task = c.task("causal_lm")
    prefix = "" if task == "base" else "model."
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": f"{prefix}embeddings.tok_embeddings"},
        "embedding_norm": normed(f"{prefix}embeddings.norm"),
        "layers": layers | {"path": f"{prefix}layers.{{}}"},
        "norm": normed(f"{prefix}final_norm"),
    }
    return document(c, parts | modernbert_head(c, task, normed))


def modernbert_head(c: Config, task: str, normed: Callable[[str], Tree]) -> Tree:
    """The head of a task: a dense layer and a norm, then logits over tokens or classes."""
    if task == "base":
        return {}
    if task not in ("causal_lm", "sequence_classification"):
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    path = "lm_head" if task == "causal_lm" else "head"
    activation, bias = c.text("classifier_activation", "gelu"), c.flag("classifier_bias")
    dense = tree(kind="dense", path=f"{path}.dense", bias=bias, activation=activation, component="head")
    before = {"head_dense": dense, "head_norm": normed(f"{path}.norm")}
    if task == "sequence_classification":
        return before | {"head": tree(kind="dense", path="classifier", outputs=labels(c), bias=bias, component="head")}
    vocabulary, biased = c.size("vocab_size"), c.flag("decoder_bias", True) or None
    return before | {"head": tree(kind="head", path="decoder", outputs=vocabulary, bias=biased, tied=tied(c, "embedding", True))}


FAMILIES: dict[str, Callable[[Config], Tree]] = {"doge": doge, "modernbert-decoder": modernbert_decoder}
