"""Encoders of one stack over patches: ViT, DeiT, BEiT, DINOv2 and their kin."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, layer_norm, plain_activation, stack, tree, under
from paramcalc.gate.families.vision import (
    VIT,
    Words,
    attention,
    classifier,
    encoder_layer,
    feed_forward,
    first,
    image,
    mask_token,
    patch_embedding,
    patches,
    refuse,
    stochastic,
    token,
)

DINO = Words("norm1", "attention", "norm2", "mlp", scales=("layer_scale1.lambda1", "layer_scale2.lambda1"))


def finished(c: Config, parts: Tree, base: str, head: Tree, tokens: int) -> Tree:
    """An encoder with the head of its task; with one, the encoder's names stand under `base`."""
    parts = under(f"{base}.", parts) if c.task("base") not in ("base", "backbone") else parts
    return document(c, parts | head, tokens=tokens, cache=False, image=image(c))


def pooler(c: Config) -> Tree:
    """A dense layer on the class token."""
    size = c.optional("pooler_output_size")
    return tree(kind="dense", path="pooler.dense", outputs=size, activation=plain_activation(c, "pooler_act", "tanh"))


def pixels(c: Config) -> Tree:
    """The convolution [stride² · channels, width, 1, 1] that masked patches are told from (SimMIM, Xie et al. 2022)."""
    outputs = c.size("encoder_stride") ** 2 * c.size("num_channels")
    return tree(kind="convolution", path="decoder.{}", outputs=outputs, kernel=[1, 1], component="head")


def vit(
    c: Config,
    *,
    base: str = "vit",
    tokens: tuple[str, ...] = ("cls_token",),
    pooled: bool = True,
    trained: bool = True,
    count: Any = patches,
    patch: Any = patch_embedding,
) -> Tree:
    """ViT (Dosovitskiy et al. 2021) and those that differ by their tokens: positions are a bare parameter.

    The mask token is there for masked image modelling only, and the pooler for the bare model only.
    """
    task, width, number = c.task("base"), c.size("hidden_size"), count(c)
    parts: Tree = {"patches": patch(c, "embeddings.patch_embeddings.projection")}
    parts |= {name: token(f"embeddings.{name}", 1, 1, width) | {"joins": True} for name in tokens}
    if task == "masked_image":
        parts["mask_token"] = token("embeddings.mask_token", 1, 1, width)
    rows = number + len(tokens)
    parts["position"] = tree(type=None if trained else "fixed", rows=rows, bare=True, path="embeddings.position_embeddings")
    bias = True if c.flag("qkv_bias", True) else ["o"]
    layer = encoder_layer(VIT, attention(c, VIT, bias=bias), feed_forward(c, VIT))
    parts |= {"layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"), "norm": layer_norm("layernorm")}
    if task == "base" and pooled:
        parts |= {"pool": first(), "pooler": pooler(c)}
    return finished(c, parts, base, vit_head(c, task), rows)


def vit_head(c: Config, task: str) -> Tree:
    """The heads that the ViT classes have."""
    if task == "image_classification":
        return {"pool": first()} | tree(head=classifier(c, "classifier"))
    if task == "teacher":
        return tree(head=classifier(c, "cls_classifier"), distillation_head=classifier(c, "distillation_classifier"))
    if task == "masked_image":
        return {"head": pixels(c)}
    if task == "audio_classification":
        return tree(head_norm=layer_norm("classifier.layernorm"), head=classifier(c, "classifier.dense"))
    if task == "pretraining" and c.model_type == "vit_mae":
        return mae_decoder(c)
    if task not in ("base", "backbone"):
        refuse(c)
    return {}


