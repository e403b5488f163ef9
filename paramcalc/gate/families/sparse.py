"""Decoders with mixtures of experts that need a recipe of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.decoders import NAMED
from paramcalc.gate.families.llama import COHERE, GEMMA, LLAMA, Layout, attention, begins, decoder, everywhere, feed_forward, layer
from paramcalc.gate.families.mixtures import OF_ITS_SIZE, ONE_SHARED, PLAINLY, QWEN3, SPARSE, mixture, sparse_after
from paramcalc.gate.families.recipes import (
    PRE_NORM,
    WINDOWS,
    Tree,
    decoder_parts,
    depth,
    document,
    heads,
    layer_norm,
    per_layer,
    rms,
    stack,
    tree,
    windows,
)


def ernie4_5_moe(c: Config) -> Tree:
    """ERNIE 4.5 MoE: experts in every `moe_layer_interval`-th layer of a range; a fixed correction of the scores."""
    interval = c.optional("moe_layer_interval") or 1
    start = c.optional("moe_layer_start_index", least=0) or 0
    last = c.value("moe_layer_end_index")
    end = depth(c) - 1 if last in (-1, None) else c.optional("moe_layer_end_index", least=0) or 0
    feeds = ["sparse" if (index + 1) % interval == 0 and start <= index <= end else "dense" for index in range(depth(c))]
    biased = c.flag("use_bias")
    correction = tree(
        kind="tensor",
        type="bias",
        shape=[1, c.size("num_experts")],
        path="mlp.gate.moe_statics.e_score_correction_bias",
        component="router",
        trainable=False,
    )
    return decoder(
        c,
        attend=partial(attention, bias="use_bias"),
        feed=partial(feed_forward, bias="use_bias"),
        experts=partial(mixture, shared="moe_num_shared_experts", shared_fields=tree(bias=biased or None)),
        feeds=lambda _: feeds,
        beside=lambda *words: {"correction": correction} if "sparse" in words else {},
        head_bias=biased,
        tie=True,
    )


def granite_shared(c: Config, *_: str) -> Tree:
    """What stands beside the experts of Granite: one network that every token visits."""
    size = c.zero_or("shared_intermediate_size")
    if not size:
        return {}
    names = {"gate_up_proj": "input_linear", "down_proj": "output_linear"}
    return {"shared": tree(kind="feed_forward", path="shared_mlp", size=size, fused=True, names=names, component="shared_experts")}


def granite(c: Config, **options: Any) -> Tree:
    """Granite's mixtures, with a shared network where `shared_intermediate_size` is not 0."""
    both = Layout(LLAMA.norms, ["norm_1 attention +", "norm_2 (feed_forward | shared) +"])
    experts = partial(mixture, size="intermediate_size", path="block_sparse_moe", router="router")
    layout = both if c.zero_or("shared_intermediate_size") else LLAMA
    return decoder(c, experts=experts, layout=layout, beside=granite_shared, **options)


def hunyuan(c: Config) -> Tree:
    """HunYuan's mixture: a shared network of an expert's size; `moe_topk` may be a list that says the same for every layer."""
    visited: str | int = "num_experts_per_tok"
    listed = c.value("num_experts_per_tok")
    if isinstance(listed, list):
        if len(set(map(str, listed))) != 1 or not isinstance(listed[0], int):
            c.fail("moe_topk", f"expected the same number for every layer, got {listed!r:.60}")
        visited = listed[0] if listed and isinstance(listed[0], int) else 1
    experts = partial(mixture, size="intermediate_size", shared=1, visited=visited, router="gate.wg", shared_name="shared_mlp")
    return decoder(c, attend=partial(attention, **NAMED), experts=experts)


def mimo_attention(c: Config, word: str) -> Tree:
    """MiMo-V2: windowed layers have twice the key and value heads, and sinks."""
    attend = attention(c, word, out_bias=False, v_head_dim=c.size("v_head_dim"))
    if word == "local":
        attend |= {"kv_heads": 2 * (attend.get("kv_heads") or attend["heads"]), "sinks": True}
    return attend


