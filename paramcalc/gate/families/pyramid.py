"""Encoders in stages, each at a coarser grid and a larger width: Swin, ConvNeXt, ResNet."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, layer_norm, plain_activation, stack, tree, under
from paramcalc.gate.families.vision import (
    Words,
    attention,
    classifier,
    feed_forward,
    image,
    mean,
    pair,
    patch_embedding,
    refuse,
    token,
)

SWIN = Words("layernorm_before", "attention", "layernorm_after", "mlp")
SWIN_V2 = Words(
    "layernorm_before", "attention", "layernorm_after", "", "self.query", "self.key", "self.value", "output.dense", "intermediate.dense",
    "output.dense",
)  # fmt: skip
POSITION_MLP = 512
"""Hidden size of Swin v2's network from a distance to a bias (Liu et al. 2022), fixed in the reference's code."""
MOST_STAGES = 64


def stages(c: Config, *keys: str) -> list[tuple[int, ...]]:
    """One tuple a stage from lists of equal length; the first list says how many there are."""
    lists = [c.sizes(key) for key in keys]
    count = len(lists[0])
    if not 1 <= count <= MOST_STAGES:
        c.fail(keys[0], f"expected a number for each of 1 to {MOST_STAGES} stages, got {count}")
        return []
    for key, values in zip(keys[1:], lists[1:], strict=True):
        if len(values) < count:
            c.fail(key, f"names {len(values)} stages, but {keys[0]} names {count}")
            return []
    return list(zip(*lists, strict=False))


def kept(c: Config, count: int) -> list[int]:
    """The stages (0 is the stem) whose maps a backbone gives out, by `out_features` or `out_indices`; the last one else."""
    names = ["stem", *(f"stage{index + 1}" for index in range(count))]
    named = c.listed("out_features")
    if named is not None:
        unknown = [name for name in named if name not in names]
        if unknown:
            c.fail("out_features", f"expected some of {', '.join(names)}; got {unknown[0]!r:.60}")
            return []
        return [names.index(name) for name in named]
    indices = c.listed("out_indices")
    if indices is None:
        return [count]
    if not all(type(index) is int and -len(names) <= index < len(names) for index in indices):
        c.fail("out_indices", f"expected indices of {len(names)} stages, got {indices!r:.60}")
        return []
    return [index % len(names) for index in indices]


def stage_norms(c: Config, widths: list[int]) -> Tree:
    """The norms of the maps that a backbone gives out; `widths` begin with the stem's."""
    norms = {}
    for index in kept(c, len(widths) - 1):
        name = f"stage{index}" if index else "stem"
        norms[f"norm_{name}"] = layer_norm(f"hidden_states_norms.{name}", size=widths[index])
    return norms


