"""RT-DETR and its second version: a detector whose encoder mixes maps by convolutions and attends within the coarsest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.boxes import BOX, perceptron
from paramcalc.gate.families.deformable import predictors, sampled
from paramcalc.gate.families.detr import DETR, attention, crossing, decoding
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.maps import batch_norm, convolution
from paramcalc.gate.families.nesting import told, whole
from paramcalc.gate.families.pyramid import kept, stages
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, labels, layer_norm, stack, under
from paramcalc.gate.families.resnet import convolved
from paramcalc.gate.families.timm import frozen
from paramcalc.gate.families.vision import refuse

BLOCKS = 3
"""RepVGG blocks in each fusion, fixed in the reference's code."""


def resnet_layer(c: Config, inputs: int, outputs: int, stride: int, first: bool) -> Tree:
    """ResNet-D's layers (He et al. 2019): a shortcut that shrinks the map by pooling, then maps it."""
    if c.choice("layer_type", ("basic", "bottleneck"), "bottleneck") == "basic":
        layer = convolved("layer.{}", inputs, outputs, 3, "1", stride) | convolved("layer.{}", outputs, outputs, 3, "2")
        pooled, mapped = inputs != outputs, first
    else:
        early, inner = c.flag("downsample_in_bottleneck"), max(1, outputs // 4)
        layer = convolved("layer.{}", inputs, inner, 1, "1", stride if early else 1)
        layer |= convolved("layer.{}", inner, inner, 3, "2", 1 if early else stride) | convolved("layer.{}", inner, outputs, 1, "3")
        pooled, mapped = stride == 2, inputs != outputs or stride != 1
    chain = " ".join(layer)
    if not mapped:
        return layer | {"flow": [f"{chain} +"]}
    layer |= convolved("shortcut.{}" if pooled else "shortcut", inputs, outputs, 1, "shortcut", 1 if pooled else stride)
    return layer | {"flow": [f"({chain} | convolution_shortcut norm_shortcut)"]}


def resnet(c: Config) -> Tree:
    """RT-DETR's ResNet, with a stem of three convolutions."""
    stem = c.size("embedding_size")
    half = max(1, stem // 2)
    parts = convolved("embedder.embedder.{}", c.size("num_channels"), half, 3, "stem_1", 2)
    parts |= convolved("embedder.embedder.{}", half, half, 3, "stem_2") | convolved("embedder.embedder.{}", half, stem, 3, "stem_3")
    before = stem
    for index, (width, number) in enumerate(stages(c, "hidden_sizes", "depths"), 1):
        stride = 2 if index > 1 or c.flag("downsample_in_first_stage") else 1
        kinds = {"first": resnet_layer(c, before, width, stride, True), "layer": resnet_layer(c, width, width, 1, False)}
        order = f"first, {number - 1} layer" if number > 1 else "first"
        parts[f"stage_{index}"] = stack("encoder.stages.{}.layers.{}", kinds, order, width=width)
        before = width
    c.ignore("out_features", "out_indices", "stage_names")
    if c.task("backbone") != "backbone":
        refuse(c)
    return document(c, parts, width=stem, cache=False)


def backbone(c: Config) -> tuple[Tree, list[int]]:
    """The backbone and the widths of its maps."""
    part = c.part("backbone_config", "rt_detr_resnet")
    if part.model_type not in ("rt_detr_resnet", "resnet"):
        part.fail("model_type", f"a backbone of the type {part.model_type!r:.40} is not modelled")
        return {}, [1]
    if not c.holds("backbone_config") or (part.value("out_features") is None and part.value("out_indices") is None):
        told(part, out_indices=[2, 3, 4])
    made = whole(part, "backbone")
    widths = [part.size("embedding_size"), *part.sizes("hidden_sizes", least=1)]
    inner = frozen(made["parts"]) if c.flag("freeze_backbone_batch_norms", True) else made["parts"]
    group = {"path": "backbone.model", "tower": "vision", "cache": False, "width": made["width"]}
    return {"backbone": group | inner}, [widths[index] for index in kept(part, len(widths) - 1)]


def step(path: str, inputs: int, outputs: int, side: int, stride: int = 1) -> Tree:
    """A convolution without bias and its batch norm, as a group."""
    conv = convolution("conv", inputs, outputs, side, stride=stride, bias=False)
    return {"path": path, "convolution": conv, "norm": batch_norm("norm", outputs)}


def fusion(c: Config, path: str, width: int, times: int) -> Tree:
    """Two maps side by side through two ways, one of RepVGG blocks (Ding et al. 2021)."""
    inner = max(1, int(width * c.number("hidden_expansion", 1.0)))
    block = {"first": step("conv1", inner, inner, 3), "second": step("conv2", inner, inner, 1)}
    made: Tree = {
        "path": path,
        "repeat": times,
        "first": step("conv1", 2 * width, inner, 1),
        "second": step("conv2", 2 * width, inner, 1),
        "blocks": {"path": "bottlenecks.{}", "repeat": BLOCKS, "width": inner, **block, "flow": ["(first | second)"]},
    }
    return made | ({"third": step("conv3", inner, width, 1)} if inner != width else {})


def hybrid(c: Config, maps: int) -> Tree:
    """The encoder: attention within some maps, then from coarse to fine and back."""
    width = c.size("encoder_hidden_dim")
    number = c.size("encoder_attention_heads")
    layer = {
        "norm_1": layer_norm("self_attn_layer_norm"),
        "attention": attention(c, DETR, "encoder", "self_attn") | {"head_dim": max(1, width // number)},
        "norm_2": layer_norm("final_layer_norm"),
        "feed_forward": {
            "path": "mlp", "size": c.size("encoder_ffn_dim"), "gated": False, "bias": True,
            "activation": c.text("encoder_activation_function", "gelu"), "names": {"up_proj": "fc1", "down_proj": "fc2"},
        },
        "flow": PRE_NORM if c.flag("normalize_before") else ["attention + norm_1", "feed_forward + norm_2"],
    }  # fmt: skip
    count = c.size("encoder_layers") * len(c.sizes("encode_proj_layers"))
    parts: Tree = {"path": "encoder", "width": width, "cache": False}
    if count:
        parts["layers"] = stack("aifi.{}.layers.{}", {"layer": layer}, f"{count} layer")
    if maps > 1:
        parts |= {
            "lateral": {"repeat": maps - 1} | step("lateral_convs.{}", width, width, 1),
            "down_fusion": fusion(c, "fpn_blocks.{}", width, maps - 1),
            "coarser": {"repeat": maps - 1} | step("downsample_convs.{}", width, width, 3, 2),
            "up_fusion": fusion(c, "pan_blocks.{}", width, maps - 1),
        }
    return {"encoder": parts}


def projected(path: str, inputs: list[int], outputs: int, levels: int = 0, *, chained: bool = True) -> Tree:
    """Each map's way into another width, and coarser maps until there are as many as `levels`: each made from the one before, or,
    not `chained`, of the last map's width."""
    parts: Tree = {}
    for index in range(max(levels, len(inputs))):
        coarser = index >= len(inputs)
        read = inputs[index] if not coarser else inputs[-1] if index == len(inputs) or not chained else outputs
        name, place = path.removesuffix("_proj"), f"{path}.{{}}.{{}}"
        conv = convolution(place, read, outputs, 3 if coarser else 1, stride=2 if coarser else 1, bias=False, component="projection")
        parts |= {f"{name}_{index + 1}": conv, f"{name}_norm_{index + 1}": batch_norm(place, outputs)}
    return parts


def proposing(c: Config, width: int) -> Tree:
    """What makes queries of the best pixels of the encoder, and the tables that are learned beside them."""
    parts: Tree = {}
    if c.zero_or("num_denoising"):
        parts["noisy_classes"] = {"kind": "embedding", "vocabulary": labels(c) + 1, "size": width, "path": "denoising_class_embed"}
    if c.flag("learn_initial_query"):
        parts["queries"] = {"kind": "embedding", "vocabulary": c.size("num_queries"), "size": width, "path": "weight_embedding"}
    return parts | {
        "propose": dense("enc_output.{}", width, width),
        "propose_norm": layer_norm("enc_output.{}", size=width),
        "propose_class": dense("enc_score_head", width, labels(c), component="head"),
        "propose_box": perceptron("enc_bbox_head", width, width, BOX) | {"tower": "head"},
    }


def rt_detr(c: Config, *, levels: str = "num_feature_levels", twice: bool = False) -> Tree:
    """RT-DETR (Zhao et al. 2024): the best pixels of the encoder become the queries. `twice`: whether predictors stand
    beside the decoder as well, which are no others unless they are untied."""
    width, heads = c.size("hidden_size"), c.size("decoder_attention_heads")
    grounds, widths = backbone(c)
    read = c.sizes("decoder_in_channels", least=1) or [1]
    parts = grounds | projected("encoder_input_proj", widths, c.size("encoder_hidden_dim"))
    parts |= hybrid(c, len(c.sizes("encoder_in_channels", least=1)))
    parts |= proposing(c, width)
    parts |= projected("decoder_input_proj", read, width, c.size("num_feature_levels"))
    cross = {"cross_attention": sampled("encoder_attn", width, heads, c.size(levels) * c.size("decoder_n_points"))}
    layer = crossing(c, DETR, {"attention": attention(c, DETR, "decoder", "self_attn")}, cross)
    layer["feed_forward"] |= {"activation": c.text("decoder_activation_function", "relu")}
    number = c.size("decoder_layers")
    more: Tree = {"places": perceptron("query_pos_head", BOX, 2 * width, width, 2)}
    detects = c.architecture().endswith("ForObjectDetection")
    if detects:
        more["classes"] = predictors(c, "class_embed", width, number, boxes=False, shared=False)
        more["boxes"] = predictors(c, "bbox_embed", width, number, boxes=True, shared=False)
    parts |= {"decoder": decoding(c, stack("layers.{}", {"layer": layer}, f"{number} layer"), more)["decoder"] | {"width": width}}
    if not detects:
        if c.task("base") != "base":
            refuse(c)
        return document(c, parts, width=width, cache=False)
    parts = under("model.", parts)
    if twice and not c.flag("tie_word_embeddings", True):
        parts |= {name: more[name] for name in ("classes", "boxes")}
    return document(c, parts, width=width, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "rt_detr": rt_detr,
    "rt_detr_resnet": resnet,
    "rt_detr_v2": partial(rt_detr, levels="decoder_n_levels", twice=True),
}
