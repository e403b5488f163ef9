"""Encoders in stages, each at a coarser grid and a larger width: Swin, ConvNeXt."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, layer_norm, layered, plain_activation, stack, tree, under, whole
from paramcalc.gate.families.vision import (
    Words,
    attention,
    classifier,
    deepening,
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


def swin_layer(c: Config, words: Words, width: int, heads: int, **more: Any) -> Tree:
    about = whole(c, heads, width, "num_heads")
    attend = attention(c, words, kind="window_attention", **about, side=c.size("window_size"), **more)
    size = int(c.number("mlp_ratio", 4.0) * width)
    return {
        "norm_1": layer_norm(words.norm_1),
        "attention": attend,
        "norm_2": layer_norm(words.norm_2),
        "feed_forward": feed_forward(c, words, size=size),
    }


def swin_1(c: Config, width: int, heads: int, *, words: Words = SWIN, path: str = "relative_position_bias.", **more: Any) -> Tree:
    """Swin (Liu et al. 2021): pre-norm, and a table of biases by the distance within a window, under a `path`. Only the branch of
    attention is dropped as a whole."""
    bias = True if c.flag("qkv_bias", True) else ["o"]
    names = named(words) | {"relative": f"{path}relative_position_bias_table"}
    layer = swin_layer(c, words, width, heads, bias=bias, relative=True, names=names, **more)
    return layer | {"flow": ["norm_1 attention drop +", "norm_2 feed_forward +"]}


def swin_2(c: Config, width: int, heads: int, **more: Any) -> Tree:
    """Swin v2 (Liu et al. 2022): norms after each block, cosine attention with a scale per head, biases from a network."""
    mlp = "self.continuous_position_bias_mlp.{}"
    names = named(SWIN_V2) | {"logit_scale": "self.logit_scale", "relative_up": mlp, "relative_down": mlp}
    bias = ["q", "v", "o"] if c.flag("qkv_bias", True) else ["o"]
    layer = swin_layer(c, SWIN_V2, width, heads, bias=bias, cosine=True, hidden=POSITION_MLP, names=names, **more)
    return layer | {"flow": ["attention norm_1 drop +", "feed_forward norm_2 drop +"]}


def named(words: Words) -> Tree:
    """What the reference calls an attention's projections, where that is another name."""
    return {name: word for name, word in zip(("q_proj", "k_proj", "v_proj", "o_proj"), words[4:8], strict=True) if name != word}


def swin_stage(c: Config, layer: Any, width: int, heads: int, number: int, above: int) -> Tree:
    """Layers of which every second looks through shifted windows, and all but the first of the model may drop their branches."""
    rate = c.number("drop_path_rate")
    shifts = ["shifted" if index % 2 and c.size("window_size") > 1 else "plain" for index in range(number)]
    drops = ["dropped" if rate > 0 and above + index else "whole" for index in range(number)]

    def build(shift: str, drop: str) -> Tree:
        made: Tree = layer(c, width, max(1, heads), shifted=shift == "shifted" or None)
        if drop == "dropped":
            return made | {"drop": {"kind": "dropout", "rate": rate, "whole": True}}
        return made | {"flow": [step.replace(" drop", "") for step in made["flow"]]}

    return layered("blocks.{}", [shifts, drops], build)


