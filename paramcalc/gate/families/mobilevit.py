"""Networks between convolutions and attention: MobileViT v1 and v2, CvT, LeViT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.maps import batch_norm, classified, convolution, depthwise, divisible
from paramcalc.gate.families.mobile import inverted, normed
from paramcalc.gate.families.pyramid import stages
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, labels, layer_norm, stack, tree, under, whole
from paramcalc.gate.families.vision import Words, attention, classifier, feed_forward, pair, refuse, token
from paramcalc.words.sizes import MAX_SIZE

VIT = Words(
    "layernorm_before", "attention", "layernorm_after", "", "attention.query", "attention.key", "attention.value", "output.dense",
    "intermediate.dense", "output.dense",
)  # fmt: skip
CVT = VIT._replace(q="attention.projection_query", k="attention.projection_key", v="attention.projection_value")
DEPTHS = (2, 4, 3)
"""Layers of attention in MobileViT's last three stages (Mehta & Rastegari 2022), fixed in the reference's code."""
GROUP: Tree = {"kind": "norm", "type": "group"}


class Plan(NamedTuple):
    """What a MobileViT is made of: channels from the stem on, widths of its attention, layers of each kind."""

    channels: list[int]
    widths: list[int]
    depths: list[int]
    early: int
    """Inverted residuals of the second stage."""


def residual(c: Config, read: int, made: int, path: str) -> Tree:
    inner = divisible(round(read * c.number("expand_ratio", 4.0)))
    return inverted(read, inner, made, path=path, width=read)


def attended(c: Config, width: int) -> Tree:
    """A layer as in ViT (Dosovitskiy et al. 2021)."""
    bias = True if c.flag("qkv_bias", True) else ["o"]
    heads = c.size("num_attention_heads")
    attend = attention(c, VIT, heads=heads, head_dim=max(1, width // heads), bias=bias)
    size = max(1, int(width * c.number("mlp_ratio", 2.0)))
    return {
        "norm_1": layer_norm(VIT.norm_1),
        "attention": attend,
        "norm_2": layer_norm(VIT.norm_2),
        "feed_forward": feed_forward(c, VIT, size=size),
        "flow": PRE_NORM,
    }


def weighed(c: Config, width: int) -> Tree:
    """Separable attention (Mehta & Rastegari 2022b): one score a pixel, a key and a value of the width."""
    size = max(16, c.size("ffn_multiplier") * width // 16 * 16)
    return {
        "norm_1": GROUP | {"path": "layernorm_before"},
        "mixed": convolution("attention.qkv_proj.convolution", width, 1 + 2 * width, component="attention"),
        "output": convolution("attention.out_proj.convolution", width, width, component="attention"),
        "norm_2": GROUP | {"path": "layernorm_after"},
        "up": convolution("ffn.conv1.convolution", width, size, component="feed_forward"),
        "down": convolution("ffn.conv2.convolution", size, width, component="feed_forward"),
        "flow": ["norm_1 mixed output +", "norm_2 up down +"],
    }


def mobilevit(c: Config, plan: Plan, layer: Callable[[Config, int], Tree], *, base: str, first: bool) -> Tree:
    """Inverted residuals, then stages whose pixels also attend to each other; `first` version: full convolutions, a fusion
    with what came in, and a wider map at the end."""
    stem, *channels = plan.channels
    side = c.size("conv_kernel_size")
    parts: Tree = normed("stem", "conv_stem", convolution("", c.size("num_channels"), stem, 3, stride=2))
    read = stem
    for index, number in enumerate((1, plan.early)):
        group: Tree = {"path": "encoder.layer.{}", "width": channels[index]}
        for place in range(number):
            group[f"residual_{place + 1}"] = residual(c, read, channels[index], "layer.{}")
            read = channels[index]
        parts[f"stage_{index + 1}"] = group
    for index, (width, number) in enumerate(zip(plan.widths, plan.depths, strict=True), 2):
        made = channels[index]
        group = {"path": "encoder.layer.{}", "width": width, "down": residual(c, read, made, "downsampling_layer")}
        local = convolution("", made, made, side) if first else depthwise("", made, side)
        group |= normed("local", "conv_kxk", local) | {"into": convolution("conv_1x1.convolution", made, width, bias=False)}
        if number:
            group["layers"] = stack("transformer.layer.{}", {"layer": layer(c, width)}, f"{number} layer")
        group["norm"] = layer_norm("layernorm") if first else GROUP | {"path": "layernorm"}
        group |= normed("out", "conv_projection", convolution("", width, made))
        if first:
            group |= normed("fusion", "fusion", convolution("", 2 * made, made, side))
        parts[f"stage_{index + 1}"] = group
        read = made
    if c.architecture().endswith("ForSemanticSegmentation"):
        return document(c, under(f"{base}.", parts) | {"decoder": pyramid_pooling(c, read)}, width=read, cache=False)
    if first:
        read = channels[5]
        parts |= normed("top", "conv_1x1_exp", convolution("", channels[4], read))
    return classified(c, parts, base, read)


def pyramid_pooling(c: Config, read: int) -> Tree:
    """DeepLab v3's head (Chen et al. 2017): one 1×1 and three dilated convolutions, and one of the mean, side by side."""
    inner = c.size("aspp_out_channels")
    if len(c.sizes("atrous_rates")) != 3:
        c.fail("atrous_rates", "expected three rates")
    parts: Tree = {"path": "segmentation_head", "width": inner}
    for name, path, block in (
        ("near", "aspp.convs.{}", convolution("", read, inner)),
        *((f"far_{rate}", "aspp.convs.{}", convolution("", read, inner, 3)) for rate in (1, 2, 3)),
        ("mean", "aspp.convs.{}.conv_1x1", convolution("", read, inner)),
        ("projection", "aspp.project", convolution("", 5 * inner, inner)),
    ):
        parts |= normed(name, path, block)
    return parts | {"head": convolution("classifier.convolution", inner, labels(c), component="head")}


