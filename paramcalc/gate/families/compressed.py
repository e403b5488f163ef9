"""Latent attention with recipes of their own: DeepSeek-V4's compressed attention, dots 3, LongCat."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.changes import Changes, stated, told_apart
from paramcalc.gate.families.latent import indexer, latent, stepped_after, stream_head
from paramcalc.gate.families.llama import PLAIN, decoder, feed_forward
from paramcalc.gate.families.mixtures import mixture
from paramcalc.gate.families.recipes import Tree, decoder_parts, depth, document, per_layer, rms, stack, tree, window_size

V4_SIGHTS = {"sliding_attention": "local", "compressed_sparse_attention": "sparse", "heavily_compressed_attention": "coarse"}
RATIOS = {0: "local", 4: "sparse", 128: "coarse"}
"""DeepSeek-V4's own `compress_ratios`."""


def v4_sights(c: Config) -> list[str]:
    """Coarse layers twice, then sparse and coarse ones in turn, where nothing is listed."""
    ratios = c.listed("compress_ratios")
    if ratios is not None and c.value("layer_types") is None:
        if len(ratios) < depth(c) or not all(isinstance(ratio, int) and ratio in RATIOS for ratio in ratios):
            c.fail("compress_ratios", f"expected 0, 4 or 128 for each of {depth(c)} layers, got {ratios!r:.60}")
            return ["local"] * depth(c)
        return [RATIOS[ratio] for ratio in ratios[: depth(c)]]
    return per_layer(c, "layer_types", V4_SIGHTS, lambda index: "sparse" if index >= 2 and index % 2 else "coarse")


def v4_rate(c: Config, kind: str, legacy: str, default: int) -> int:
    """Tokens of a run; an older key of its own wins over `compress_rates`. A spec has to say them."""
    rates = c.part("compress_rates")
    return c.optional(legacy) or (rates.size(kind) if c.spec else rates.optional(kind) or default)


def v4_compressors(c: Config, sight: str) -> Tree:
    """What compresses the past of a layer, and the indexer that chooses from it."""
    head_dim = c.size("head_dim")
    if sight == "coarse":
        rate = v4_rate(c, "heavily_compressed_attention", "compress_rate_hca", 128)
        return {"compressor": tree(kind="compressor", path="self_attn.compressor", rate=rate, head_dim=head_dim)}
    if sight != "sparse":
        return {}
    rate, path = v4_rate(c, "compressed_sparse_attention", "compress_rate_csa", 4), "self_attn.compressor.indexer"
    small = {"head_dim": c.size("index_head_dim"), "path": path}
    score = tree(kind="indexer", heads=c.size("index_n_heads"), q_inputs=c.size("q_lora_rank"), keys=False, **small)
    return {
        "compressor": tree(kind="compressor", path="self_attn.compressor", rate=rate, head_dim=head_dim, overlap=True),
        "index_compressor": tree(kind="compressor", rate=rate, overlap=True, **small),
        "indexer": score | {"names": {"q_proj": "q_b_proj", "weights_proj": "scorer.weights_proj"}},
    }


def deepseek_v4(c: Config) -> Tree:
    """DeepSeek-V4: one key that is also the value in a window, the past compressed beside it, parallel residual streams."""
    streams = c.size("hc_mult")

    def attend(c: Config, _: str) -> Tree:
        return tree(
            kind="shared_kv",
            path="self_attn",
            heads=c.size("num_attention_heads"),
            head_dim=c.size("head_dim"),
            q_rank=c.size("q_lora_rank"),
            o_rank=c.size("o_lora_rank"),
            groups=c.size("o_groups"),
            window=window_size(c),
            dropout=c.number("attention_dropout") or None,
        )

    def beside(c: Config, sight: str, _: str) -> Tree:
        around = {name: tree(kind="hyper_connection", path=name, streams=streams) for name in ("attn_hc", "ffn_hc")}
        return v4_compressors(c, sight) | around

    experts = partial(mixture, shared=1, shared_fields=tree(bias=c.flag("mlp_bias") or None))
    return decoder(c, attend=attend, experts=experts, sees=v4_sights, beside=beside, last={"streams": stream_head(streams)})


SWA = {"num_attention_heads": 64, "q_lora_rank": 1024, "kv_lora_rank": 1024, "qk_nope_head_dim": 192, "v_head_dim": 128}
"""What windowed layers of dots 3 have unless `swa_…` keys say otherwise (Dots3NoteTextConfig)."""
DOTS3_SIGHTS = {"indexed_attention": "full", "full_attention": "global", "sliding_attention": "local"}