def llama4_attention(c: Config, word: str) -> Tree:
    """Llama 4: queries and keys normed without a gain behind their rotation, or queries scaled by position in layers without."""
    sight, _, other = word.partition("_")
    rotated = (sight == "chunked") != bool(other)
    fields: Tree = {"rotary": False} | ({"tuned": "fp32"} if c.flag("attn_temperature_tuning", True) else {})
    if rotated:
        fields = {"qk_norm": "head", "qk_norm_gain": False, "norm_last": True} if c.flag("use_qk_norm", True) else {}
    return attention(c, sight) | fields


def llama4(c: Config) -> Tree:
    """Llama 4: experts in every `interleave_moe_layer_step`-th layer, chunks in all layers with rotary positions, unless the
    config says otherwise (then the sight bears the word `other`)."""
    period, step = c.optional("no_rope_layer_interval") or 4, c.zero_or("interleave_moe_layer_step") or 1
    stated, sparse = c.sizes("no_rope_layers"), c.value("moe_layers")
    chosen = set(range(step - 1, depth(c), step) if sparse is None else c.sizes("moe_layers"))

    def rotated(index: int) -> bool:
        return bool(stated[index] if index < len(stated) else (index + 1) % period)

    def sights(c: Config) -> list[str]:
        seen = per_layer(c, "layer_types", WINDOWS, lambda index: "chunked" if rotated(index) else "global")
        return [sight if (sight == "chunked") == rotated(index) else f"{sight}_other" for index, sight in enumerate(seen)]

    return decoder(
        c,
        attend=llama4_attention,
        sees=sights,
        feed=partial(feed_forward, bias=False, size=c.size("intermediate_size_mlp"), path="feed_forward"),
        experts=partial(
            mixture,
            size="intermediate_size",
            shared=1,
            path="feed_forward",
            router="router",
            shared_name="shared_expert",
            transposed=True,
            every=True,
        ),
        feeds=lambda c: ["sparse" if index in chosen else "dense" for index in range(depth(c))],
    )


def laguna_sights(c: Config) -> list[str]:
    """What each layer sees, with its number of heads where `num_attention_heads_per_layer` varies."""
    seen, heads = windows(c), c.sizes("num_attention_heads_per_layer", least=1)
    if heads and len(heads) != len(seen):
        c.fail("num_attention_heads_per_layer", f"names {len(heads)} layers, but num_hidden_layers is {len(seen)}")
    return [f"{sight}_{number}" for sight, number in zip(seen, heads, strict=False)] if heads else seen


def laguna_attention(c: Config, word: str) -> Tree:
    """Laguna: an output gate of one number a head (`gating` true or `per-head`) or of all dims."""
    sight, _, heads = word.partition("_")
    per_head = c.value("gating") is True or c.value("gating") == "per-head"
    attend = attention(c, sight, qk_norm="head", gate_proj="head" if per_head else "full", names={"gate_proj": "g_proj"})
    if heads:
        head_dim = c.optional("head_dim") or c.size("hidden_size") // c.size("num_attention_heads")
        attend |= {"heads": int(heads), "head_dim": head_dim}
    return attend


def beam_gate(c: Config, *_: str) -> Tree:
    """BEAM: a bias per head on the output gate."""
    shape = [c.size("num_attention_heads")]
    return {"gate_bias": tree(kind="tensor", type="bias", shape=shape, path="self_attn.gate_bias", component="attention")}


def beam_windows(c: Config) -> list[str]:
    """Windows but for every sixth layer and the last."""
    last = depth(c) - 1
    return windows(c, lambda index: (index + 1) % 6 != 0 and index != last)


def phimoe(c: Config) -> Tree:
    """Phi-3.5-MoE: layer norms, two experts a token whatever the config says (its sparse mixer draws twice)."""
    experts = partial(mixture, size="intermediate_size", visited=2, router="router")
    return decoder(c, experts=experts, sees=everywhere, norm=layer_norm, head_bias=c.flag("lm_head_bias"))