def mobilevit_1(c: Config) -> Tree:
    """MobileViT (Mehta & Rastegari 2022)."""
    channels, widths = c.sizes("neck_hidden_sizes", least=1), c.sizes("hidden_sizes", least=1)
    if len(channels) != 7 or len(widths) != 3:
        c.fail("neck_hidden_sizes", f"expected 7 and 3 hidden_sizes, got {len(channels)} and {len(widths)}")
        channels, widths = [1] * 7, [1] * 3
    return mobilevit(c, Plan(channels, widths, [2, 4, 3], 3), attended, base="mobilevit", first=True)


def mobilevit_2(c: Config) -> Tree:
    """MobileViT v2 (Mehta & Rastegari 2022b): every width follows from one factor."""
    factor, depths, widths = c.number("width_multiplier", 1.0), c.sizes("n_attn_blocks"), c.sizes("base_attn_unit_dims", least=1)
    if len(depths) != 3 or len(widths) != 3 or factor <= 0:
        c.fail("n_attn_blocks", f"expected three stages and a factor of more than 0, got {len(depths)}, {len(widths)} and {factor}")
        depths, widths, factor = [1] * 3, [1] * 3, 1.0
    stem = divisible(min(max(32 * factor, 16), 64), 8, 16)
    channels = [stem, divisible(64 * factor, 16), *(divisible(number * factor) for number in (128, 256, 384, 512))]
    return mobilevit(
        c, Plan(channels, [divisible(width * factor) for width in widths], depths, 2), weighed, base="mobilevitv2", first=False
    )


def numbers(c: Config, key: str, count: int) -> list[float]:
    """One number a stage."""
    values = c.listed(key) or []
    good = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(good) < count or len(good) != len(values):
        c.fail(key, f"expected a number for each of {count} stages, got {values!r:.60}")
        return [1.0] * count
    return good