def swin_layer(c: Config, words: Words, width: int, heads: int, bias: Any, **more: Tree) -> Tree:
    window = c.size("window_size")
    if width % heads:
        c.fail("num_heads", f"({heads}) does not divide a stage's width ({width})")
    attend = attention(c, words, heads=heads, head_dim=max(1, width // heads), bias=bias, chunk=window * window)
    size = int(c.number("mlp_ratio", 4.0) * width)
    return {
        "norm_1": layer_norm(words.norm_1),
        "attention": attend,
        "norm_2": layer_norm(words.norm_2),
        "feed_forward": feed_forward(c, words, size=size),
    } | more


def swin_1(
    c: Config,
    width: int,
    heads: int,
    *,
    words: Words = SWIN,
    path: str = "attention.relative_position_bias.relative_position_bias_table",
) -> Tree:
    """Swin (Liu et al. 2021): pre-norm, and a table of biases (at `path`) by the distance within a window."""
    window = c.size("window_size")
    table = token(path, (2 * window - 1) ** 2, heads) | {"component": "position_embedding"}
    bias = True if c.flag("qkv_bias", True) else ["o"]
    return swin_layer(c, words, width, heads, bias, relative=table) | {"flow": ["norm_1 attention +", "norm_2 feed_forward +"]}


def swin_2(c: Config, width: int, heads: int) -> Tree:
    """Swin v2 (Liu et al. 2022): norms after each block, cosine attention with a scale per head, biases from a network."""
    mlp = "attention.self.continuous_position_bias_mlp.{}"
    more = {
        "logit_scale": token("attention.self.logit_scale", heads, 1, 1),
        "relative_up": {"kind": "dense", "path": mlp, "inputs": 2, "outputs": POSITION_MLP},
        "relative_down": {"kind": "dense", "path": mlp, "inputs": POSITION_MLP, "outputs": heads, "bias": False},
    }
    for name in ("relative_up", "relative_down"):
        more[name]["component"] = "position_embedding"
    bias = ["q", "v", "o"] if c.flag("qkv_bias", True) else ["o"]
    return swin_layer(c, SWIN_V2, width, heads, bias, **more) | {"flow": ["attention norm_1 +", "feed_forward norm_2 +"]}


def swin(
    c: Config, *, layer: Any = swin_1, merged: int = 4, positions: int = 0, base: str = "swin", normed: bool = True, last: bool = True
) -> Tree:
    """Windows of attention in stages; between two of them, four neighbours become one of twice the width.

    `merged` times the width is what the merging norm sees, `positions` is added to the patches where there is a table of
    absolute positions, `normed` says whether a backbone norms its maps, `last` whether there is a norm at the end.
    """
    first, task = c.size("embed_dim"), c.task("base")
    (height, columns), sides = pair(c, "image_size"), pair(c, "patch_size")
    grid = (height // sides[0], columns // sides[1])
    parts: Tree = {"patches": patch_embedding(c, "embeddings.patch_embeddings.projection")}
    if task == "masked_image":
        parts["mask_token"] = token("embeddings.mask_token", 1, 1, first)
    if c.flag("use_absolute_embeddings"):
        parts["position"] = {"rows": grid[0] * grid[1] + positions, "bare": True, "path": "embeddings.position_embeddings"}
    parts["embedding_norm"] = layer_norm("embeddings.norm")
    depths = stages(c, "depths", "num_heads")
    widths = [first * 2**index for index in range(len(depths))] or [first]
    for index, (number, heads) in enumerate(depths):
        width = widths[index]
        group = tree(path="encoder.layers.{}", width=width, tokens=max(1, (grid[0] >> index) * (grid[1] >> index)))
        if number:
            group["blocks"] = stack("blocks.{}", {"layer": layer(c, width, max(1, heads))}, f"{number} layer")
        if index + 1 < len(depths):
            group["merge_norm"] = layer_norm("downsample.norm", size=merged * width)
            group["merge"] = {"kind": "dense", "path": "downsample.reduction", "inputs": 4 * width, "outputs": 2 * width, "bias": False}
        parts[f"stage_{index + 1}"] = group
    if last and (task != "backbone" or normed):
        parts["norm"] = layer_norm("layernorm", size=widths[-1])
    prefixed = task != "base" and (task != "backbone" or normed)
    parts = under(f"{base}.", parts) if prefixed else parts
    return document(c, parts | swin_head(c, task, widths, normed), width=first, tokens=max(1, grid[0] * grid[1]), cache=False)


def swin_head(c: Config, task: str, widths: list[int], normed: bool) -> Tree:
    if task == "image_classification":
        return tree(head=classifier(c, "classifier", widths[-1]))
    if task == "masked_image":
        outputs = c.size("encoder_stride") ** 2 * c.size("num_channels")
        return {"head": {"kind": "convolution", "path": "decoder.{}", "inputs": widths[-1], "outputs": outputs, "kernel": [1, 1]}}
    if task == "backbone" and normed:
        return stage_norms(c, [widths[0], *widths])
    if task not in ("base", "backbone"):
        refuse(c)
    return {}


def convnext_layer(c: Config, width: int, second: bool) -> Tree:
    """A depthwise 7×7 convolution and a feed-forward network; v1 scales the branch, v2 normalises its inside."""
    more: Tree = {}
    scaled = ""
    if second:
        more = {"response_gain": token("grn.weight", 1, 1, 1, 4 * width), "response_bias": token("grn.bias", 1, 1, 1, 4 * width)}
        more["response_bias"]["type"] = "bias"
        more = {name: part | {"component": "norm"} for name, part in more.items()}
    elif c.number("layer_scale_init_value") > 0:
        more, scaled = {"scale": token("layer_scale_parameter", width)}, " scale"
    return {
        "depthwise": {"kind": "convolution", "path": "dwconv", "kernel": [7, 7], "groups": width},
        "norm": layer_norm("layernorm"),
        "feed_forward": tree(
            path="",
            size=4 * width,
            gated=False,
            bias=True,
            activation=plain_activation(c),
            names={"up_proj": "pwconv1", "down_proj": "pwconv2"},
        ),
        **more,
        "flow": [f"depthwise norm feed_forward{scaled} +"],
    }


def convnext(c: Config, *, second: bool = False) -> Tree:
    """ConvNeXt (Liu et al. 2022) and ConvNeXt v2 (Woo et al. 2023): a strided 2×2 convolution before each later stage."""
    task = c.task("base")
    shape = stages(c, "hidden_sizes", "depths")[: c.size("num_stages")]
    if len(shape) < c.size("num_stages"):
        c.fail("num_stages", f"({c.size('num_stages')}) is more than the stages that hidden_sizes and depths name")
    widths = [width for width, _ in shape] or [1]
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings", outputs=widths[0]),
        "embedding_norm": layer_norm("embeddings.layernorm"),
    }
    for index, (width, number) in enumerate(shape):
        group = tree(path="encoder.stages.{}", width=width)
        if index:
            before = widths[index - 1]
            group["down_norm"] = layer_norm("downsampling_layer.{}", size=before)
            group["down"] = {"kind": "convolution", "path": "downsampling_layer.{}", "inputs": before, "kernel": [2, 2], "stride": [2, 2]}
        if number:
            group["layers"] = stack("layers.{}", {"layer": convnext_layer(c, width, second)}, f"{number} layer")
        parts[f"stage_{index + 1}"] = group
    heads: Tree = {}
    if task == "backbone":
        heads = stage_norms(c, [widths[0], *widths])
    else:
        parts["norm"] = layer_norm("layernorm", size=widths[-1])
    if task == "image_classification":
        heads = tree(head=classifier(c, "classifier", widths[-1]))
        parts = under(f"{c.model_type}.", parts)
    elif task not in ("base", "backbone"):
        refuse(c)
    return document(c, parts | heads, width=widths[0], cache=False)


def convolved(path: str, inputs: int, outputs: int, kernel: int, number: str, stride: int = 1, *, padded: bool = False) -> Tree:
    """A convolution without bias and its batch norm; `padded` by half its kernel."""
    return {
        f"convolution_{number}": tree(
            kind="convolution", path=f"{path}.convolution", inputs=inputs, outputs=outputs, kernel=[kernel, kernel],
            stride=[stride, stride] if stride > 1 else None, padding=kernel // 2 if padded else None, bias=False,
        ),
        f"norm_{number}": {"kind": "norm", "type": "batch", "path": f"{path}.normalization", "size": outputs},
    }  # fmt: skip


padded = partial(convolved, padded=True)


def resnet_layer(c: Config, inputs: int, outputs: int, stride: int) -> Tree:
    """ResNet's layers (He et al. 2016): two 3×3 convolutions, or 1×1, 3×3, 1×1 through a quarter of the width. The reference
    takes the config's activation behind the sum, and in a bottleneck always ReLU before it."""
    plain = c.choice("layer_type", ("basic", "bottleneck"), "bottleneck") == "basic"
    if plain:
        steps = [padded("layer.{}", inputs, outputs, 3, "1", stride), padded("layer.{}", outputs, outputs, 3, "2")]
    else:
        early = c.flag("downsample_in_bottleneck")
        inner = max(1, outputs // 4)
        steps = [
            padded("layer.{}", inputs, inner, 1, "1", stride if early else 1),
            padded("layer.{}", inner, inner, 3, "2", 1 if early else stride),
            padded("layer.{}", inner, outputs, 1, "3"),
        ]
    layer = {name: part for step in steps for name, part in step.items()}
    layer |= {"inner": function("relu"), "activation": function(plain_activation(c, "hidden_act", "relu"))}
    chain = " inner ".join(" ".join(step) for step in steps)
    if inputs == outputs and stride == 1:
        return layer | {"flow": [f"{chain} +", "activation"]}
    shortcut = padded("shortcut", inputs, outputs, 1, "shortcut", stride)
    return layer | shortcut | {"flow": [f"({chain} | convolution_shortcut norm_shortcut) activation"]}


def function(name: str) -> Tree:
    """An activation on its own."""
    return {"kind": "activation", "function": name}


def resnet(c: Config) -> Tree:
    """ResNet (He et al. 2016): a 7×7 stem, then stages of residual layers; batch norm's statistics are buffers."""
    task, stem = c.task("base"), c.size("embedding_size")
    parts: Tree = padded("embedder.embedder", c.size("num_channels"), stem, 7, "stem", 2)
    parts["activation"] = function(plain_activation(c, "hidden_act", "relu"))
    parts["stem_pool"] = {"kind": "pooling", "type": "max", "kernel": 3, "stride": 2, "padding": 1}
    before = stem
    for index, (width, number) in enumerate(stages(c, "hidden_sizes", "depths")):
        stride = 2 if index or c.flag("downsample_in_first_stage") else 1
        kinds = {"first": resnet_layer(c, before, width, stride), "layer": resnet_layer(c, width, width, 1)}
        order = f"first, {number - 1} layer" if number > 1 else "first"
        parts[f"stage_{index + 1}"] = stack("encoder.stages.{}.layers.{}", kinds, order, width=width)
        before = width
    head: Tree = {}
    if task == "image_classification":
        head = {"pool": mean()} | tree(head=classifier(c, "classifier.{}", before))
        parts = under("resnet.", parts)
    elif task not in ("base", "backbone"):
        refuse(c)
    return document(c, parts | head, width=stem, cache=False, image=image(c))


def maskformer_swin(c: Config) -> Tree:
    """MaskFormer's Swin: the older names; its backbone norms the maps of all stages."""
    made = swin(c, layer=DONUT, positions=1, base="model")
    task = c.task("base")
    if task == "backbone":
        parts = {name: part for name, part in made["parts"].items() if not name.startswith("norm_")}
        first, count = c.size("embed_dim"), len(c.sizes("depths"))
        norms = {
            f"norm_{index + 1}": layer_norm("hidden_states_norms.{}", size=first * 2**index) for index in range(min(count, MOST_STAGES))
        }
        return made | {"parts": parts | norms}
    if task != "base":
        refuse(c)
    return made


def dinov3_convnext(c: Config) -> Tree:
    """DINOv3's ConvNeXt (Siméoni et al. 2025): the same layers under other names."""
    task, read = c.task("base"), c.size("num_channels")
    parts: Tree = {}
    shape = stages(c, "hidden_sizes", "depths")
    for index, (width, number) in enumerate(shape):
        side, path = 2 if index else 4, "downsample_layers.{}"
        step = {"kind": "convolution", "path": path, "inputs": read, "outputs": width, "kernel": [side] * 2, "stride": [side] * 2}
        norm = layer_norm(path, size=read if index else width)
        group = {"path": "model.stages.{}", "width": width} | ({"norm": norm, "step": step} if index else {"step": step, "norm": norm})
        if number:
            layer: Tree = {
                "depthwise": {"kind": "convolution", "path": "depthwise_conv", "kernel": [7, 7], "groups": width},
                "norm": layer_norm("layer_norm"),
                "feed_forward": tree(
                    path="", size=4 * width, gated=False, bias=True, activation=plain_activation(c),
                    names={"up_proj": "pointwise_conv1", "down_proj": "pointwise_conv2"},
                ),
                "scale": token("gamma", width),
                "flow": ["depthwise norm feed_forward scale +"],
            }  # fmt: skip
            group["layers"] = stack("layers.{}", {"layer": layer}, f"{number} layer")
        parts[f"stage_{index + 1}"], read = group, width
    if task == "base":
        parts["norm"] = layer_norm("layer_norm", size=read)
    elif task != "backbone":
        refuse(c)
    return document(c, parts, width=read, cache=False)


DONUT = partial(swin_1, words=SWIN_V2, path="attention.self.relative_position_bias_table")

FAMILIES = {
    "convnext": convnext,
    "convnextv2": partial(convnext, second=True),
    "dinov3_convnext": dinov3_convnext,
    "donut-swin": partial(swin, layer=DONUT, positions=1, base="donut", last=False),
    "maskformer-swin": maskformer_swin,
    "resnet": resnet,
    "swin": swin,
    "swinv2": partial(swin, layer=swin_2, merged=2, positions=1, base="swinv2", normed=False),
}
