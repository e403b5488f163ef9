"""Decoders with latent attention (MLA): keys and values from one latent, with or without an indexer, dense or with experts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import LLAMA, PLAIN, Layout, decoder
from paramcalc.gate.families.mixtures import DEEPSEEK, FIRST_DENSE, mixture, sparse_after
from paramcalc.gate.families.recipes import PRE_NORM, Tree, depth, layer_norm, per_layer, tree

FULL = {"full": "full", "shared": "shared"}
"""The words of `indexer_types`."""


def latent(c: Config, *_: str, v_dim: int | None = None, needs_rank: bool = False, **fields: Any) -> Tree:
    """Multi-head latent attention as DeepSeek's configs state it; without `q_lora_rank`, which some need, queries come
    straight from the width."""
    return tree(
        kind="mla",
        path="self_attn",
        heads=c.size("num_attention_heads"),
        q_rank=c.size("q_lora_rank") if needs_rank else c.optional("q_lora_rank"),
        kv_rank=c.size("kv_lora_rank"),
        nope_dim=c.size("qk_nope_head_dim"),
        rope_dim=c.size("qk_rope_head_dim"),
        v_dim=c.size("v_head_dim", v_dim),
        bias=c.flag("attention_bias") or None,
        dropout=c.number("attention_dropout") or None,
    ) | tree(**fields)


def indexer(c: Config, sight: str = "full", *_: str) -> Tree:
    """DeepSeek-V3.2's indexer, in layers that do not share another's choice."""
    names = {"q_proj": "wq_b", "k_proj": "wk"}
    block = tree(
        kind="indexer",
        path="self_attn.indexer",
        heads=c.size("index_n_heads"),
        head_dim=c.size("index_head_dim"),
        q_inputs=c.size("q_lora_rank"),
        names=names,
    )
    return {"indexer": block} if sight == "full" else {}


def everywhere_full(c: Config) -> list[str]:
    return ["full"] * depth(c)


def dsa_indexers(c: Config) -> list[str]:
    """Layers that run the indexer themselves, by `indexer_types`, a pattern of F and S, or a period (GLM-5)."""
    pattern = c.value("index_topk_pattern")
    period, offset = c.optional("index_topk_freq") or 1, c.optional("index_skip_topk_offset", least=0)
    start = 2 if offset is None else offset
    if isinstance(pattern, str | list) and pattern:
        words = {"F": "full", "S": "shared"} if isinstance(pattern, str) else FULL
        listed = [words.get(word, "") for word in pattern]
        if len(listed) != depth(c) or "" in listed:
            c.fail("index_topk_pattern", f"expected F or S for each of {depth(c)} layers, got {pattern!r:.60}")
    else:
        listed = ["full" if max(index - start + 1, 0) % period == 0 else "shared" for index in range(depth(c))]
    return per_layer(c, "indexer_types", FULL, lambda index: listed[index] if index < len(listed) else "full")


def hy4_indexers(c: Config) -> list[str]:
    return per_layer(c, "indexer_types", FULL, lambda index: "full" if index == 0 or index % 4 == 1 else "shared")


def stepped_after(c: Config) -> list[str]:
    """Dense layers first, then every `moe_layer_freq`-th sparse (A.X)."""
    first, period = c.optional("first_k_dense_replace", least=0), c.optional("moe_layer_freq") or 1
    start = 1 if first is None else first
    words = {"dense": "dense", "sparse": "sparse"}
    return per_layer(c, "mlp_layer_types", words, lambda index: "sparse" if index >= start and index % period == 0 else "dense")


def axk1(c: Config) -> Tree:
    """A.X K1: DeepSeek-V3 with a norm behind the experts."""
    behind = ["norm_1 attention +", "norm_2 feed_forward norm_3 +"]

    def layout(network: str) -> Layout:
        return Layout((*LLAMA.norms, "mlp.post_mlp_layernorm"), behind) if network == "sparse" else LLAMA

    return decoder(c, attend=partial(latent, needs_rank=True), feed=PLAIN, experts=DEEPSEEK, feeds=stepped_after, layout=layout)


def axk2(c: Config) -> Tree:
    """A.X K2: norms whose output a small network gates; queries and an output gate from one matrix; an indexer."""

    def gate(path: str) -> Tree:
        size, names = c.size("gated_norm_rank"), {"up_proj": "fc1", "down_proj": "fc2"}
        return tree(
            kind="feed_forward", path=f"{path}.mlp", size=size, gated=False, weighs=True, names=names, activation="silu", component="norm"
        )

    def layout(network: str) -> Layout:
        first, second = LLAMA.norms
        if network == "sparse":
            flow = ["norm_1 gate_1 attention +", "norm_2 gate_2 feed_forward +"]
            return Layout((f"{first}.norm", f"{second}.norm"), flow)
        return Layout((f"{first}.norm", second), ["norm_1 gate_1 attention +", PRE_NORM[1]])

    def beside(c: Config, sight: str, network: str) -> Tree:
        gates = {"gate_1": gate("input_layernorm")}
        if network == "sparse":
            gates["gate_2"] = gate("post_attention_layernorm")
        return gates | indexer(c, sight)

    attend = partial(latent, needs_rank=True, q_gate=True, indexed=True)
    return decoder(c, attend=attend, feed=PLAIN, experts=DEEPSEEK, feeds=stepped_after, sees=everywhere_full, layout=layout, beside=beside)


def minicpm3(c: Config) -> Tree:
    """MiniCPM 3: latent attention in a dense decoder; values have width / heads dims unless told otherwise."""
    v_dim = max(1, c.size("hidden_size") // c.size("num_attention_heads"))
    return decoder(c, attend=partial(latent, v_dim=v_dim), tie=True)


def deepseek_v2(c: Config) -> Tree:
    """DeepSeek-V2: shared experts that follow `mlp_bias`."""
    experts = partial(mixture, shared="n_shared_experts", shared_fields=tree(bias=c.flag("mlp_bias") or None))
    return decoder(c, attend=latent, experts=experts, feeds=FIRST_DENSE)


def hy_v4(c: Config) -> Tree:
    """HY 4: latent attention with an output gate and sinks, indexers that layers share, parallel residual streams."""
    streams = c.size("hc_mult")

    def beside(c: Config, sight: str, _: str) -> Tree:
        around = {name: tree(kind="hyper_connection", path=name, streams=streams, maps="in_out") for name in ("attn_hc", "ffn_hc")}
        return indexer(c, sight) | around

    return decoder(
        c,
        attend=partial(latent, needs_rank=True, gate_proj="full", sinks=True),
        feed=PLAIN,
        experts=DEEPSEEK,
        feeds=partial(sparse_after, 1, words="mlp_layer_types"),
        sees=hy4_indexers,
        beside=beside,
        last={"streams": stream_head(streams)},
    )


def stream_head(streams: int) -> Tree:
    """What brings parallel streams back to one."""
    names = {name: f"hc_{name}" for name in ("fn", "base", "scale")}
    return tree(kind="hyper_connection", path="hc_head", streams=streams, maps="in", names=names)


def positioned(c: Config) -> list[str]:
    """What Mistral Large 4's layers differ in: whether they rotate (`rope`), reuse an earlier layer's latent (`reuse`) and
    choose what they look at (`full`) or share a choice."""
    layers, period = depth(c), c.optional("no_rope_layer_interval") or 4
    rotated = c.listed("no_rope_layers") or [int((index + 1) % period != 0) for index in range(layers)]
    sources = c.listed("kv_source_layers") or list(range(layers))
    if len(rotated) < layers or len(sources) != layers:
        c.fail("no_rope_layers", f"expected a number for each of {layers} layers, got {len(rotated)} and {len(sources)} kv_source_layers")
        return ["rope_own_full"] * layers
    seen = (dsa_indexers(c) + ["full"] * layers)[:layers]  # a list of the wrong length has been refused already
    return [
        f"{'rope' if rotated[index] else 'plain'}_{'own' if sources[index] == index else 'reuse'}_{seen[index]}" for index in range(layers)
    ]


def mistral_large4(c: Config) -> Tree:
    """Mistral Large 4 (2026): queries straight from the width and scaled by position a head, every fourth layer without
    positions, whose keys are all of the latent; an indexer with a norm and a scale of its own."""
    heads, index_heads = c.size("num_attention_heads"), c.size("index_n_heads")

    def scaling(path: str, number: int) -> Tree:
        bias = tree(kind="tensor", type="bias", shape=[number], path=f"{path}.softmax_scaling.bias", component="attention")
        return {"scale": bias | {"path": f"{path}.softmax_scaling.scale", "type": "weight"}, "shift": bias}

    def attend(c: Config, word: str) -> Tree:
        block = {key: value for key, value in latent(c).items() if key != "q_rank"}
        if word.startswith("plain"):
            block |= {"nope_dim": block["nope_dim"] + block["rope_dim"], "rope_dim": 0}
        return block | tree(reuses=True if "reuse" in word else None)

    def beside(c: Config, word: str, _: str) -> Tree:
        parts = {f"softmax_{name}": part for name, part in scaling("self_attn", heads).items()}
        if not word.endswith("full"):
            return parts
        path = "self_attn.indexer"
        parts |= {f"index_{name}": part for name, part in scaling(path, index_heads).items()}
        parts["index_norm"] = layer_norm(f"{path}.q_input_norm") | {"component": "attention"}
        names = {"q_proj": "wq_b", "k_proj": "wk"}
        return parts | {"indexer": tree(kind="indexer", path=path, heads=index_heads, head_dim=c.size("index_head_dim"), names=names)}

    feeds = partial(FIRST_DENSE, words="mlp_layer_types")
    return decoder(c, attend=attend, feed=PLAIN, experts=DEEPSEEK, feeds=feeds, sees=positioned, beside=beside)


V3 = partial(decoder, attend=latent, feed=PLAIN, experts=DEEPSEEK)
DSA = partial(V3, attend=partial(latent, needs_rank=True, indexed=True), beside=indexer)

FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "axk1": axk1,
    "axk2": axk2,
    "deepseek_v2": deepseek_v2,
    "deepseek_v3": partial(V3, feeds=FIRST_DENSE),
    "deepseek_v32": partial(DSA, feeds=partial(FIRST_DENSE, words="mlp_layer_types"), sees=everywhere_full),
    "glm4_moe_lite": partial(V3, feeds=partial(sparse_after, 1, words="mlp_layer_types")),
    "glm_moe_dsa": partial(DSA, feeds=partial(FIRST_DENSE, words="mlp_layer_types"), sees=dsa_indexers),
    "hy_v4": hy_v4,
    "minicpm3": minicpm3,
    "mistral_large4_text": mistral_large4,
    "mistral4": partial(V3, feeds=FIRST_DENSE),
    "youtu": partial(decoder, attend=latent, feed=PLAIN, tie=True),
}