def mae_decoder(c: Config) -> Tree:
    """The decoder of a masked autoencoder (He et al. 2022): a small ViT over all patches, to pixels."""
    width, rows = c.size("decoder_hidden_size"), patches(c) + 1
    heads = c.size("decoder_num_attention_heads")
    bias = True if c.flag("qkv_bias", True) else ["o"]
    attend = attention(c, VIT, heads=heads, head_dim=c.optional("head_dim") or max(1, width // heads), bias=bias)
    layer = encoder_layer(VIT, attend, feed_forward(c, VIT, size=c.size("decoder_intermediate_size")))
    outputs = c.size("patch_size") ** 2 * c.size("num_channels")
    decoder = {
        "path": "decoder",
        "width": width,
        "embed": {"kind": "dense", "path": "decoder_embed", "inputs": c.size("hidden_size")},
        "mask_token": token("mask_token", 1, 1, width),
        "position": {"type": "fixed", "rows": rows, "bare": True, "path": "decoder_pos_embed"},
        "layers": stack("decoder_layers.{}", {"layer": layer}, f"{c.size('decoder_num_hidden_layers')} layer"),
        "norm": layer_norm("decoder_norm"),
        "head": {"kind": "dense", "path": "decoder_pred", "outputs": outputs, "component": "head"},
    }
    return {"decoder": decoder}


def spectrogram(c: Config, path: str) -> Tree:
    """A convolution over overlapping patches of a spectrogram (AST, Gong et al. 2021)."""
    side = c.size("patch_size")
    strides = [c.size("frequency_stride"), c.size("time_stride")]
    return tree(kind="convolution", path=path, inputs=1, kernel=[side, side], stride=strides, component="embedding")


def spectrogram_patches(c: Config) -> int:
    """How many overlapping patches a spectrogram of mel bands and frames has."""
    side = c.size("patch_size")
    bands = (c.size("num_mel_bins") - side) // c.size("frequency_stride") + 1
    frames = (c.size("max_length") - side) // c.size("time_stride") + 1
    return max(0, bands) * max(0, frames)


def swiglu_size(hidden: int) -> int:
    """Two thirds of the plain size, rounded up to a multiple of 8, as DINOv2's giant has it."""
    return (int(hidden * 2 / 3) + 7) // 8 * 8


def dinov2(c: Config, *, registers: bool = False) -> Tree:
    """DINOv2 (Oquab et al. 2024): scaled branches; with registers (Darcet et al. 2024) beside the class token.

    Its classifier reads the class token and the mean of the patches.
    """
    width, task = c.size("hidden_size"), c.task("base")
    parts: Tree = {"patches": patch_embedding(c, "embeddings.patch_embeddings.projection")}
    parts["cls_token"] = token("embeddings.cls_token", 1, 1, width) | {"joins": True}
    if registers or c.flag("use_mask_token", True):
        parts["mask_token"] = mask_token("embeddings.mask_token", 1, width)
    extra = c.zero_or("num_register_tokens") if registers else 0
    if extra:
        parts["registers"] = token("embeddings.register_tokens", 1, extra, width) | {"joins": True}
    rows = patches(c) + 1
    position = {"rows": rows, "bare": True, "path": "embeddings.position_embeddings"}
    parts |= {"position": position} | ({"registers": parts.pop("registers")} if extra else {})
    size = int(width * c.number("mlp_ratio", 4))
    feed = feed_forward(c, DINO, size=size)
    if c.flag("use_swiglu_ffn"):
        feed = feed_forward(c, DINO, size=swiglu_size(size), gated=True, activation="silu", names=None)
    bias = True if c.flag("qkv_bias", True) else ["o"]
    layer = encoder_layer(DINO, attention(c, DINO, bias=bias, upcast=False), feed, width=width)
    layer = stochastic(layer, c.number("drop_path_rate"))
    parts["layers"] = stack("encoder.layer.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    parts["norm"] = layer_norm("layernorm")
    head = {}
    if task == "image_classification":
        head = {"pool": {"kind": "pooling", "type": "first_and_mean"}} | tree(head=classifier(c, "classifier", 2 * width))
    if task not in ("base", "backbone", "image_classification"):
        refuse(c)
    return finished(c, parts, c.model_type, head, rows + extra)


def dinov3(c: Config) -> Tree:
    """DINOv3 (Siméoni et al. 2025): rotary positions, register tokens, a bias for each projection by its own switch."""
    width, extra = c.size("hidden_size"), c.zero_or("num_register_tokens")
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings"),
        "cls_token": token("embeddings.cls_token", 1, 1, width),
        "mask_token": token("embeddings.mask_token", 1, 1, width),
    }
    if extra:
        parts["registers"] = token("embeddings.register_tokens", 1, extra, width)
    keys = {"q": "query_bias", "k": "key_bias", "v": "value_bias", "o": "proj_bias"}
    bias = [name for name, key in keys.items() if c.flag(key, True)]
    attend = attention(c, DINO, bias=bias, rotary=True, head_dim=max(1, width // c.size("num_attention_heads")))
    gated = c.flag("use_gated_mlp")
    feed = feed_forward(c, DINO, gated=gated, bias=c.flag("mlp_bias", True), names=None)
    layer = encoder_layer(DINO, attend, feed, width=width)
    parts["layers"] = stack("model.layer.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    parts["norm"] = layer_norm("norm")
    if c.task("base") not in ("base", "backbone"):
        refuse(c)
    return document(c, parts, tokens=patches(c) + 1 + extra, cache=False)


FAMILIES = {
    "audio-spectrogram-transformer": partial(
        vit,
        base="audio_spectrogram_transformer",
        tokens=("cls_token", "distillation_token"),
        pooled=False,
        count=spectrogram_patches,
        patch=spectrogram,
    ),
    "deit": partial(vit, base="deit", tokens=("cls_token", "distillation_token")),
    "dinov2": dinov2,
    "dinov2_with_registers": partial(dinov2, registers=True),
    "dinov3_vit": dinov3,
    "ijepa": partial(vit, base="ijepa", tokens=(), pooled=False),
    "vit": vit,
    "vit_mae": partial(vit, pooled=False, trained=False),
    "vit_msn": partial(vit, pooled=False),
}