def on(values: Sequence[object] | None, index: int, default: bool) -> bool:
    return bool(values[index]) if values is not None and index < len(values) else default


def cvt(c: Config) -> Tree:
    """CvT (Wu et al. 2021): queries, keys and values from depthwise convolutions; a class token in the last stage."""
    shape = stages(c, "depth", "embed_dim", "num_heads", "patch_sizes", "patch_stride", "kernel_qkv")
    ratios, read = numbers(c, "mlp_ratio", len(shape)), c.size("num_channels")
    methods, widths = c.listed("qkv_projection_method") or [], [row[1] for row in shape] or [1]
    parts: Tree = {}
    for index, (number, width, heads, side, stride, kernel) in enumerate(shape):
        method = methods[index] if index < len(methods) else "dw_bn"
        if method not in ("dw_bn", "avg", "linear"):
            c.fail("qkv_projection_method", f"expected dw_bn, avg or linear, got {method!r:.60}")
        biased = on(c.listed("qkv_bias"), index, True)
        attend = attention(c, CVT, **whole(c, max(1, heads), width), bias=True if biased else ["o"])
        layer: Tree = {"norm_1": layer_norm(CVT.norm_1), "attention": attend}
        for name in ("query", "key", "value") if method == "dw_bn" else ():
            path = f"attention.attention.convolution_projection_{name}.convolution_projection"
            layer |= normed(name, path, depthwise("", width, max(1, kernel), component="attention"))
        layer |= {
            "norm_2": layer_norm(CVT.norm_2),
            "feed_forward": feed_forward(c, CVT, size=max(1, int(width * ratios[index])), activation="gelu"),
            "flow": PRE_NORM,
        }
        group: Tree = {"path": "encoder.stages.{}", "width": width}
        if on(c.listed("cls_token"), index, False):
            group["cls_token"] = token("cls_token", 1, 1, widths[-1])
        embedding = "embedding.convolution_embeddings"
        group["patches"] = convolution(f"{embedding}.projection", read, width, max(1, side), stride=stride)
        group["patches_norm"] = layer_norm(f"{embedding}.normalization")
        if number:
            group["layers"] = stack("layers.{}", {"layer": layer}, f"{number} layer")
        parts[f"stage_{index + 1}"], read = group, width
    return classified(c, parts, "cvt", widths[-1], top={"norm": layer_norm("layernorm", size=widths[-1])})


def batch_dense(name: str, path: str, inputs: int, outputs: int, component: str = "attention") -> Tree:
    """A dense layer without bias and its batch norm."""
    return {
        name: dense(f"{path}.linear", inputs, outputs, False) | {"component": component},
        f"{name}_norm": batch_norm(f"{path}.batch_norm", outputs),
    }


def levit_network(path: str, width: int, size: int) -> Tree:
    parts = batch_dense("up", f"{path}.linear_up", width, size, "feed_forward")
    return parts | batch_dense("down", f"{path}.linear_down", size, width, "feed_forward")


def distances(path: str, heads: int, grid: int) -> Tree:
    """A bias for each distance in rows and columns."""
    return token(path, heads, max(1, grid * grid)) | {"component": "position_embedding"}


class Subsampling(NamedTuple):
    """How LeViT goes from one stage to the next."""

    key: int
    heads: int
    ratio: int = 4
    """Values a key."""
    grows: int = 2
    stride: int = 2