def cohere2_moe(c: Config) -> Tree:
    """Command A's mixture: dense layers first, with a size and a period of windows of their own."""
    first = c.optional("first_k_dense_replace", least=0) or 0
    before, after = c.optional("prefix_dense_sliding_window_pattern") or 1, c.optional("sliding_window_pattern") or 4

    def local(index: int) -> bool:
        return (index + 1) % before != 0 if index < first else (index - first + 1) % after != 0

    return decoder(
        c,
        sees=lambda c: windows(c, local),
        feed=partial(feed_forward, bias=False, size=c.optional("prefix_dense_intermediate_size")),
        experts=partial(mixture, size="intermediate_size", shared="num_shared_experts"),
        feeds=partial(sparse_after, first, words="mlp_layer_types"),
        layout=COHERE,
        norm=rms if c.value("rms_norm_eps") is not None else partial(layer_norm, bias=False),
        tie=True,
    )


def dbrx(c: Config) -> Tree:
    """DBRX: fused queries, keys and values; experts' weights in flat matrices; layer norms without biases."""
    network, attends = c.part("ffn_config"), c.part("attn_config")
    if c.flag("tie_word_embeddings"):
        c.fail("tie_word_embeddings", "expected false: DBRX ties nothing")
    shaped = heads(c, own_dim=False, exact=True)
    kv_heads = attends.size("kv_n_heads", 1)
    if shaped["heads"] % kv_heads:
        c.inconsistent("attn_config.kv_n_heads", f"({kv_heads}) does not divide n_heads ({shaped['heads']})")
    attend = shaped | tree(
        kind="attention",
        path="norm_attn_norm.attn",
        kv_heads=kv_heads,
        fused="qkv",
        clip=bool(attends.number("clip_qkv")) or None,
        rotary=True,
        dropout=attends.number("attn_pdrop") or None,
        names={"qkv_proj": "Wqkv", "o_proj": "out_proj"},
    )
    activation = network.part("ffn_act_fn").text("name", "silu")
    feed = {
        "kind": "experts",
        "path": "ffn",
        "count": network.size("moe_num_experts"),
        "visited": network.size("moe_top_k"),
        "expert": {"size": network.size("ffn_hidden_size"), "activation": activation},
        "router": {"upcast": False, "normalized": network.value("moe_normalize_expert_weights") is not None},
        "flat": True,
        "loop": True,
        "names": {
            "router": "router.layer",
            "experts.gate_proj": "experts.mlp.w1",
            "experts.up_proj": "experts.mlp.v1",
            "experts.down_proj": "experts.mlp.w2",
        },
    }
    centred = partial(layer_norm, bias=False)
    made = layer(Layout(("norm_attn_norm.norm_1", "norm_attn_norm.norm_2"), PRE_NORM), centred, attend, feed)
    layers = stack("blocks.{}", {"layer": made}, f"{c.size('num_hidden_layers')} layer")
    return document(c, decoder_parts(c, layers, centred("norm_f"), base="transformer", embed="wte"))


def jetmoe(c: Config) -> Tree:
    """JetMoE (Shen et al. 2024): queries and output of attention are made by experts, each of all key heads' dims."""
    about = {"count": c.size("num_experts"), "visited": c.size("num_experts_per_tok")}

    def names(first: str, path: str = "") -> dict[str, str]:
        found = {"router": "router.layer", f"experts.{first}": "input_linear.weight", "experts.down_proj": "output_linear.weight"}
        return {name: path + its for name, its in (found | {"bias": "bias"}).items()}

    attend = {
        "kind": "expert_attention",
        "path": "self_attention",
        **about,
        "kv_heads": c.size("num_key_value_heads"),
        "head_dim": c.size("head_dim"),
        **tree(dropout=c.number("attention_dropout") or None),
        "names": names("up_proj", "experts."),
    }
    feed = {
        "kind": "experts",
        "path": "mlp",
        **about,
        "expert": {"size": c.size("intermediate_size"), "activation": c.text("hidden_act", "silu")},
        "loop": True,
        "output_bias": True,
        "names": names("gate_up_proj"),
    }
    made = layer(LLAMA, rms, attend, feed)
    layers = stack("layers.{}", {"layer": made}, f"{c.size('num_hidden_layers')} layer")
    return document(c, decoder_parts(c, layers, rms("norm"), tie=True))