def swin(
    c: Config, *, layer: Any = swin_1, merged: int = 4, positions: int = 0, base: str = "swin", normed: bool = True, last: bool = True
) -> Tree:
    """Windows of attention in stages; between two of them, four neighbours become one of twice the width.

    `merged` times the width is what the merging norm sees: four times, before the widths are reduced, or two, after. `positions` is
    added to the patches where there is a table of absolute positions, `normed` says whether a backbone norms its maps, `last`
    whether there is a norm at the end.
    """
    first, task = c.size("embed_dim"), c.task("base")
    (height, columns), sides = pair(c, "image_size"), pair(c, "patch_size")
    grid = (height // sides[0], columns // sides[1])
    whole = not (height % sides[0] or columns % sides[1])  # others are filled up to whole patches, which is not modelled
    parts: Tree = {"patches": patch_embedding(c, "embeddings.patch_embeddings.projection")}
    if task == "masked_image":
        parts["mask_token"] = token("embeddings.mask_token", 1, 1, first)
    parts["embedding_norm"] = layer_norm("embeddings.norm")
    if c.flag("use_absolute_embeddings"):
        parts["position"] = {"rows": grid[0] * grid[1] + positions, "bare": True, "path": "embeddings.position_embeddings"}
    depths = stages(c, "depths", "num_heads")
    widths = [first * 2**index for index in range(len(depths))] or [first]
    above = 0
    for index, (number, heads) in enumerate(depths):
        width = widths[index]
        group = tree(path="encoder.layers.{}", width=width, tokens=max(1, (grid[0] >> index) * (grid[1] >> index)), recomputed=True)
        if number:
            group["blocks"] = swin_stage(c, layer, width, heads, number, above)
        if index + 1 < len(depths):
            group |= merging(width, merged)
        parts[f"stage_{index + 1}"] = group
        above += number
    if last and (task != "backbone" or normed):
        parts["norm"] = layer_norm("layernorm", size=widths[-1])
    prefixed = task != "base" and (task != "backbone" or normed)
    parts = under(f"{base}.", parts) if prefixed else parts
    size = [height, columns] if whole else None
    return document(c, parts | swin_head(c, task, widths, normed), width=first, tokens=max(1, grid[0] * grid[1]), cache=False, image=size)


def merging(width: int, merged: int) -> Tree:
    """Four neighbours side by side, a norm, and half the channels; or the norm behind (`merged` is 2)."""
    norm = layer_norm("downsample.norm", size=merged * width)
    reduced = {"kind": "dense", "path": "downsample.reduction", "inputs": 4 * width, "outputs": 2 * width, "bias": False}
    steps = {"merge_norm": norm, "merge": reduced} if merged == 4 else {"merge": reduced, "merge_norm": norm}
    return {"neighbours": {"kind": "space_to_depth"}} | steps


def swin_head(c: Config, task: str, widths: list[int], normed: bool) -> Tree:
    if task == "image_classification":
        return {"pool": mean()} | tree(head=classifier(c, "classifier", widths[-1]))
    if task == "masked_image":
        outputs = c.size("encoder_stride") ** 2 * c.size("num_channels")
        return {"head": {"kind": "convolution", "path": "decoder.{}", "inputs": widths[-1], "outputs": outputs, "kernel": [1, 1]}}
    if task == "backbone" and normed:
        return stage_norms(c, [widths[0], *widths])
    if task not in ("base", "backbone"):
        refuse(c)
    return {}


def function(name: str) -> Tree:
    """An activation on its own."""
    return {"kind": "activation", "function": name}


def convnext_layer(c: Config, width: int, second: bool) -> Tree:
    """A depthwise 7×7 convolution and a feed-forward network; v1 scales the branch, v2 normalises its inside."""
    depthwise = {"kind": "convolution", "path": "dwconv", "kernel": [7, 7], "padding": 3, "groups": width}
    layer: Tree = {"depthwise": depthwise, "norm": layer_norm("layernorm")}
    if second:
        return layer | {
            "up": {"kind": "dense", "path": "pwconv1", "outputs": 4 * width, "component": "feed_forward"},
            "activation": function(plain_activation(c)),
            "response": {"kind": "response_norm", "path": "grn", "size": 4 * width},
            "down": {"kind": "dense", "path": "pwconv2", "inputs": 4 * width, "component": "feed_forward"},
            "flow": ["depthwise norm up activation response down +"],
        }
    names = {"up_proj": "pwconv1", "down_proj": "pwconv2"}
    layer["feed_forward"] = tree(path="", size=4 * width, gated=False, bias=True, activation=plain_activation(c), names=names)
    scaled = c.number("layer_scale_init_value") > 0
    if scaled:
        layer["scale"] = token("layer_scale_parameter", width) | {"scales": True}
    return layer | {"flow": [f"depthwise norm feed_forward{' scale' if scaled else ''} +"]}


def convnext(c: Config, *, second: bool = False) -> Tree:
    """ConvNeXt (Liu et al. 2022) and ConvNeXt v2 (Woo et al. 2023): a strided 2×2 convolution before each later stage."""
    task, rate = c.task("base"), c.number("drop_path_rate")
    shape = stages(c, "hidden_sizes", "depths")[: c.size("num_stages")]
    if len(shape) < c.size("num_stages"):
        c.fail("num_stages", f"({c.size('num_stages')}) is more than the stages that hidden_sizes and depths name")
    widths = [width for width, _ in shape] or [1]
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings", outputs=widths[0]),
        "embedding_norm": layer_norm("embeddings.layernorm"),
    }
    above = 0
    for index, (width, number) in enumerate(shape):
        group = tree(path="encoder.stages.{}", width=width)
        if index:
            before = widths[index - 1]
            group["down_norm"] = layer_norm("downsampling_layer.{}", size=before)
            group["down"] = {"kind": "convolution", "path": "downsampling_layer.{}", "inputs": before, "kernel": [2, 2], "stride": [2, 2]}
        if number:
            group["layers"] = deepening("layers.{}", convnext_layer(c, width, second), number, rate, above=above)
        parts[f"stage_{index + 1}"] = group
        above += number
    heads: Tree = {}
    if task == "backbone":
        heads = stage_norms(c, [widths[0], *widths])
    else:
        parts |= {"pool": mean(), "norm": layer_norm("layernorm", size=widths[-1])}
    if task == "image_classification":
        heads = tree(head=classifier(c, "classifier", widths[-1]))
        parts = under(f"{c.model_type}.", parts)
    elif task not in ("base", "backbone"):
        refuse(c)
    return document(c, parts | heads, width=widths[0], cache=False, image=image(c))


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


DONUT = partial(swin_1, words=SWIN_V2, path="self.")

FAMILIES = {
    "convnext": convnext,
    "convnextv2": partial(convnext, second=True),
    "dinov3_convnext": dinov3_convnext,
    "donut-swin": partial(swin, layer=DONUT, positions=1, base="donut", last=False),
    "maskformer-swin": maskformer_swin,
    "swin": swin,
    "swinv2": partial(swin, layer=swin_2, merged=2, positions=1, base="swinv2", normed=False),
}
