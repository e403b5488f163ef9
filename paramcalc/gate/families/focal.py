"""Pyramids of windows and of focal modulation: Hiera, FocalNet; and PP-LCNet."""

from __future__ import annotations

import math
from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.maps import classified, convolution, depthwise, divisible
from paramcalc.gate.families.mobile import normed
from paramcalc.gate.families.pyramid import MOST_STAGES, stage_norms, stages
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, layer_norm, stack, tree, under
from paramcalc.gate.families.residual import in_stages
from paramcalc.gate.families.vision import Words, attention, classifier, feed_forward, pair, refuse, token

HIERA = Words("layernorm_before", "attn", "layernorm_after", "mlp", o="proj")
LCNET: list[list[list[int]]] = [
    [[3, 16, 32, 1, False]],
    [[3, 32, 64, 2, False], [3, 64, 64, 1, False]],
    [[3, 64, 128, 2, False], [3, 128, 128, 1, False]],
    [[3, 128, 256, 2, False], *[[5, 256, 256, 1, False]] * 5],
    [[5, 256, 512, 2, True], [5, 512, 512, 1, True]],
]
"""PP-LCNet's blocks (Cui et al. 2021, table 2), which the class takes where a config has none: side, channels in and out,
stride, and whether it squeezes."""
PIXEL = 3  # colours, fixed in PP-LCNet's code


