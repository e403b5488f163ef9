"""What stands on a ViT to finish masks, mattes and depths: EoMT, ViTMatte, ZoeDepth."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.depth import fused, reassembled
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.maps import batch_norm, convolution, depthwise
from paramcalc.gate.families.nesting import nested
from paramcalc.gate.families.recipes import Tree, document, labels, layer_norm, stack
from paramcalc.gate.families.vision import attention, encoder_layer, feed_forward, patch_embedding, patches, refuse, token
from paramcalc.gate.families.vit import DINO, swiglu_size

EOMT = DINO._replace(o="out_proj")
MATTE, PROJECTOR, SEED = 16, 128, 256
"""Inner widths of ViTMatte's head, and of ZoeDepth's projectors and seeds, fixed in the reference's code."""
MOST_STAGES = 64


def eomt(c: Config) -> Tree:
    """EoMT (Kerssies et al. 2025): DINOv2 with registers, whose last layers also see queries; a mask is told by dense layers."""
    width, queries, registers = c.size("hidden_size"), c.size("num_queries"), c.zero_or("num_register_tokens")
    rows = patches(c)
    if c.architecture() and not c.architecture().endswith("ForUniversalSegmentation"):
        refuse(c)
    size = int(width * c.number("mlp_ratio", 4))
    feed = feed_forward(c, EOMT, size=size)
    if c.flag("use_swiglu_ffn"):
        feed = feed_forward(c, EOMT, size=swiglu_size(size), gated=True, activation="silu", names=None)
    layer = encoder_layer(EOMT, attention(c, EOMT), feed, width=width)
    parts: Tree = {"patches": patch_embedding(c, "embeddings.patch_embeddings.projection")}
    parts["cls_token"] = token("embeddings.cls_token", 1, 1, width)
    if registers:
        parts["registers"] = token("embeddings.register_tokens", 1, registers, width)
    parts |= {
        "position": {"rows": max(1, rows), "path": "embeddings.position_embeddings"},
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layernorm"),
        "queries": {"kind": "embedding", "vocabulary": queries, "path": "query"},
    }
    if number := c.zero_or("num_upscale_blocks"):
        finer = {
            "kind": "group",
            "spread": convolution("conv1", width, width, 2, stride=2, transposed=True),
            "mix": depthwise("conv2", width, 3, bias=False),
            "norm": layer_norm("layernorm2d"),
        }
        parts["finer"] = stack("upscale_block.block.{}", {"layer": finer}, f"{number} layer")
    parts["masks"] = {"path": "mask_head", "tower": "head", **{f"layer_{n}": dense(f"fc{n}", width, width) for n in (1, 2, 3)}}
    parts["classes"] = dense("class_predictor", width, labels(c) + 1, component="head")
    return document(c, parts, tokens=rows + registers + 1 + queries, cache=False)


def vitmatte(c: Config) -> Tree:
    """ViTMatte (Yao et al. 2024): a small stream of convolutions keeps the details that the ViT has lost."""
    part, details, fusion = c.part("backbone_config"), c.sizes("convstream_hidden_sizes", least=1), c.sizes("fusion_hidden_sizes", least=1)
    if len(fusion) != len(details) + 1 or not 1 <= len(details) <= MOST_STAGES:
        c.fail("fusion_hidden_sizes", f"expected one more than convstream_hidden_sizes ({len(details)}), got {len(fusion)}")
        details, fusion = [1], [1, 1]
    if c.architecture() and not c.architecture().endswith("ForImageMatting"):
        refuse(c)
    parts = nested(part, "backbone", "backbone", task="backbone")
    sizes = [part.size("num_channels"), *details]
    stream: Tree = {"path": "decoder"}

    def step(name: str, path: str, read: int, made: int) -> Tree:
        return {name: convolution(f"{path}.conv", read, made, 3, bias=False), f"{name}_norm": batch_norm(f"{path}.batch_norm", made)}

    for index in range(len(details)):
        stream |= step(f"detail_{index + 1}", "convstream.convs.{}", sizes[index], sizes[index + 1])
    read = c.size("hidden_size")
    for index, (width, detail) in enumerate(zip(fusion, reversed(sizes), strict=True), 1):
        stream |= step(f"fusion_{index}", "fusion_blocks.{}.conv", read + detail, width)
        read = width
    head = "matting_head.matting_convs.{}"
    stream |= {"inner": convolution(head, read, MATTE, 3), "inner_norm": batch_norm(head, MATTE), "matte": convolution(head, MATTE, 1)}
    return document(c, parts | {"decoder": stream}, width=c.size("hidden_size"), cache=False)


def two(path: str, inputs: int, inner: int, outputs: int) -> Tree:
    """Two 1×1 convolutions."""
    return {"path": path, "first": convolution("conv1", inputs, inner), "second": convolution("conv2", inner, outputs)}


def zoedepth(c: Config) -> Tree:
    """ZoeDepth (Bhat et al. 2023): DPT's neck on BEiT, and metric depth as the mean of learned bins."""
    part, fused_width, relative = c.part("backbone_config", "beit"), c.size("fusion_hidden_size"), c.size("num_relative_features")
    bins, attractors, inner = c.listed("bin_configurations") or [], c.sizes("num_attractors", least=1), c.size("bin_embedding_dim")
    counts = [one.get("n_bins") for one in bins if isinstance(one, dict)]
    if len(bins) != 1 or not all(type(count) is int and count > 0 for count in counts):
        c.fail("bin_configurations", f"only one configuration, with its n_bins, is modelled, got {len(bins)}")
        counts = [1]
    if c.architecture() and not c.architecture().endswith("ForDepthEstimation"):
        refuse(c)
    width, bottleneck = part.size("hidden_size"), c.size("bottleneck_features")
    readout = c.choice("readout_type", ("ignore", "add", "project"), "project") == "project"
    parts = nested(part, "backbone", "backbone", task="backbone") | reassembled(c, width, readout=readout)
    bias = c.value("use_bias_in_fusion_residual")
    normed = c.flag("use_batch_norm_in_fusion_residual")
    parts |= fused(c, c.sizes("neck_hidden_sizes", least=1), normed=normed, bias=(not normed) if bias is None else bias is True)
    half = max(1, fused_width // 2)
    head: Tree = {"path": "relative_head", "tower": "head"}
    if c.flag("add_projection"):
        head["projection"] = convolution("projection", 256, 256, 3)
    head |= {"depth_1": convolution("conv1", fused_width, half, 3), "depth_2": convolution("conv2", half, relative, 3)}
    parts["relative"] = head | {"depth_3": convolution("conv3", relative, 1)}
    joined = relative + 1 + inner
    narrow = max(1, joined // 2)
    metric: Tree = {"path": "metric_head", "tower": "head", "bottleneck": convolution("conv2", bottleneck, bottleneck)}
    metric |= {"seeds": two("seed_bin_regressor", bottleneck, SEED, counts[0] or 1)}
    metric |= {"seed_projector": two("seed_projector", bottleneck, PROJECTOR, inner)}
    metric["projectors"] = {"path": "", "repeat": 4, "projector": two("projectors.{}", fused_width, PROJECTOR, inner)}
    for index, number in enumerate(attractors[:4], 1):
        metric[f"attractor_{index}"] = two("attractors.{}", inner, inner, number)
    mix = "conditional_log_binomial.mlp.{}"
    metric |= {"mix": convolution(mix, joined, narrow), "share": convolution(mix, narrow, 4)}
    parts["metric"] = metric
    return document(c, parts, width=width, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"eomt": eomt, "vitmatte": vitmatte, "zoedepth": zoedepth}
