"""Encoders of images and video at their own size: fused attention over patches, then a merger into the text's width."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, layer_norm, rms, stack, tree
from paramcalc.gate.families.vision import Words, attention, encoder_layer, feed_forward, patches, refuse

BLOCK = Words("norm1", "attn", "norm2", "mlp", o="proj")
QWEN3 = BLOCK._replace(up="linear_fc1", down="linear_fc2")
FUSED = {"qkv_proj": "qkv", "o_proj": "proj"}


SPLIT = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "proj"}


def dense(path: str, inputs: int, outputs: int, bias: bool = True) -> Tree:
    return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, bias=None if bias else False)


def video_patches(c: Config, width: int, *, bias: bool = True) -> Tree:
    """A convolution over patches of a few frames."""
    c.ignore("in_chans", "spatial_patch_size")  # published beside the keys that the class reads
    side = c.size("patch_size")
    kernel = [c.size("temporal_patch_size"), side, side]
    return tree(
        kind="convolution", path="patch_embed.proj", inputs=c.size("in_channels"), outputs=width, kernel=kernel, stride=kernel,
        bias=None if bias else False, component="embedding",
    )  # fmt: skip


def fused_attention(c: Config, width: int, **fields: Any) -> Tree:
    """One matrix for queries, keys and values; rotary in two directions."""
    heads = c.size("num_attention_heads")
    names = FUSED | fields.pop("names", {})
    return attention(c, BLOCK, heads=heads, head_dim=max(1, width // heads), fused="qkv", rotary=True, names=names, **fields)


def gated(c: Config, *, bias: bool = True, size: int | None = None) -> Tree:
    return feed_forward(c, BLOCK, gated=True, bias=bias or None, size=size, names=None)


def visual(c: Config, width: int, layer: Tree, *, before: Tree, after: Tree, tokens: int | None = None) -> Tree:
    if c.task("base") != "base":
        refuse(c)
    blocks = stack("blocks.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    return document(c, {**before, "layers": blocks, **after}, width=width, tokens=tokens, cache=False)


def merger(path: str, width: int, square: int, outputs: int, norm: Tree) -> Tree:
    """A square of patches side by side through two dense layers."""
    inner = width * square
    return {
        "merger": {
            "path": path,
            "norm": norm,
            "linear_1": dense("mlp.{}", inner, inner) | {"activation": "gelu"},
            "linear_2": dense("mlp.{}", inner, outputs),
        }
    }


def qwen2(c: Config) -> Tree:
    """Qwen2-VL (Wang et al. 2024): layer norms, a plain feed-forward network; `hidden_size` is the text's width here."""
    width, square = c.size("embed_dim"), c.size("spatial_merge_size") ** 2
    layer = encoder_layer(BLOCK, fused_attention(c, width), feed_forward(c, BLOCK, size=int(width * c.number("mlp_ratio", 4))))
    after = merger("merger", width, square, c.size("hidden_size"), layer_norm("ln_q"))
    return visual(c, width, layer, before={"patches": video_patches(c, width, bias=False)}, after=after)


def qwen2_5(c: Config, *, split: bool = False) -> Tree:
    """Qwen2.5-VL (Bai et al. 2025): RMS norms, a gated feed-forward network; EXAONE 4.5 shares keys and values among heads.

    Qwen2.5-Omni has a matrix for each of the three (`split`).
    """
    width, square = c.size("hidden_size"), c.size("spatial_merge_size") ** 2
    attend = fused_attention(c, width, kv_heads=c.optional("num_key_value_heads"))
    if split:
        attend = {key: value for key, value in attend.items() if key != "fused"} | {"names": SPLIT}
    layer = encoder_layer(BLOCK, attend, gated(c), norm=rms)
    after = merger("merger", width, square, c.size("out_hidden_size"), rms("ln_q"))
    return visual(c, width, layer, before={"patches": video_patches(c, width, bias=False)}, after=after)


def shuffle(c: Config, path: str, wide: bool, names: tuple[str, str, str] = ("norm", "linear_fc1", "linear_fc2")) -> Tree:
    """Qwen3-VL's merger; the norm sees one patch, or the whole square (`wide`)."""
    width = c.size("hidden_size")
    inner = width * c.size("spatial_merge_size") ** 2
    linear_1 = dense(names[1], inner, inner) | {"activation": "gelu"}
    norm = layer_norm(names[0], size=inner if wide else width)
    return {"path": path, "norm": norm, "linear_1": linear_1, "linear_2": dense(names[2], inner, c.size("out_hidden_size"))}