def hiera_layer(c: Config, read: int, made: int, heads: int, window: int) -> Tree:
    """Attention within units of a mask; the first of a later stage also widens, and pools its queries."""
    if made % heads and not c.root.problems:
        c.fail("num_heads", f"({heads}) does not divide the width ({made})")
    wide = {"inputs": read, "outputs": made} if read != made else {}
    attend = attention(
        c,
        HIERA,
        heads=heads,
        head_dim=max(1, made // heads),
        fused="qkv",
        chunk=window or None,
        names={"qkv_proj": "qkv", "o_proj": "proj"},
    )
    layer = {
        "norm_1": layer_norm(HIERA.norm_1, size=read if wide else None),
        "attention": attend | wide,
        "norm_2": layer_norm(HIERA.norm_2),
        "feed_forward": feed_forward(c, HIERA, size=max(1, int(made * c.number("mlp_ratio", 4.0)))),
    }
    if not wide:
        return layer | {"flow": PRE_NORM}
    return layer | {"widen": dense("proj", read, made), "flow": ["norm_1 (attention | widen)", "norm_2 feed_forward +"]}


def hiera(c: Config) -> Tree:
    """Hiera (Ryali et al. 2023): a ViT in stages, without convolutions or relative positions."""
    task, first, factor = c.task("base"), c.size("embed_dim"), c.number("embed_dim_multiplier", 2.0)
    strides, sides = pair(c, "patch_stride"), list(pair(c, "patch_size"))
    image = pair(c, "image_size")
    rows = (image[0] // strides[0]) * (image[1] // strides[1])
    patches = convolution("embeddings.patch_embeddings.projection", c.size("num_channels"), first, sides)
    parts: Tree = {"patches": patches | {"component": "embedding", "stride": list(strides)}}
    if rows:
        parts["position"] = {"rows": rows, "size": first, "bare": True, "path": "embeddings.position_embeddings"}
    area, fold, read = math.prod(pair(c, "masked_unit_size")), math.prod(pair(c, "query_stride")), first
    masked = c.listed("masked_unit_attention") or []
    widths = [first]
    for index, (number, heads) in enumerate(stages(c, "depths", "num_heads")):
        made = max(1, int(first * factor**index))
        window = int(area * fold**-index) if index < len(masked) and masked[index] is True else 0
        wider, layer = (hiera_layer(c, inputs, made, max(1, heads), window) for inputs in (read, made))
        if number:
            parts[f"stage_{index + 1}"] = in_stages("encoder.stages.{}.layers.{}", number, wider, layer, made)
            parts[f"stage_{index + 1}"] |= {"tokens": max(1, rows // fold**index)}
        widths.append(made)
        read = made
    norms = stage_norms(c, widths) if task == "backbone" else {}
    if task != "backbone":
        parts["norm"] = layer_norm("pooler.layernorm", size=read)
    return {"tokens": max(1, rows)} | classified(c, parts | norms, "hiera", read)


def focal_layer(c: Config, width: int, levels: int, window: int) -> Tree:
    """Focal modulation (Yang et al. 2022): context from ever wider depthwise convolutions, gated, in attention's place."""
    path, behind, scaled = "modulation", c.flag("use_post_layernorm"), c.flag("use_layerscale")
    layer: Tree = {
        "norm_1": layer_norm("norm1"),
        "read": dense(f"{path}.projection_in", width, 2 * width + levels + 1) | {"component": "attention"},
        "context": convolution(f"{path}.projection_context", width, width, component="attention"),
        "output": dense(f"{path}.projection_out", width, width) | {"component": "attention"},
    }
    for level in range(levels):
        layer[f"level_{level + 1}"] = depthwise(
            f"{path}.focal_layers.{{}}.{{}}", width, 2 * level + window, bias=False, component="attention"
        )
    if c.flag("use_post_layernorm_in_modulation"):
        layer["context_norm"] = layer_norm(f"{path}.layernorm")
    layer |= {
        "norm_2": layer_norm("norm2"),
        "feed_forward": feed_forward(c, Words("", "", "", "mlp"), size=max(1, int(width * c.number("mlp_ratio", 4.0)))),
    }
    if scaled:
        layer |= {"scale_1": token("gamma_1", width), "scale_2": token("gamma_2", width)}
    one, two = (" scale_1", " scale_2") if scaled else ("", "")
    if behind:
        return layer | {"flow": [f"read output norm_1{one} +", f"feed_forward norm_2{two} +"]}
    return layer | {"flow": [f"norm_1 read output{one} +", f"norm_2 feed_forward{two} +"]}


MOST_LEVELS = 64


def focalnet(c: Config) -> Tree:
    """FocalNet (Yang et al. 2022)."""
    task, first = c.task("base"), c.size("embed_dim")
    overlaps, shape = c.flag("use_conv_embed"), stages(c, "depths", "focal_levels", "focal_windows")
    sides = list(pair(c, "patch_size"))
    widths = [first * 2**index for index in range(len(shape))] or [first]
    patches = convolution("embeddings.patch_embeddings.projection", c.size("num_channels"), first, 7 if overlaps else sides)
    parts: Tree = {"patches": patches | {"stride": [4, 4] if overlaps else sides, "component": "embedding"}}
    if task == "masked_image":
        parts["mask_token"] = token("embeddings.mask_token", 1, 1, first)
    parts["embedding_norm"] = layer_norm("embeddings.norm", size=first)
    for index, (number, levels, window) in enumerate(shape):
        if levels > MOST_LEVELS:
            c.fail("focal_levels", f"more than {MOST_LEVELS} levels")
        width, group = widths[index], tree(path="encoder.stages.{}", width=widths[index])
        if number:
            layer = focal_layer(c, width, min(levels, MOST_LEVELS), max(1, window))
            group["layers"] = stack("layers.{}", {"layer": layer}, f"{number} layer")
        if index + 1 < len(shape):
            group["down"] = convolution("downsample.projection", width, 2 * width, 3 if overlaps else 2, stride=2)
            group["down_norm"] = layer_norm("downsample.norm", size=2 * width)
        parts[f"stage_{index + 1}"] = group
    parts["norm"] = layer_norm("layernorm", size=widths[-1])
    if task != "masked_image":
        return classified(c, parts, "focalnet", widths[-1], whole=True)
    outputs = c.size("encoder_stride") ** 2 * c.size("num_channels")
    head = convolution("decoder.{}", widths[-1], outputs, component="head")
    return document(c, under("focalnet.", parts) | {"head": head}, width=widths[-1], cache=False)


def lcnet_blocks(c: Config) -> list[list[list[int]]]:
    """Each stage's blocks as the config has them, else the class's own."""
    found = c.listed("block_configs") or LCNET

    def fits(block: object) -> bool:
        return isinstance(block, list | tuple) and len(block) == 5 and all(type(size) is int and size > 0 for size in block[:4])

    if not 1 <= len(found) <= MOST_STAGES or not all(isinstance(stage, list) and stage and all(map(fits, stage)) for stage in found):
        c.fail("block_configs", f"expected stages of blocks of five numbers, got {found!r:.60}")
        return []
    return found


def lcnet(c: Config) -> Tree:
    """PP-LCNet (Cui et al. 2021): depthwise and 1×1 convolutions, squeezed and excited towards the end."""
    scale, divisor, task = c.number("scale", 1.0), c.size("divisor"), c.task("base")

    def scaled(number: int) -> int:
        return divisible(number * scale, divisor)

    made = scaled(c.size("stem_channels"))
    parts = normed("stem", "encoder.convolution", convolution("", PIXEL, made, 3, stride=c.size("stem_stride")))
    for index, blocks in enumerate(lcnet_blocks(c), 1):
        group: Tree = {"path": "encoder.blocks.{}", "width": scaled(blocks[-1][2])}
        for place, (side, inputs, outputs, stride, squeezes) in enumerate(blocks, 1):
            read, made = scaled(inputs), scaled(outputs)
            block = normed("depthwise", "depthwise_convolution", depthwise("", read, side, stride=stride))
            if squeezes:
                path, inner = "squeeze_excitation_module.convolutions.{}", max(1, read // c.size("reduction"))
                block |= {"squeeze": convolution(path, read, inner), "excite": convolution(path, inner, read)}
            block |= normed("pointwise", "pointwise_convolution", convolution("", read, made))
            flow = "depthwise depthwise_norm pointwise pointwise_norm"
            group[f"block_{place}"] = {"path": "layers.{}", **block, "flow": [flow]}
        parts[f"stage_{index}"] = group
    if task == "image_classification":
        width = c.size("class_expand")
        top = convolution("last_convolution", made, width, bias=False)
        return document(c, parts | {"top": top} | tree(head=classifier(c, "head", width)), width=made, cache=False)
    if task not in ("base", "backbone"):
        refuse(c)
    return document(c, parts, width=made, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"focalnet": focalnet, "hiera": hiera, "pp_lcnet": lcnet}
