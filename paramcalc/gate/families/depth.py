"""Depth from an image: DPT, Depth Anything, GLPN; and DPT's segmenting class."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paramcalc.gate.config import Config
from paramcalc.gate.families.boxes import bert_layers
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.maps import batch_norm, convolution
from paramcalc.gate.families.nesting import told, tower
from paramcalc.gate.families.pyramid import stages
from paramcalc.gate.families.recipes import Tree, document, labels, layer_norm, plain_activation, stack, under
from paramcalc.gate.families.reduced import reducing_layer
from paramcalc.gate.families.vision import Words, patch_embedding, patches, refuse, token
from paramcalc.gate.families.vit import pooler

HYBRID = {"global_padding": "same", "layer_type": "bottleneck", "depths": [3, 4, 9], "out_features": ["stage1", "stage2", "stage3"]}
"""The ResNet that DPT-Hybrid reads patches from, unless it is told of another (DPTConfig)."""
KEPT = 2  # maps of DPT-Hybrid that come from its ResNet as they are
DEPTH_CHANNELS = 32  # inside DPT's head, fixed in the reference's code
WIDE = 256  # of DPT's extra projection, fixed in the reference's code
GLPN = Words(
    "layer_norm_1", "attention", "layer_norm_2", "mlp", "self.query", "self.key", "self.value", "output.dense", "dense1", "dense2"
)  # fmt: skip


def reassembled(c: Config, read: int, *, kept: int = 0, readout: bool = False) -> Tree:
    """Patches as maps of several sizes: a projection, and a convolution that makes the map finer or coarser."""
    widths, factors = c.sizes("neck_hidden_sizes", least=1), c.listed("reassemble_factors") or []
    if not widths or len(factors) < len(widths) or not all(isinstance(factor, int | float) and factor > 0 for factor in factors):
        c.fail("reassemble_factors", "expected a number above 0 for each of neck_hidden_sizes")
        return {}
    parts: Tree = {}
    for index, (width, factor) in enumerate(zip(widths, factors, strict=False), 1):
        if index <= kept:
            continue
        path = "neck.reassemble_stage.layers.{}"
        parts[f"project_{index}"] = convolution(f"{path}.projection", read, width)
        if factor > 1:
            side = int(factor)
            parts[f"resize_{index}"] = convolution(f"{path}.resize", width, width, side, stride=side, transposed=True)
        elif factor < 1:
            parts[f"resize_{index}"] = convolution(f"{path}.resize", width, width, 3, stride=int(1 / factor))
        if readout:
            parts[f"readout_{index}"] = dense("neck.reassemble_stage.readout_projects.{}.{}", 2 * read, read)
    return parts


def fused(c: Config, widths: Sequence[int], *, normed: bool = False, bias: bool = True) -> Tree:
    """All maps into one width, then from coarse to fine into one map."""
    width = c.size("fusion_hidden_size")
    parts: Tree = {
        f"even_{index}": convolution("neck.convs.{}", size, width, 3, bias=False) for index, size in enumerate(widths, 1)
    }  # fmt: skip
    unit: Tree = {}
    for step in (1, 2):
        unit[f"convolution_{step}"] = convolution(f"convolution{step}", width, width, 3, bias=bias)
        if normed:
            unit[f"norm_{step}"] = batch_norm(f"batch_norm{step}", width)
    flow = {"flow": [" ".join(unit) + " +"]}
    layer = {"project": convolution("projection", width, width)}
    layer |= {f"residual_{number}": {"path": f"residual_layer{number}"} | unit | flow for number in (1, 2)}
    return parts | {"fusion": {"path": "neck.fusion_stage.layers.{}", "width": width, "repeat": max(1, len(widths)), **layer}}


def labelled(c: Config, path: str) -> Tree:
    width = c.size("fusion_hidden_size")
    return {
        "path": path,
        "convolution": convolution("head.{}", width, width, 3, bias=False),
        "norm": batch_norm("head.{}", width),
        "head": convolution("head.{}", width, labels(c), component="head"),
    }


def hybrid(c: Config, width: int) -> Tree:
    """DPT-Hybrid's patches: pixels of a ResNet's last map."""
    part = c.part("backbone_config", "bit")
    if not c.holds("backbone_config"):
        told(part, **HYBRID)
    shape = c.listed("backbone_featmap_shape") or []
    if len(shape) != 4 or type(shape[1]) is not int or shape[1] < 1:
        c.fail("backbone_featmap_shape", f"expected four sizes, got {shape!r:.60}")
        shape = [1, 1, 1, 1]
    return tower(part, "backbone", "embeddings.backbone", task="backbone", tower="") | {
        "patches": convolution("embeddings.projection", shape[1], width, component="embedding")
    }


def transformer(c: Config) -> Tree:
    """DPT's own vision transformer."""
    width, mixed = c.size("hidden_size"), c.flag("is_hybrid")
    parts = hybrid(c, width) if mixed else {"patches": patch_embedding(c, "embeddings.patch_embeddings.projection")}
    parts["cls_token"] = token("embeddings.cls_token", 1, 1, width)
    parts["position"] = {"rows": patches(c) + 1, "bare": True, "path": "embeddings.position_embeddings"}
    return parts | {"layers": bert_layers(c), "norm": layer_norm("layernorm")}