def qwen3(c: Config, *, omni: bool = False) -> Tree:
    """Qwen3-VL (Bai et al. 2025): learned positions beside the rotary ones, and mergers for the maps of some layers too.

    Qwen3-Omni calls the pieces of its mergers otherwise.
    """
    width = c.size("hidden_size")
    layer = encoder_layer(QWEN3, fused_attention(c, width), feed_forward(c, QWEN3))
    before = {
        "patches": video_patches(c, width),
        "position": {"rows": c.size("num_position_embeddings"), "path": "pos_embed"},
    }
    names = ("ln_q", "mlp.{}", "mlp.{}") if omni else ("norm", "linear_fc1", "linear_fc2")
    after: Tree = {"merger": shuffle(c, "merger", False, names)}
    deep = c.sizes("deepstack_visual_indexes")
    if deep:
        path = "merger_list.{}" if omni else "deepstack_merger_list.{}"
        after["deep_mergers"] = shuffle(c, path, True, names) | {"repeat": len(deep)}
    return visual(c, width, layer, before=before, after=after)


def glm4v(c: Config, *, ocr: bool = False) -> Tree:
    """GLM-4.1V (GLM-V Team 2025): RMS norms, a convolution that merges a square of patches, then a gated network.

    GLM-OCR norms queries and keys and has no table of positions; GLM-5.3 Flash is like it.
    """
    width, outputs, side, biased = c.size("hidden_size"), c.size("out_hidden_size"), c.size("spatial_merge_size"), c.flag("attention_bias")
    before: Tree = {"patches": video_patches(c, width)}
    if ocr:
        attend = fused_attention(c, width, bias=biased or None, qk_norm="head")
        layer = encoder_layer(BLOCK, attend, gated(c, bias=biased), norm=rms)
    else:
        before |= {"position": {"rows": patches(c), "path": "embeddings.position_embedding"}, "embedding_norm": rms("post_conv_layernorm")}
        attend = fused_attention(c, width, bias=["q", "k", "v"] if biased else None)
        layer = encoder_layer(BLOCK, attend, gated(c, bias=False, size=outputs), norm=rms)
    inner = c.optional("projection_intermediate_size") or (outputs * c.size("in_channels") if ocr else c.size("intermediate_size"))
    after = {
        "norm": rms("post_layernorm"),
        "merge": {"kind": "convolution", "path": "downsample", "outputs": outputs, "kernel": [side, side], "stride": [side, side]},
        "merger": {
            "path": "merger",
            "width": outputs,
            "linear": dense("proj", outputs, outputs, bias=False),
            "norm": layer_norm("post_projection_norm"),
            "feed_forward": tree(path="", size=inner, activation=c.text("hidden_act", "silu")),
        },
    }
    return visual(c, width, layer, before=before, after=after, tokens=None if ocr else patches(c))


def ernie4_5(c: Config) -> Tree:
    """ERNIE 4.5 VL (Baidu 2025): flattened patches through a dense layer, and a norm at the end."""
    width = c.size("hidden_size")
    inputs = c.size("in_channels") * c.size("patch_size") ** 2
    layer = encoder_layer(BLOCK, fused_attention(c, width), feed_forward(c, BLOCK))
    before = {"patches": dense("patch_embed.proj", inputs, width, bias=False) | {"component": "embedding"}}
    return visual(c, width, layer, before=before, after={"norm": layer_norm("ln")})


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "cohere_compass_vision": qwen3,
    "ernie4_5_vl_moe_vision": ernie4_5,
    "exaone4_5_vision": qwen2_5,
    "glm4v_moe_vision": glm4v,
    "glm4v_vision": glm4v,
    "glm5_next_vision": partial(glm4v, ocr=True),
    "glm_ocr_vision": partial(glm4v, ocr=True),
    "qwen2_5_omni_vision_encoder": partial(qwen2_5, split=True),
    "qwen2_5_vl_vision": qwen2_5,
    "qwen2_vl_vision": qwen2,
    "qwen3_5_moe_vision": qwen3,
    "qwen3_5_vision": qwen3,
    "qwen3_omni_moe_vision_encoder": partial(qwen3, omni=True),
    "qwen3_vl_moe_vision": qwen3,
    "qwen3_vl_vision": qwen3,
    "qwen4_exp_vision": qwen3,
}
