"""Image encoders with what follows them inside: HunYuan-VL, Granite Docling, MiniCPM-V, LFM3-VL, Step-3.7, Molmo 2."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.clip import siglip_vision
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.recipes import Tree, document, layer_norm, layered, per_layer, rms, stack, tree
from paramcalc.gate.families.towers import BODY
from paramcalc.gate.families.vision import CLIP, Words, attention, encoder_layer, feed_forward, patch_embedding, patches, refuse, token

HUNYUAN = CLIP._replace(o="o_proj")
LFM = Words("operator_norm", "self_attn", "ffn_norm", "feed_forward", o="out_proj")
STEP = Words("layernorm_before", "self_attn", "layernorm_after", "mlp", o="out_proj", scales=("lambda_1", "lambda_2"))


def hunyuan(c: Config) -> Tree:
    """HunYuan-VL's image encoder: ViT, two convolutions that merge a square of patches, and the tokens around an image."""
    width, outputs, side = c.size("hidden_size"), c.size("text_hidden_size"), c.size("spatial_merge_size")
    rows = (c.size("max_image_size") // c.size("patch_size")) ** 2 + 1
    merger: Tree = {
        "path": "patch_merger",
        "norm": rms("before_rms"),
        "merge": {"kind": "convolution", "path": "proj_conv", "outputs": 2 * width, "kernel": [side, side], "stride": [side, side]},
        "widen": {"kind": "convolution", "path": "proj_out", "inputs": 2 * width, "outputs": 4 * width, "kernel": [1, 1]},
        "newline": token("image_newline", 4 * width),
        "linear": dense("mlp", 4 * width, outputs),
        "norm_out": rms("after_rms", size=outputs),
    }
    merger |= {name: token(f"image_{name}", outputs) for name in ("begin", "end", "sep")}
    layer = encoder_layer(HUNYUAN, attention(c, HUNYUAN), feed_forward(c, HUNYUAN))
    parts = {
        "patches": patch_embedding(c, "embeddings.patch_embedding"),
        "position": {"rows": rows, "path": "embeddings.position_embedding"},
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "merger": merger,
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def granite_docling(c: Config) -> Tree:
    """Granite Docling's image encoder: SigLIP's, then squares of patches on a coarse and a fine route."""
    width, outputs, scale = c.size("hidden_size"), c.size("out_hidden_size"), c.size("scale_factor")
    stated = c.listed("deepstack_visual_indexes")
    deep = 3 if stated is None else len(stated)  # the class's own, where it is null, are three
    connector: Tree = {"path": "connector", "norm": layer_norm("ln_in")}
    for name, factor in (("coarse", scale), ("fine", scale // 2)):
        if name == "fine" and not c.flag("use_fine_route", True):
            continue
        merged = max(1, width * factor**2)
        route: Tree = {"path": name, "linear": dense("projection", merged, outputs, False)}
        if deep:
            inner = {
                "norm": layer_norm("layer_norm", size=merged),
                "linear_1": dense("linear_1", merged, outputs),
                "linear_2": dense("linear_2", outputs, outputs),
            }
            route["deep"] = {"path": "deepstack_mergers.{}", "repeat": deep} | inner
        connector[name] = route
    connector |= {"norm_2": layer_norm("ln_mid", size=outputs), "linear": dense("mlp_fc2", outputs, outputs, False)}
    connector["norm_3"] = layer_norm("ln_out", size=outputs)
    return BODY(c, after={"connector": connector})


def minicpm(c: Config) -> Tree:
    """MiniCPM-V's image encoder: SigLIP's, with attention in windows amid the layers that merges each into one patch."""
    width, sides = c.size("hidden_size"), c.sizes("window_kernel_size", least=1) or [2, 2]
    window = sides[0] * sides[-1]
    merger = {
        "path": "vit_merger",
        "norm": layer_norm("layer_norm1"),
        "attention": attention(c, CLIP),
        "norm_2": layer_norm("pre_norm", size=window * width),
        "linear_1": dense("linear_1", window * width, window * c.size("intermediate_size")),
        "linear_2": dense("linear_2", window * c.size("intermediate_size"), width),
    }
    return BODY(c, after={"merger": merger})


def lfm3(c: Config) -> Tree:
    """LFM3-VL's image encoder: layers of attention among layers of a gated short convolution over the map."""
    width, number = c.size("hidden_size"), c.size("num_attention_heads")
    words = {"conv": "convolution", "full_attention": "attention"}
    kinds = per_layer(c, "layer_types", words, lambda index: "convolution" if index < 2 or index % 2 else "attention")
    feed = feed_forward(c, LFM, gated=True, bias=None, names={"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}, activation="silu")
    side = c.size("conv_kernel_size")

    def build(word: str) -> Tree:
        if word == "attention":
            about = {"kv_heads": c.size("num_key_value_heads"), "head_dim": max(1, width // number), "qk_norm": "head"}
            attend = attention(c, LFM, bias=None, rotary=True, **about)
            return encoder_layer(LFM, attend, feed, norm=rms)
        return {
            "norm_1": rms("operator_norm"),
            "in_proj": dense("conv.in_proj", width, 3 * width, False) | {"component": "convolution"},
            "convolution": {"path": "conv.spatial_conv", "kernel": [side, side], "groups": width, "bias": False},
            "out_proj": dense("conv.out_proj", width, width, False) | {"component": "convolution"},
            "norm_2": rms("ffn_norm"),
            "feed_forward": feed,
            "flow": ["norm_1 in_proj convolution out_proj +", "norm_2 feed_forward +"],
        }

    inputs = c.size("in_channels") * c.size("temporal_patch_size") * c.size("patch_size") ** 2
    parts = {
        "patches": dense("patch_embed", inputs, width, False) | {"component": "embedding"},
        "layers": layered("layers.{}", [kinds], build),
        "norm": rms("embedding_norm"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def step(c: Config) -> Tree:
    """Step-3.7's image encoder: scaled branches, learned and rotary positions, two strided convolutions at the end."""
    for key, name in (("hidden_size", "width"), ("num_hidden_layers", "layers"), ("num_attention_heads", "heads")):
        c.also(key, name)
    width, rows = c.size("hidden_size"), patches(c)
    c.ignore("intermediate_size")  # the class computes it, whatever is said
    size = int(width * c.number("mlp_ratio", 1.0))
    layer = encoder_layer(STEP, attention(c, STEP, rotary=True), feed_forward(c, STEP, size=size), width=width)
    down = {"kind": "convolution", "kernel": [3, 3], "stride": [2, 2]}
    parts = {
        "patches": patch_embedding(c, "embeddings.patch_embedding", bias=False),
        "position": {"rows": rows, "path": "embeddings.position_embedding"},
        "embedding_norm": layer_norm("pre_layernorm"),
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "down_1": down | {"path": "downsampler1", "outputs": 2 * width},
        "down_2": down | {"path": "downsampler2", "inputs": 2 * width, "outputs": 4 * width},
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=rows, cache=False)


def molmo_attention(c: Config, inputs: int | None = None) -> Tree:
    heads = tree(heads=c.size("num_attention_heads"), kv_heads=c.optional("num_key_value_heads"), head_dim=c.optional("head_dim"))
    bias = c.flag("attention_bias", True) or None
    return tree(kind="attention", **heads, bias=bias, inputs=inputs, outputs=c.size("hidden_size") if inputs else None)


def molmo(c: Config) -> Tree:
    """Molmo 2's image encoder (Clark et al. 2026): flattened patches, positions as a bare parameter, no norm at the end."""
    c.also("image_size", "image_default_input_size")
    c.also("patch_size", "image_patch_size")
    c.also("num_position_embeddings", "image_num_pos")
    width, side = c.size("hidden_size"), c.size("patch_size")
    image = c.sizes("image_size", least=1) or [378, 378]  # the class's own, where it is null
    rows = c.optional("num_position_embeddings") or (image[0] // side) * (image[-1] // side)
    layer = encoder_layer(CLIP, molmo_attention(c) | {"path": "self_attn"}, feed_forward(c, CLIP))
    place = token("positional_embedding", rows, width) | {"component": "position_embedding"}
    parts = {
        "patches": dense("patch_embedding", side * side * c.size("num_channels"), width) | {"component": "embedding"},
        "position": place,
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=rows, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "cosmos3_edge_vision": partial(siglip_vision, flat=True, headed=False),
    "granite_docling_vision": granite_docling,
    "hunyuan_vl_vision": hunyuan,
    "lfm3_vl_vision": lfm3,
    "minicpm_ocr_vision": minicpm,
    "minicpmv4_6_vision": minicpm,
    "minicpmv4_7_vision": minicpm,
    "molmo2_vision": molmo,
    "step3p5_vision": step,
}