def dots3_sights(c: Config) -> list[str]:
    """Windows but for the first two layers and every fourth from the second on; `use_dsa` says how the others see all."""
    listed, indexed = c.value("per_layer_config") is not None, c.value("use_dsa")
    whole = "global" if indexed is False else "full"
    local = c.flag("use_sliding_window", True)
    seen = per_layer(c, "layer_types", DOTS3_SIGHTS, lambda index: "local" if local and index >= 2 and index % 4 != 1 else whole)
    if listed and indexed is None:
        return seen
    return [sight if sight == "local" else whole for sight in seen]


def dots3_changes(c: Config, seen: list[str]) -> list[Changes]:
    """What each layer has instead of the config's own sizes: by `per_layer_config`, else that of windowed layers."""
    listed = stated(c, len(seen), [*SWA, "qk_rope_head_dim"], ["num_key_value_heads", "head_dim"])
    if listed is not None:
        return listed
    if c.spec:
        sizes = {key: size for key in (*SWA, "qk_rope_head_dim") if (size := c.optional(f"swa_{key}"))}
        return [sizes if sight == "local" else {} for sight in seen]
    sizes = {key: c.optional(f"swa_{key}") or size for key, size in SWA.items()}
    rest = (c.optional("swa_head_dim") or 256) - sizes["qk_nope_head_dim"]
    sizes["qk_rope_head_dim"] = c.optional("swa_qk_rope_head_dim") or rest
    return [sizes if sight == "local" else {} for sight in seen]


def dots3(c: Config) -> Tree:
    """dots 3: windowed layers have sizes of their own, the rotary key a norm, the output a gate a head."""
    sights = dots3_sights(c)
    seen, changes = told_apart(sights, dots3_changes(c, sights))

    def attend(c: Config, word: str) -> Tree:
        block = latent(c, needs_rank=True, gate_proj="head", rope_norm=True)
        ours = {"num_attention_heads": "heads", "q_lora_rank": "q_rank", "kv_lora_rank": "kv_rank", "qk_nope_head_dim": "nope_dim"}
        ours |= {"qk_rope_head_dim": "rope_dim", "v_head_dim": "v_dim"}
        block |= {ours[key]: size for key, size in changes[word].items()}
        if word.startswith("local"):
            block |= tree(window=window_size(c) or c.optional("sliding_window_size") or (None if c.spec else 512))
        return block | {"names": {"k_rope_norm": "k_rope_only_layernorm", "gate_proj": "g_proj"}}

    def beside(c: Config, word: str, _: str) -> Tree:
        if not word.startswith("full"):
            return {}
        parts = indexer(c)
        parts["indexer"]["q_inputs"] = changes[word].get("q_lora_rank", parts["indexer"]["q_inputs"])
        return parts

    experts = partial(mixture, shared="n_shared_experts", shared_size="shared_experts_intermediate_size")
    return decoder(c, attend=attend, feed=PLAIN, experts=experts, feeds=stepped_after, sees=lambda _: seen, beside=beside)


def longcat(c: Config) -> Tree:
    """LongCat-Flash: a layer is two of attention and network each, with experts on a shortcut around the second; some
    experts compute nothing, so that how many do is open."""
    made = c.optional("qk_head_dim")
    query_dim = made if made != c.size("qk_nope_head_dim") + c.size("qk_rope_head_dim") else None
    idle = c.zero_or("zero_expert_num")
    experts = mixture(c, router="router.classifier", router_fields=tree(bias=c.flag("router_bias") or None), **tree(idle=idle or None))
    if idle:
        experts["visited"] = None
    layer: Tree = {}
    for half in (1, 2):
        layer[f"norm_{half}a"] = rms("input_layernorm.{}")
        layer[f"attention_{half}"] = latent(c, needs_rank=True, query_dim=query_dim, path="self_attn.{}")
        layer[f"norm_{half}b"] = rms("post_attention_layernorm.{}")
        layer[f"feed_forward_{half}"] = feed_forward(c, bias=False, path="mlps.{}")
    layer["experts"] = experts
    layer["flow"] = [
        "norm_1a attention_1 +",
        "norm_1b (feed_forward_1 | experts) +",
        "norm_2a attention_2 +",
        "norm_2b feed_forward_2 +",
    ]
    layers = stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    return document(c, decoder_parts(c, layers, rms("norm")))


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "deepseek_v4": deepseek_v4,
    "dots3_note_text": dots3,
    "longcat_flash": longcat,
}