M3_SIGHTS = {"minimax_m3_sparse": "indexed", "full_attention": "global"}


def minimax_m3(c: Config) -> Tree:
    """MiniMax M3: layers whose attention an indexer steers; dense and shared networks with gate and up in one matrix."""
    legacy = c.part("sparse_attention_config")
    frequent, every = legacy.sizes("sparse_attention_freq"), c.sizes("moe_layer_freq")

    def attend(c: Config, _: str) -> Tree:
        return attention(c, bias=False, qk_norm="head")

    def beside(c: Config, sight: str, _: str) -> Tree:
        if sight != "indexed":
            return {}
        return {
            "indexer": tree(
                kind="indexer",
                path="self_attn.indexer",
                heads=legacy.optional("sparse_num_index_heads") or c.size("index_n_heads"),
                head_dim=legacy.optional("sparse_index_dim") or c.size("index_head_dim"),
                key_norm="rms",
                query_norm=True,
                weights=False,
            )
        }

    def sight(index: int) -> str:
        return "indexed" if index < len(frequent) and frequent[index] else "global"

    def network(index: int) -> str:
        return "dense" if index < len(every) and not every[index] else "sparse"

    return decoder(
        c,
        attend=attend,
        feed=partial(feed_forward, bias=False, size=c.size("dense_intermediate_size"), fused=True, clamped=True),
        experts=partial(OF_ITS_SIZE, shared=1, shared_size="shared_intermediate_size", shared_fields={"fused": True, "clamped": True}),
        sees=lambda c: per_layer(c, "layer_types", M3_SIGHTS, sight),
        feeds=lambda c: per_layer(c, "mlp_layer_types", SPARSE, network, other="dense"),
        beside=beside,
    )


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "aria_text": lambda c: decoder(
        c,
        experts=partial(
            OF_ITS_SIZE,
            shared="moe_num_shared_experts",
            shared_fields=tree(bias=c.flag("mlp_bias") or None),
            router="router",
            transposed=True,
        ),
    ),
    "beam": partial(
        PLAINLY,
        attend=partial(QWEN3, gate_proj="full"),
        experts=mixture,
        feeds=partial(sparse_after, 3, words="mlp_layer_types"),
        sees=beam_windows,
        layout=GEMMA,
        beside=beam_gate,
    ),
    "cohere2_moe": cohere2_moe,
    "dbrx": dbrx,
    "ernie4_5_moe": ernie4_5_moe,
    "granitemoe": granite,
    "granitemoe_swa": partial(granite, attend=partial(attention, sinks=True), sees=partial(begins, period=4)),
    "granitemoeshared": granite,
    "hunyuan_v1_moe": hunyuan,
    "jetmoe": jetmoe,
    "laguna": partial(
        PLAINLY,
        attend=laguna_attention,
        experts=partial(mixture, **ONE_SHARED, router_fields={"correction": True}),
        feeds=partial(sparse_after, 1, words="mlp_layer_types"),
        sees=laguna_sights,
    ),
    "llama4_text": llama4,
    "mimo_v2_flash": partial(
        PLAINLY,
        attend=mimo_attention,
        experts=mixture,
        feeds=partial(sparse_after, 1, words="mlp_layer_types"),
        sees=lambda c: windows(c, lambda index: index != 0 and (index + 1) % 6 != 0),
    ),
    "minimax_m3_vl_text": minimax_m3,
    "phimoe": phimoe,
}
