"""D-FINE (Peng et al. 2024): RT-DETR whose boxes are told as distributions over offsets, each layer refining the last one's."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.boxes import BOX, perceptron
from paramcalc.gate.families.detr import DETR, attention, decoding
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.maps import batch_norm, convolution
from paramcalc.gate.families.nesting import whole
from paramcalc.gate.families.pyramid import kept
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, labels, layer_norm, stack, under
from paramcalc.gate.families.rtdetr import BLOCKS, projected, proposing, step
from paramcalc.gate.families.timm import frozen
from paramcalc.gate.families.vision import refuse, token

MOST_LEVELS = 64


def backbone(c: Config) -> tuple[Tree, list[int]]:
    """HGNet v2 and the widths of its maps."""
    part = c.part("backbone_config", "hgnet_v2")
    if part.model_type != "hgnet_v2":
        part.fail("model_type", f"a backbone of the type {part.model_type!r:.40} is not modelled")
        return {}, [1]
    made = whole(part, "backbone")
    widths = [part.size("embedding_size"), *part.sizes("hidden_sizes", least=1)]
    inner = frozen(made["parts"]) if c.flag("freeze_backbone_batch_norms", True) else made["parts"]
    group = {"path": "backbone.model", "tower": "vision", "cache": False, "width": made["width"]}
    return {"backbone": group | inner}, [widths[index] for index in kept(part, len(widths) - 1)]


def crossed(c: Config, path: str, inputs: int, outputs: int) -> Tree:
    """Two ways side by side, one of RepVGG blocks (Ding et al. 2021)."""
    number = max(1, round(BLOCKS * c.number("depth_mult", 1.0)))
    block = {"first": step("conv1", outputs, outputs, 3), "second": step("conv2", outputs, outputs, 1)}
    blocks = {"path": "bottlenecks.{}", "repeat": number, "width": outputs, **block, "flow": ["(first | second)"]}
    return {"path": path, "first": step("conv1", inputs, outputs, 1), "second": step("conv2", inputs, outputs, 1), "blocks": blocks}


def fusion(c: Config, path: str, width: int, times: int) -> Tree:
    """Two maps side by side through layers whose every output is kept for the last one (GELAN, Wang et al. 2024)."""
    inner = max(1, round(c.number("hidden_expansion", 1.0) * width // 2))
    return {
        "path": path,
        "repeat": times,
        "first": step("conv1", 2 * width, 2 * width, 1),
        "crossed_1": crossed(c, "csp_rep1", width, inner),
        "second": step("conv2", inner, inner, 3),
        "crossed_2": crossed(c, "csp_rep2", inner, inner),
        "third": step("conv3", inner, inner, 3),
        "fourth": step("conv4", 2 * width + 2 * inner, width, 1),
    }


def two_layers(path: str, width: int, size: int) -> Tree:
    about = {"component": "feed_forward"}
    return {"up": dense(f"{path}.layers.{{}}", width, size) | about, "down": dense(f"{path}.layers.{{}}", size, width) | about}


def hybrid(c: Config, maps: int) -> Tree:
    """The encoder: attention within some maps, then from coarse to fine and back."""
    width, number = c.size("encoder_hidden_dim"), c.size("encoder_attention_heads")
    layer: Tree = {"norm_1": layer_norm("self_attn_layer_norm")}
    layer["attention"] = attention(c, DETR, "encoder", "self_attn") | {"head_dim": max(1, width // number)}
    layer |= {"norm_2": layer_norm("final_layer_norm"), **two_layers("mlp", width, c.size("encoder_ffn_dim"))}
    before = c.flag("normalize_before")
    flow = [PRE_NORM[0], "norm_2 up down +"] if before else ["attention + norm_1", "up down + norm_2"]
    parts: Tree = {"path": "encoder", "width": width, "cache": False}
    if count := c.zero_or("encoder_layers") * len(c.sizes("encode_proj_layers")):
        parts["layers"] = stack("aifi.{}.layers.{}", {"layer": layer | {"flow": flow}}, f"{count} layer")
    if maps > 1:
        depth = {"kind": "group", "path": "conv2", "norm": batch_norm("norm", width)}
        depth["convolution"] = convolution("conv", width, width, 3, stride=2, groups=width, bias=False)
        coarser = {"path": "downsample_convs.{}", "repeat": maps - 1, "mix": step("conv1", width, width, 1), "shrink": depth}
        parts["lateral"] = {"repeat": maps - 1} | step("lateral_convs.{}", width, width, 1)
        parts["down_fusion"] = fusion(c, "fpn_blocks.{}", width, maps - 1)
        parts |= {"coarser": coarser, "up_fusion": fusion(c, "pan_blocks.{}", width, maps - 1)}
    return {"encoder": parts}


def refining(c: Config, width: int) -> Tree:
    """A layer of the decoder: queries attend to each other and, with no projections, to places of the maps, through a gate."""
    heads, levels, places = c.size("decoder_attention_heads"), c.size("num_feature_levels"), c.value("decoder_n_points")
    number = sum(c.sizes("decoder_n_points")) if isinstance(places, list) else levels * c.size("decoder_n_points")
    return {
        "attention": attention(c, DETR, "decoder", "self_attn"),
        "norm_1": layer_norm("self_attn_layer_norm"),
        "offsets": dense("encoder_attn.sampling_offsets", width, 2 * heads * number, component="attention"),
        "weights": dense("encoder_attn.attention_weights", width, heads * number, component="attention"),
        "gate": dense("gateway.gate", 2 * width, 2 * width, component="attention"),
        "gate_norm": layer_norm("gateway.norm"),
        **two_layers("mlp", width, c.size("decoder_ffn_dim")),
        "norm_2": layer_norm("final_layer_norm"),
    }


def predicting(c: Config, width: int, *, detects: bool) -> Tree:
    """What turns each layer's queries into offsets, how good they are, and, where objects are found, classes."""
    number, bins = c.size("decoder_layers"), c.size("max_num_bins")
    quality = perceptron("lqe_layers.{}.reg_conf", BOX * (c.size("top_prob_values") + 1), c.size("lqe_hidden_dim"), 1, c.size("lqe_layers"))
    more: Tree = {
        "scale": token("reg_scale", 1),
        "bound": token("up", 1),
        "places": perceptron("query_pos_head", BOX, 2 * width, width, 2),
        "first_box": perceptron("pre_bbox_head", width, width, BOX) | {"tower": "head"},
        "quality": quality | {"tower": "head", "repeat": number},
    }
    if detects:
        more["boxes"] = perceptron("bbox_embed.{}", width, width, BOX * (bins + 1)) | {"tower": "head", "repeat": number}
        classes = dense("class_embed.{}", width, labels(c), component="head")
        more["classes"] = {"path": "", "repeat": number, "linear": classes}
    return more


