"""Decoders of Llama's kin whose feed-forward networks are mixtures of experts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.decoders import GLM4, exaone4_windows
from paramcalc.gate.families.llama import OLMO2, UNBIASED, Layout, attention, decoder, ends, everywhere, switched
from paramcalc.gate.families.mixtures import DEEPSEEK, FIRST_DENSE, OF_ITS_SIZE, ONE_SHARED, PLAINLY, QWEN3, mixture, sparse_after, stepped
from paramcalc.gate.families.recipes import SANDWICH, Tree, depth, tree, window_size, windows

AFMOE = Layout(("input_layernorm", "post_attention_layernorm", "pre_mlp_layernorm", "post_mlp_layernorm"), SANDWICH)


def qwen2_moe_windows(c: Config) -> list[str]:
    """Windows in every second layer below `max_window_layers`, where they are switched on."""
    end = c.optional("max_window_layers", least=0) or 0
    return switched(c, lambda index: index % 2 == 0 and index < end)


def qwen3_moe_windows(c: Config) -> list[str]:
    """A window in every layer, where it is switched on."""
    return everywhere(c) if c.flag("use_sliding_window") else ["global"] * depth(c)


def flint_windows(c: Config) -> list[str]:
    """Windows but for the first two layers, every fourth from the second on, and the last."""
    last = depth(c) - 1
    return windows(c, lambda index: index >= 2 and index % 4 != 1 and index != last)


def dots1_windows(c: Config) -> list[str]:
    """Windows from layer `max_window_layers` on."""
    start = c.optional("max_window_layers", least=0) or 0
    return windows(c, lambda index: index >= start and window_size(c) is not None)


def olmoe_attention(c: Config, word: str = "global") -> Tree:
    """OLMoE's norms of queries and keys are made for heads of width / heads, whatever the heads' own size is."""
    made = attention(c, word, qk_norm="full")
    width, kv_heads = c.size("hidden_size"), made.get("kv_heads") or made["heads"]
    sizes = [width, width // made["heads"] * kv_heads]
    if sizes == [made["heads"] * made["head_dim"], kv_heads * made["head_dim"]]:
        return made
    c.inconsistent("num_attention_heads", f"({made['heads']}) of {made['head_dim']} do not make up hidden_size ({width})")
    return made | {"qk_norm_sizes": sizes}


def hunyuan_shared(c: Config) -> Tree:
    """Hunyuan 3's shared experts; where there are none, the reference makes one of the dense layers' size."""
    number = c.optional("num_shared_experts", least=0)
    about = {"shared": "num_shared_experts"} if number or number is None else {"shared": 1, "shared_size": "intermediate_size"}
    return about | {"shared_fields": tree(bias=c.flag("mlp_bias") or None)}


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "afmoe": partial(
        PLAINLY,
        attend=partial(QWEN3, gate_proj="full"),
        experts=partial(
            mixture,
            shared="num_shared_experts",
            router="router.gate",
            router_fields={"correction": True},
            names={"router.e_score_correction_bias": "expert_bias"},
        ),
        feeds=partial(sparse_after, "num_dense_layers"),
        sees=partial(ends, period=4, key="global_attn_every_n_layers"),
        layout=AFMOE,
    ),
    "dots1": partial(PLAINLY, attend=QWEN3, experts=DEEPSEEK, feeds=FIRST_DENSE, sees=dots1_windows),
    "exaone_moe": partial(
        PLAINLY,
        attend=partial(UNBIASED, qk_norm="head"),
        experts=partial(mixture, shared="num_shared_experts"),
        feeds=partial(FIRST_DENSE, words="mlp_layer_types"),
        sees=exaone4_windows,
    ),
    "flex_olmo": partial(decoder, attend=partial(attention, qk_norm="full"), experts=OF_ITS_SIZE, layout=OLMO2),
    "flint": partial(
        PLAINLY,
        attend=partial(QWEN3, sinks=True),
        experts=partial(mixture, **ONE_SHARED, shared_name="shared_expert"),
        feeds=partial(stepped, only=(0, 1)),
        sees=flint_windows,
    ),
    "glm4_moe": lambda c: PLAINLY(
        c,
        # its defaults, 96 heads in a width of 4096, need the rounding
        attend=partial(attention, out_bias=False, rounded=True, qk_norm="head" if c.flag("use_qk_norm") else None),
        experts=DEEPSEEK,
        feeds=FIRST_DENSE,
    ),
    "gpt_oss": partial(
        decoder,
        attend=partial(attention, sinks=True),
        experts=partial(OF_ITS_SIZE, router="router", router_fields={"bias": True}, bias=True, transposed=True),
        sees=partial(ends, period=2),
    ),
    "hy_v3": lambda c: decoder(
        c,
        attend=QWEN3,
        experts=partial(mixture, **hunyuan_shared(c)),
        feeds=partial(sparse_after, 1, words="mlp_layer_types"),
    ),
    "kolibri1": partial(
        decoder,
        attend=partial(UNBIASED, qk_norm="head"),
        experts=partial(mixture, **ONE_SHARED),
        sees=partial(ends, period=5),
        layout=GLM4,
    ),
    "mellum": partial(PLAINLY, attend=QWEN3, experts=mixture, feeds=partial(sparse_after, 0, words="mlp_layer_types")),
    "minimax_m2": partial(decoder, attend=partial(UNBIASED, qk_norm="full"), experts=OF_ITS_SIZE),
    "mixtral": partial(decoder, attend=UNBIASED, experts=OF_ITS_SIZE, sees=everywhere),
    "olmoe": partial(decoder, attend=olmoe_attention, experts=OF_ITS_SIZE),
    "qwen2_moe": partial(
        PLAINLY,
        attend=partial(attention, bias="qkv_bias", out_bias=False),
        experts=partial(mixture, **ONE_SHARED, shared_name="shared_expert", shared_fields={"gate": True}),
        feeds=stepped,
        sees=qwen2_moe_windows,
    ),
    "qwen3_moe": partial(PLAINLY, attend=QWEN3, experts=mixture, feeds=stepped, sees=qwen3_moe_windows, qa_base="transformer"),
    "solar_open": partial(decoder, attend=partial(attention, out_bias=False), experts=DEEPSEEK),
}
