"""Decoders that differ from Llama by biases, norms, a fused or plain network, or by names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import (
    COHERE,
    OLMO2,
    PLAIN,
    QKV,
    UNBIASED,
    Layout,
    attention,
    begins,
    decoder,
    ends,
    everywhere,
    feed_forward,
    late,
)
from paramcalc.gate.families.recipes import PARALLEL, PRE_NORM, SANDWICH, Tree, layer_norm, rms, window_size, windows

NAMED: Tree = {"qk_norm": "head", "names": {"q_norm": "query_layernorm", "k_norm": "key_layernorm"}}
"""Norms of queries and keys under HunYuan's names."""
GLM4 = Layout(("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm"), SANDWICH)
CLOVA = Layout(("input_layernorm", "post_norm1", "post_attention_layernorm", "post_norm2"), SANDWICH)
APERTUS = Layout(("attention_layernorm", "feedforward_layernorm"), PRE_NORM)
FC = {"up_proj": "fc1", "down_proj": "fc2"}

UNGATED = partial(feed_forward, gated=False)
FUSED = partial(feed_forward, bias=False, fused=True)
BARE = partial(rms, scale=False)
HEAD_NORM = partial(attention, qk_norm="head")
BIASED = partial(feed_forward, bias=True, gated=False)

plain = partial(decoder, feed=PLAIN)


def starcoder2_feed(c: Config) -> Tree:
    return feed_forward(c, bias="use_bias", gated=False, names={"up_proj": "c_fc", "down_proj": "c_proj"})


def exaone4_windows(c: Config) -> list[str]:
    """Every `sliding_window_pattern`-th layer sees all; without a window all do."""
    period = (c.optional("sliding_window_pattern", least=0) if window_size(c) else 0) or 1
    return windows(c, lambda index: (index + 1) % period != 0)


def hyperclovax(c: Config) -> Tree:
    """HyperCLOVA X: Llama with norms behind both blocks where `use_post_norm` says so."""
    return decoder(c, layout=CLOVA) if c.flag("use_post_norm") else decoder(c)


def bitnet(c: Config) -> Tree:
    """BitNet b1.58 (Wang et al. 2025): a norm before the output projection and one before the down projection."""
    inner = {
        "attention_norm": rms("self_attn.attn_sub_norm"),
        "feed_forward_norm": rms("mlp.ffn_sub_norm", size=c.size("intermediate_size")),
    }
    flow = ["norm_1 attention attention_norm +", "norm_2 feed_forward feed_forward_norm +"]
    return plain(c, layout=Layout(("input_layernorm", "post_attention_layernorm"), flow), beside=lambda *_: inner)


def stablelm(c: Config) -> Tree:
    """StableLM: layer norms; both blocks on one norm with `use_parallel_residual`; a norm per head with `qk_layernorm`."""
    names = {"q_norm": "q_layernorm.norms.{}", "k_norm": "k_layernorm.norms.{}"}
    normed: Tree = {"qk_norm": "each", "qk_norm_type": "layer", "names": names} if c.flag("qk_layernorm") else {}
    attend = partial(attention, bias="use_qkv_bias", out_bias=False, own_dim=False, **normed)
    flow = PARALLEL if c.flag("use_parallel_residual") else PRE_NORM
    layout = COHERE if flow is PARALLEL else Layout(("input_layernorm", "post_attention_layernorm"), flow)
    return plain(c, attend=attend, layout=layout, norm=layer_norm)


def phi_attention(c: Config, word: str, *, fused: bool = False) -> Tree:
    """Phi and Persimmon: biases everywhere, layer norms of queries and keys with `qk_layernorm`."""
    normed: Tree = {"qk_norm": "head", "qk_norm_type": "layer", "qk_norm_bias": True} if c.flag("qk_layernorm") else {}
    names = {"o_proj": "dense"}
    if normed:
        names |= {"q_norm": "q_layernorm", "k_norm": "k_layernorm"}
    if fused:
        return attention(c, word, bias=True, own_dim=False, fused="qkv", names=names | {"qkv_proj": "query_key_value"}, **normed)
    return attention(c, word, bias=True, names=names, **normed)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "apertus": partial(decoder, attend=HEAD_NORM, feed=partial(feed_forward, bias=False, gated=False), layout=APERTUS),
    "bitnet": bitnet,
    "diffllama": partial(plain, attend=partial(attention, differential=True), qa_base="transformer"),
    "exaone4": partial(plain, attend=partial(UNBIASED, qk_norm="head"), sees=exaone4_windows, layout=OLMO2, qa_base="transformer"),
    "glm": partial(decoder, attend=partial(attention, out_bias=False), feed=FUSED),
    "glm4": partial(decoder, attend=partial(attention, out_bias=False), feed=FUSED, layout=GLM4),
    "granite_swa": partial(decoder, attend=partial(attention, sinks=True), sees=partial(begins, period=4), tie=True),
    "hunyuan_v1_dense": partial(plain, attend=partial(attention, **NAMED)),
    "hyperclovax": hyperclovax,
    "jais2": partial(decoder, feed=UNGATED, norm=layer_norm),
    "nanochat": partial(
        decoder,
        attend=partial(attention, qk_norm="head", qk_norm_gain=False, norm_last=True),
        feed=partial(feed_forward, bias=False, gated=False, names=FC),
        norm=BARE,
        extra={"embedding_norm": BARE("norm")},
    ),
    "nemotron": partial(decoder, feed=UNGATED, norm=layer_norm, qa_base="transformer"),
    "olmo": partial(plain, norm=partial(layer_norm, scale=False, bias=False)),
    "olmo2": partial(plain, attend=partial(attention, qk_norm="full"), layout=OLMO2),
    "olmo3": partial(plain, attend=partial(attention, qk_norm="full"), sees=partial(ends, period=4), layout=OLMO2),
    "persimmon": partial(
        decoder,
        attend=partial(phi_attention, fused=True),
        feed=partial(BIASED, names={"up_proj": "dense_h_to_4h", "down_proj": "dense_4h_to_h"}),
        norm=layer_norm,
        final="final_layernorm",
        act="act",
    ),
    "phi": partial(
        decoder,
        attend=phi_attention,
        feed=partial(BIASED, names=FC),
        layout=COHERE,
        norm=layer_norm,
        final="final_layernorm",
        act="activation_fn",
        head_bias=True,
    ),
    "phi3": partial(decoder, attend=partial(UNBIASED, fused="qkv"), feed=FUSED, sees=everywhere, act="activation_fn"),
    "qwen2": partial(plain, attend=partial(attention, bias=QKV), sees=late, qa_base="transformer"),
    "qwen3": partial(plain, attend=HEAD_NORM, sees=late, qa_base="transformer"),
    "seed_oss": partial(decoder, attend=partial(attention, out_bias="attention_out_bias"), qa_base="transformer"),
    "stablelm": stablelm,
    "starcoder2": partial(
        decoder,
        attend=partial(attention, bias="use_bias"),
        feed=starcoder2_feed,
        sees=everywhere,
        norm=layer_norm,
        act="act",
        tie=True,
    ),
}