def d_fine(c: Config) -> Tree:
    width, number, last = c.size("hidden_size"), c.size("decoder_layers"), c.value("eval_idx")
    detects = c.architecture().endswith("ForObjectDetection")
    if not detects and c.task("base") != "base":
        refuse(c)
    last = last if type(last) is int else -1
    last = last if last >= 0 else number + last
    if c.number("layer_scale", 1.0) != 1.0 or not 0 <= last < number:
        c.fail("layer_scale", "wider layers behind the one that is evaluated are not modelled")
    grounds, widths = backbone(c)
    read = [size for size in c.sizes("decoder_in_channels", least=1) if size != width]
    parts = grounds | projected("encoder_input_proj", widths, c.size("encoder_hidden_dim"))
    parts |= hybrid(c, min(MOST_LEVELS, len(c.sizes("encoder_in_channels", least=1))))
    parts |= proposing(c, width)
    parts |= projected("decoder_input_proj", read, width, c.size("num_feature_levels"), chained=False) if read else {}
    layers = stack("layers.{}", {"layer": refining(c, width)}, f"{2 * number - max(0, min(last, number - 1)) - 1} layer")
    parts |= {"decoder": decoding(c, layers, predicting(c, width, detects=detects))["decoder"] | {"width": width}}
    return document(c, under("model.", parts) if detects else parts, width=width, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"d_fine": d_fine}
