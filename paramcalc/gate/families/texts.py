"""Language models that stand only inside a model of images or sounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.decoders import FC, FUSED, GLM4, HEAD_NORM, NAMED
from paramcalc.gate.families.llama import PLAIN, QKV, UNBIASED, attention, decoder, feed_forward, late
from paramcalc.gate.families.mixtures import DEEPSEEK, FIRST_DENSE, PLAINLY, QWEN3, SPARSE, mixture, sparse_after, stepped
from paramcalc.gate.families.recipes import Tree, per_layer, tree

QWEN2 = partial(decoder, feed=PLAIN, attend=partial(attention, bias=QKV), sees=late)
QWEN3_MOE = partial(PLAINLY, attend=QWEN3, experts=mixture, feeds=stepped)


def ernie_feeds(c: Config) -> list[str]:
    """A dense layer first, where `mlp_layer_types` does not say."""
    return per_layer(c, "mlp_layer_types", SPARSE, lambda index: "sparse" if index else "dense", other="dense")


def ernie_experts(c: Config, sizes: list[int], kind: int) -> Tree:
    """Experts for one kind of token. Which of them a token visits depends on what it is, so their number is left open."""
    name = ("text_moe", "vision_moe")[kind]
    biased = c.flag("use_bias")
    shared = c.optional("moe_num_shared_experts", least=0) or 0
    beside = tree(size=sizes[0] * shared, bias=biased or None) if shared and not kind else None
    return {
        "kind": "experts",
        "path": "mlp",
        "count": c.size("num_experts"),
        "visited": None,
        "expert": {"size": sizes[kind]},
        **tree(shared=beside),
        "names": {"router": f"{name}.gate", "experts": f"{name}.experts"} | ({"shared_expert": "shared_experts"} if beside else {}),
    }


def ernie4_5_vl(c: Config) -> Tree:
    """ERNIE 4.5 VL (Baidu 2025): experts for text, others for images, and shared ones; fixed corrections of the scores."""
    sizes = c.sizes("moe_intermediate_size", least=1) or [1536, 512]  # the class's own, where it is null
    if len(sizes) < 2:
        c.fail("moe_intermediate_size", f"expected a size for text and one for images, got {len(sizes)}")
        sizes = [1, 1]

    def beside(_: Config, __: str, network: str) -> Tree:
        if network == "dense":
            return {}
        parts: Tree = {"image_experts": ernie_experts(c, sizes, 1)}
        for name in ("text_moe", "vision_moe"):
            parts[f"correction_{name}"] = tree(
                kind="tensor", type="bias", shape=[1, c.size("num_experts")], component="router", trainable=False,
                path=f"mlp.{name}.gate.moe_statics.e_score_correction_bias",
            )  # fmt: skip
        return parts

    return decoder(
        c,
        attend=partial(attention, bias="use_bias"),
        feed=partial(feed_forward, bias="use_bias"),
        experts=lambda c: ernie_experts(c, sizes, 0),
        feeds=ernie_feeds,
        beside=beside,
    )


def molmo(c: Config) -> Tree:
    """Molmo 2's language model: Qwen 3's layers, or norms over all heads; a few tokens more than the vocabulary."""
    normed = "head" if c.text("qk_norm_type", "qwen3") == "qwen3" else "full"
    if c.flag("norm_after"):
        c.ignore("norm_after")  # the norms stand behind their blocks, under the same names
    attend = partial(attention, qk_norm=normed, out_bias=False)
    text = decoder(c, attend=attend, feed=PLAIN)
    text["parts"]["embedding"]["vocabulary"] = c.size("vocab_size") + c.zero_or("additional_vocab_size")
    return text


def step(c: Config) -> Tree:
    """Step-3.5 and 3.7: a gate for each head, more heads where there is a window, shared experts beside the routed ones."""
    wide = c.optional("num_sliding_attention_heads")
    gate = "head" if c.value("gating") in (None, True, "per-head") else "full"
    bias = c.flag("mlp_bias") or None

    def attend(c: Config, word: str) -> Tree:
        one = attention(c, word, qk_norm="head", gate_proj=gate, names={"gate_proj": "g_proj"})
        return one | ({"heads": wide} if wide and word == "local" else {})

    experts = partial(mixture, shared=1, shared_size="share_expert_dim", shared_fields=tree(bias=bias))
    feeds = partial(sparse_after, 3, words="mlp_layer_types")
    return decoder(c, attend=attend, experts=experts, feeds=feeds)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "cosmos3_edge_text": partial(decoder, feed=partial(feed_forward, gated=False, names=FC)),
    "ernie4_5_vl_moe_text": ernie4_5_vl,
    "glm4v_moe_text": partial(PLAINLY, attend=partial(attention, out_bias=False, rounded=True), experts=DEEPSEEK, feeds=FIRST_DENSE),
    "glm4v_text": partial(decoder, attend=partial(attention, bias=QKV, own_dim=False), feed=FUSED, layout=GLM4),
    "glm_ocr_text": partial(decoder, attend=UNBIASED, feed=FUSED, layout=GLM4),
    "granite4_vision_text": decoder,
    "granite_docling_text": decoder,
    "hunyuan_vl_text": partial(decoder, attend=partial(attention, **NAMED), feed=PLAIN),
    "molmo2_text": molmo,
    "paddleocr_vl_text": partial(decoder, attend=partial(attention, bias="use_bias"), feed=partial(feed_forward, bias="use_bias")),
    "qwen2_5_omni_text": QWEN2,
    "qwen2_5_vl_text": QWEN2,
    "qwen2_vl_text": QWEN2,
    "qwen3_omni_moe_text": partial(QWEN3_MOE, attend=partial(QWEN3, rounded=True)),  # its defaults, 28 heads in 2048, need it
    "qwen3_vl_moe_text": QWEN3_MOE,
    "qwen3_vl_text": partial(decoder, feed=PLAIN, attend=HEAD_NORM),
    "step3p5": step,
}