def dpt(c: Config) -> Tree:
    """DPT (Ranftl et al. 2021): patches of several layers become maps again, and these one map of depths or classes."""
    width, mixed, named = c.size("hidden_size"), c.flag("is_hybrid"), c.architecture()
    task = c.task("base")
    c.ignore("backbone_out_indices", "neck_ignore_stages", "head_in_index", "backbone_featmap_shape")
    if task == "base":
        return document(c, transformer(c) | {"pooler": pooler(c)}, tokens=patches(c) + 1, cache=False)
    read = width
    outside = not mixed and c.holds("backbone_config")
    if outside:
        if not named.endswith("ForDepthEstimation"):
            c.fail("backbone_config", f"{named} is not built with another backbone")
        part = c.part("backbone_config")
        read = part.optional("hidden_size") or width
        parts = tower(part, "backbone", "backbone", task="backbone", tower="")
    else:
        parts = under("dpt.", transformer(c))
    if not outside or c.part("backbone_config").model_type != "swinv2":
        parts |= reassembled(c, read, kept=KEPT if mixed else 0, readout=mixed or c.text("readout_type", "project") == "project")
    normed = c.flag("use_batch_norm_in_fusion_residual")
    stated = c.value("use_bias_in_fusion_residual")
    parts |= fused(c, c.sizes("neck_hidden_sizes", least=1), normed=normed, bias=not normed if stated is None else stated is True)
    inner = c.size("fusion_hidden_size")
    if named.endswith("ForDepthEstimation"):
        if c.flag("add_projection"):
            parts["projection"] = convolution("head.projection", WIDE, WIDE, 3)
        parts |= {
            "depth_1": convolution("head.head.{}", inner, max(1, inner // 2), 3),
            "depth_2": convolution("head.head.{}", max(1, inner // 2), DEPTH_CHANNELS, 3),
            "head": convolution("head.head.{}", DEPTH_CHANNELS, 1, component="head"),
        }
    elif task == "segmentation":
        parts["decoder"] = labelled(c, "head")
        if c.flag("use_auxiliary_head", True):
            parts["auxiliary"] = labelled(c, "auxiliary_head")
    else:
        refuse(c)
    return document(c, parts, tokens=patches(c) + 1, cache=False)


def prompted(c: Config) -> Tree:
    """Three convolutions of a measured, coarse depth, in each step of the fusion."""
    width = c.size("fusion_hidden_size")
    steps = {f"convolution_{index}": convolution(f"convolution{index}", 1 if index == 1 else width, width, 3) for index in (1, 2, 3)}
    return {"prompt": {"path": "prompt_depth_layer", **steps}}


def depth_anything(c: Config) -> Tree:
    """Depth Anything (Yang et al. 2024): DPT's neck on DINOv2; Prompt Depth Anything (Lin et al. 2024) is shown a coarse depth."""
    if c.architecture() and not c.architecture().endswith("ForDepthEstimation"):
        refuse(c)
    part, inner, small = c.part("backbone_config"), c.size("fusion_hidden_size"), c.size("head_hidden_size")
    c.task("depth")
    c.ignore("head_in_index", "patch_size", "max_depth", "depth_estimation_type")
    parts = tower(part, "backbone", "backbone", task="backbone", tower="") | reassembled(c, c.size("reassemble_hidden_size"))
    parts |= fused(c, c.sizes("neck_hidden_sizes", least=1))
    if c.model_type == "prompt_depth_anything":
        parts["fusion"] |= prompted(c)
    half = max(1, inner // 2)
    parts |= {
        "depth_1": convolution("head.conv1", inner, half, 3),
        "depth_2": convolution("head.conv2", half, small, 3),
        "head": convolution("head.conv3", small, 1, component="head"),
    }
    return document(c, parts, width=parts["backbone"]["width"], cache=False)


def glpn(c: Config) -> Tree:
    """GLPN (Kim et al. 2022): SegFormer's encoder, and stages that choose between coarse and fine, pixel by pixel."""
    keys = ("hidden_sizes", "depths", "num_attention_heads", "sr_ratios", "mlp_ratios", "patch_sizes", "strides")
    shape = stages(c, *keys)[: c.size("num_encoder_blocks")]
    widths = [row[0] for row in shape] or [1]
    parts: Tree = {}
    read = c.size("num_channels")
    reduced = ("attention.self.sr", "attention.self.layer_norm")
    for index, (width, number, heads, ratio, grows, side, stride) in enumerate(shape, 1):
        path = "encoder.patch_embeddings.{}"
        parts[f"patches_{index}"] = convolution(f"{path}.proj", read, width, side, stride=stride)
        parts[f"patches_norm_{index}"] = layer_norm(f"{path}.layer_norm", size=width)
        if number:
            layer = reducing_layer(c, GLPN, width, heads, ratio, max(1, width * grows), reduced=reduced, mixes=True)
            parts[f"stage_{index}"] = stack("encoder.block.{}.{}", {"layer": layer}, f"{number} layer", width=width)
        parts[f"norm_{index}"] = layer_norm("encoder.layer_norm.{}", size=width)
        read = width
    c.ignore("max_depth", "head_in_index")
    if c.architecture().endswith("ForDepthEstimation"):
        parts = under("glpn.", parts) | choosing(c, c.sizes("hidden_sizes", least=1))
    elif c.task("base") != "base":
        refuse(c)
    return document(c, parts, width=widths[0], cache=False)


def choosing(c: Config, widths: Sequence[int]) -> Tree:
    """GLPN's decoder: each stage but the first weighs two maps by attention made of both."""
    width = c.size("decoder_hidden_size")
    half = max(1, width // 2)
    parts: Tree = {}
    for index, size in enumerate(reversed(widths), 1):
        if size != width:
            parts[f"even_{index}"] = convolution("decoder.stages.{}.convolution", size, width)
        if index > 1:
            fusion = {
                "convolution_1": convolution("convolutional_layer1.{}", 2 * width, width, 3),
                "norm_1": batch_norm("convolutional_layer1.{}", width),
                "convolution_2": convolution("convolutional_layer2.{}", width, half, 3),
                "norm_2": batch_norm("convolutional_layer2.{}", half),
                "convolution_3": convolution("convolutional_layer3", half, 2, 3),
            }
            parts[f"choice_{index}"] = {"path": "decoder.stages.{}.fusion", "width": width, **fusion}
    return parts | {
        "depth": convolution("head.head.{}", width, width, 3, activation=plain_activation(c, default="relu")),
        "head": convolution("head.head.{}", width, 1, 3, component="head"),
    }


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "depth_anything": depth_anything,
    "dpt": dpt,
    "glpn": glpn,
    "prompt_depth_anything": depth_anything,
}