def subsamplings(c: Config, widths: list[int], key: int) -> list[Subsampling]:
    """As `down_ops` states them, where it does for both; else as the class makes them of the first stage's keys."""
    stated = [row[1:] for row in c.listed("down_ops") or [] if isinstance(row, list) and len(row) == 6]
    if len(stated) == 2 and all(type(size) is int and 0 <= size <= MAX_SIZE for row in stated for size in row):
        return [Subsampling(*row)._replace(stride=max(1, row[4])) for row in stated]
    return [Subsampling(key, width // key) for width in widths[:2]]


def shrinking(read: int, made: int, down: Subsampling, grid: int) -> Tree:
    """Attention that asks from every second pixel, four values a key (Graham et al. 2021)."""
    key, heads, ratio = down.key, down.heads, down.ratio
    if not heads * key * ratio:  # keys wider than the stream leave none, and the reference a norm of nothing
        return {"output_norm": batch_norm("projection.batch_norm", made)}
    return {
        "biases": distances("attention_biases", heads, grid),
        **batch_dense("keys_values", "keys_values", read, (ratio + 1) * key * heads),
        **batch_dense("queries", "queries", read, key * heads),
        **batch_dense("output", "projection", ratio * key * heads, made),
    }


def levit(c: Config) -> Tree:
    """LeViT (Graham et al. 2021): a stem of four convolutions, batch norms throughout, biases by distance."""
    shape, side = (
        stages(c, "depths", "hidden_sizes", "num_attention_heads", "key_dim", "mlp_ratio", "attention_ratio"),
        c.size("kernel_size"),
    )
    if len(shape) != 3:
        c.fail("depths", f"expected 3 stages, got {len(shape)}")
        return document(c, {}, width=1, cache=False)
    first = shape[0][1]
    downs = subsamplings(c, [row[1] for row in shape], max(1, shape[0][3]))
    sizes = [c.size("num_channels"), *(max(1, first // part) for part in (8, 4, 2)), first]
    parts: Tree = {}
    for index in range(4):
        path, block = f"patch_embeddings.embedding_layer_{index + 1}", convolution("", sizes[index], sizes[index + 1], side, bias=False)
        parts |= {f"stem_{index + 1}": block | {"path": f"{path}.convolution"}}
        parts |= {f"stem_norm_{index + 1}": batch_norm(f"{path}.batch_norm", sizes[index + 1])}
    grid = pair(c, "image_size")[0] // pair(c, "patch_size")[0]
    for index, (number, width, heads, key, grows, ratio) in enumerate(shape):
        group: Tree = {"path": "encoder.stages.{}", "width": width, "tokens": max(1, grid * grid)}
        inner = key * heads
        layer: Tree = {
            "biases": distances("module.attention_biases", heads, grid),
            **batch_dense("qkv", "module.queries_keys_values", width, (ratio + 2) * inner),
            **batch_dense("output", "module.projection", ratio * inner, width),
        }
        flow = ["qkv qkv_norm output output_norm +"]
        if grows:
            layer |= levit_network("module", width, width * grows)
            flow.append("up up_norm down down_norm +")
        if number:
            group["layers"] = stack("layers.{}", {"layer": layer | {"flow": flow}}, f"{number} layer")
        if index < 2:
            made = shape[index + 1][1]
            group["down"] = {"path": "layers.{}", **shrinking(width, made, downs[index], grid)}
            if downs[index].grows:
                inner = downs[index].grows * made
                group["network"] = {"path": "layers.{}", "width": made, **levit_network("module", made, inner)}
            grid = (grid - 1) // downs[index].stride + 1
        parts[f"stage_{index + 1}"] = group
    return document(c, levit_heads(c, parts, shape[-1][1]), width=shape[-1][1], cache=False)


def levit_heads(c: Config, parts: Tree, width: int) -> Tree:
    """A batch norm and a dense layer; a second pair where a teacher is listened to."""
    task = c.task("base")
    if task not in ("base", "image_classification", "teacher"):
        refuse(c)
    if task == "base":
        return parts
    heads: Tree = {}
    for name, path in (("head", "classifier"), *((("teacher_head", "classifier_distill"),) if task == "teacher" else ())):
        top = tree(head=classifier(c, f"{path}.linear", width))
        heads |= {f"{name}_norm": batch_norm(f"{path}.batch_norm", width)} | ({name: top["head"]} if top else {})
    return under("levit.", parts) | heads


FAMILIES: dict[str, Callable[[Config], Tree]] = {"cvt": cvt, "levit": levit, "mobilevit": mobilevit_1, "mobilevitv2": mobilevit_2}
