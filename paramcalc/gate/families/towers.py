"""Image encoders that stand inside models of images and text: variations on ViT, CLIP and SAM."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.clip import siglip_vision
from paramcalc.gate.families.recipes import Tree, depth, document, layer_norm, layered, rms, stack, tree, under
from paramcalc.gate.families.vision import (
    CLIP,
    Words,
    attention,
    encoder_layer,
    feed_forward,
    image,
    patch_embedding,
    patches,
    refuse,
    token,
)

INTERN = Words("layernorm_before", "attention", "layernorm_after", "mlp", o="projection_layer", scales=("lambda_1", "lambda_2"))
LLAMA4 = Words("input_layernorm", "self_attn", "post_attention_layernorm", "mlp")
KIMI = Words("norm1", "attn", "norm2", "mlp", o="proj")
OVIS = Words("rms_norm1", "attention", "rms_norm2", "ffn", o="out_proj")
PIXTRAL = Words("attention_norm", "attention", "ffn_norm", "feed_forward")
SAM = Words("layer_norm1", "attn", "layer_norm2", "mlp", o="proj", up="lin1", down="lin2")

DOWNSAMPLED = [512, 896]
"""DeepSeek-OCR 2's channels, where its config has null."""


def pixtral(c: Config) -> Tree:
    """Pixtral (Agrawal et al. 2024): rotary in two directions, RMS norms, gated, no biases."""
    head_dim = max(1, c.size("hidden_size") // c.size("num_attention_heads"))
    layer = encoder_layer(
        PIXTRAL,
        attention(c, PIXTRAL, rounded=False, bias=None, rotary=True, head_dim=head_dim),
        feed_forward(c, PIXTRAL, gated=True, bias=None, names=None),
        norm=rms,
    )
    parts = {
        "patches": patch_embedding(c, "patch_conv", bias=False),
        "embedding_norm": rms("ln_pre"),
        "layers": stack("transformer.layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=patches(c), cache=False)


def internvl(c: Config, *, layers: str = "encoder.layer.{}") -> Tree:
    """InternViT (Chen et al. 2024): scaled branches; norms of queries and keys over all heads where `use_qk_norm` says so."""
    width = c.size("hidden_size")
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "cls_token": token("embeddings.cls_token", 1, 1, width) | {"joins": True},
    }
    if c.flag("use_mask_token"):
        parts["mask_token"] = token("embeddings.mask_token", 1, 1, width) | {"masks": True}
    rows = patches(c) + 1
    if c.flag("use_absolute_position_embeddings", True):
        parts["position"] = {"rows": rows, "bare": True, "path": "embeddings.position_embeddings"}
    bias = True if c.flag("attention_bias") else ["o"]
    attend = attention(c, INTERN, bias=bias, qk_norm="full" if c.flag("use_qk_norm") else None)
    norm = {"layer_norm": layer_norm, "rms_norm": rms}[c.choice("norm_type", ("layer_norm", "rms_norm"), "layer_norm")]
    layer = encoder_layer(INTERN, attend, feed_forward(c, INTERN), norm=norm, width=width)
    parts["layers"] = stack(layers, {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    if not c.flag("use_mean_pooling", True):
        parts["norm"] = layer_norm("layernorm")
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=rows, cache=False, image=image(c))


def sam_layer(c: Config, window: int) -> Tree:
    """A layer whose attention adds, for rows and columns apart, a learned vector for each distance (Li et al. 2022)."""
    size = window or c.size("image_size") // c.size("patch_size")
    heads = c.size("num_attention_heads")
    head_dim = max(1, c.size("hidden_size") // heads)
    bias = True if c.flag("qkv_bias", True) else ["o"]
    attend = attention(
        c,
        SAM,
        bias=bias,
        fused="qkv",
        heads=heads,
        head_dim=head_dim,
        chunk=window * window or None,
        names={"qkv_proj": "qkv", "o_proj": "proj"},
    )
    tables: Tree = {}
    if c.flag("use_rel_pos", True):
        for name in ("rel_pos_h", "rel_pos_w"):
            tables[name] = token(f"attn.{name}", max(1, 2 * size - 1), head_dim) | {"component": "position_embedding"}
    size = c.optional("mlp_dim") or int(c.size("hidden_size") * c.number("mlp_ratio", 4.0))
    return encoder_layer(SAM, attend, feed_forward(c, SAM, size=size), **tables)


def sam_parts(c: Config) -> Tree:
    """SAM's image encoder (Kirillov et al. 2023): windows but for some layers, then a neck of two convolutions."""
    grid, outputs = max(1, c.size("image_size") // c.size("patch_size")), c.size("output_channels")
    parts: Tree = {"patches": patch_embedding(c, "patch_embed.projection")}
    if c.flag("use_abs_pos", True):
        table = token("pos_embed", 1, grid, grid, c.size("hidden_size"))
        parts["position"] = table | {"type": "embedding", "component": "position_embedding"}
    window, everywhere = c.zero_or("window_size"), set(c.sizes("global_attn_indexes"))
    sees = ["global" if index in everywhere or not window else "local" for index in range(depth(c))]
    parts["layers"] = layered("layers.{}", [sees], lambda word: sam_layer(c, 0 if word == "global" else window))
    neck = {"kind": "convolution", "inputs": outputs, "outputs": outputs, "bias": False}
    return parts | {
        "neck": {
            "path": "neck",
            "convolution_1": neck | {"path": "conv1", "inputs": c.size("hidden_size"), "kernel": [1, 1]},
            "norm_1": layer_norm("layer_norm1", size=outputs),
            "convolution_2": neck | {"path": "conv2", "kernel": [3, 3]},
            "norm_2": layer_norm("layer_norm2", size=outputs),
        }
    }


def sam(c: Config, *, prefix: str = "", halved: bool = False) -> Tree:
    """SAM's image encoder; `halved`: two strided convolutions behind its neck, as DeepSeek-OCR has them."""
    if c.task("base") != "base":
        refuse(c)
    tokens = (c.size("image_size") // c.size("patch_size")) ** 2
    parts = sam_parts(c)
    if halved:
        read = c.size("output_channels")
        for index, width in enumerate((c.sizes("downsample_channels", least=1) or DOWNSAMPLED)[:2], 1):
            step = {"kind": "convolution", "path": f"proj.conv{index}", "inputs": read, "outputs": width, "bias": False}
            parts[f"down_{index}"] = step | {"kernel": [3, 3], "stride": [2, 2]}
            read = width
    return document(c, under(prefix, parts), tokens=tokens or None, cache=False)


def llama4(c: Config) -> Tree:
    """Llama 4's image encoder (Meta 2025): rotary and learned positions, and an adapter on shuffled patches at the end."""
    width, rows, side = c.size("hidden_size"), patches(c) + 1, c.size("patch_size")
    attend = attention(c, LLAMA4, rotary=True, head_dim=max(1, width // c.size("num_attention_heads")))
    layer = encoder_layer(LLAMA4, attend, feed_forward(c, LLAMA4, activation="gelu"))
    adapted = c.size("projector_output_dim")
    position = token("positional_embedding_vlm", rows, width)
    parts = {
        "patches": tree(kind="dense", path="patch_embedding.linear", inputs=c.size("num_channels") * side * side, bias=False)
        | {"component": "embedding"},
        "cls_token": token("class_embedding", width),
        "position": position | {"type": "embedding", "component": "position_embedding"},
        "embedding_norm": layer_norm("layernorm_pre"),
        "layers": stack("model.layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layernorm_post"),
        "adapter": {
            "path": "vision_adapter.mlp",
            "linear_1": tree(
                kind="dense",
                path="fc1",
                inputs=c.size("intermediate_size"),
                outputs=c.size("projector_input_dim"),
                bias=False,
                activation="gelu",
            ),
            "linear_2": tree(kind="dense", path="fc2", inputs=adapted, outputs=adapted, bias=False, activation="gelu"),
        },
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=rows, cache=False)


def kimi(c: Config) -> Tree:
    """Kimi K2.5's image encoder (Moonshot AI 2026): a grid of learned positions beside the rotary ones."""
    width = c.size("hidden_size")
    attend = attention(c, KIMI, rounded=False, rotary=True, head_dim=max(1, width // c.size("num_attention_heads")))
    grid = token("patch_embed.pos_emb.position_embeddings", c.size("pos_emb_height"), c.size("pos_emb_width"), width)
    parts = {
        "patches": patch_embedding(c, "patch_embed.proj", inputs=3),  # colours, fixed in the reference's code
        "position": grid | {"type": "embedding", "component": "position_embedding"},
        "layers": stack("layers.{}", {"layer": encoder_layer(KIMI, attend, feed_forward(c, KIMI))}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("final_layernorm"),
    }
    return document(c, parts, cache=False)


def minimax(c: Config) -> Tree:
    """MiniMax M3's image encoder: patches of a few frames, a norm before the layers and none after, rotary positions."""
    side = c.size("patch_size")
    kernel = [c.size("temporal_patch_size"), side, side]
    patch = tree(kind="convolution", path="embeddings.proj", inputs=c.size("num_channels"), kernel=kernel, stride=kernel, bias=False)
    layer = encoder_layer(CLIP, attention(c, CLIP, rotary=True), feed_forward(c, CLIP))
    parts = {
        "patches": patch | {"component": "embedding"},
        "embedding_norm": layer_norm("pre_layrnorm"),
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
    }
    return document(c, parts, cache=False)


def ovis2(c: Config) -> Tree:
    """Ovis 2 (Lu et al. 2024): AIMv2's encoder, and a head that gives each patch a distribution over visual words."""
    width, rows = c.size("hidden_size"), patches(c)
    attend = attention(c, OVIS, bias=c.flag("qkv_bias") or None, head_dim=max(1, width // c.size("num_attention_heads")))
    feed = feed_forward(c, OVIS, gated=True, bias=c.flag("mlp_bias") or None, names=None)
    visual = c.size("vocab_size") - c.size("num_visual_indicator_tokens")
    if visual < 1:
        c.fail("num_visual_indicator_tokens", "leaves nothing of vocab_size")
    parts = {
        "patches": patch_embedding(c, "transformer.embeddings.patch_embedding"),
        "position": {"rows": rows, "path": "transformer.embeddings.position_embedding"},
        "embedding_norm": rms("transformer.embeddings.rms_norm"),
        "layers": stack(
            "transformer.encoder.layers.{}", {"layer": encoder_layer(OVIS, attend, feed, norm=rms)}, f"{c.size('num_hidden_layers')} layer"
        ),
        "norm": rms("transformer.rms_norm"),
        "words": tree(kind="dense", path="head_linear", inputs=width * c.size("hidden_stride") ** 2, outputs=max(1, visual), bias=False),
        "words_norm": layer_norm("head_norm", size=max(1, visual)),
    }
    return document(c, parts, tokens=rows, cache=False)


BODY = partial(siglip_vision, headed=False)

FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "deepseek_ocr2_sam_vision_model": partial(sam, halved=True),
    "got_ocr2_vision": sam,
    "idefics3_vision": BODY,
    "internvl_vision": internvl,
    "llama4_vision_model": llama4,
    "idefics2_vision": BODY,
    "kimi_k25_vision": kimi,
    "minimax_m3_vl_vision": minimax,
    "ovis2_vision": ovis2,
    "paddleocr_vl_vision": partial(BODY, prefix="vision_model."),
    "pixtral": pixtral,
    "pp_chart2table_vision": sam,
    "qianfan_ocr_vision": partial(internvl, layers="layers.{}"),
    "sam_vision_model": partial(sam, prefix="vision_encoder."),
    "smolvlm_vision": BODY,
    "unlimited_ocr_sam_vision_model": partial(sam, halved=True),
    "video_llama_3_vision": partial(BODY, placed=False),
}
