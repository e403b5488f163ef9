"""Detectors whose queries look at a few places of several maps: Deformable DETR."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.boxes import BOX, perceptron
from paramcalc.gate.families.detr import DETR, attention, convolutions, crossing, decoding, found, network, positions, queries
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.recipes import POST_NORM, Tree, labels, layer_norm, stack
from paramcalc.gate.families.vision import token


def sampled(path: str, width: int, heads: int, places: int) -> Tree:
    """Deformable attention (Zhu et al. 2021): each head reads `places` places, whose offsets and weights come from the query."""
    return {
        "path": path,
        "offsets": dense("sampling_offsets", width, 2 * heads * places, component="attention"),
        "weights": dense("attention_weights", width, heads * places, component="attention"),
        "value": dense("value_proj", width, width, component="attention"),
        "output": dense("output_proj", width, width, component="attention"),
        "flow": ["value output"],
    }


def maps(c: Config, widths: list[int], levels: int) -> Tree:
    """Each map's way into the width, and coarser maps made from the last until there are as many as `levels`."""
    width = c.size("hidden_size")
    read = widths if levels > 1 else widths[-1:]
    parts: Tree = {}
    for index in range(max(levels, len(read))):
        coarser = index >= len(read)
        inputs = read[index] if not coarser else read[-1] if index == len(read) else width
        side = 3 if coarser else 1
        parts[f"input_{index + 1}"] = {
            "kind": "convolution", "path": "input_proj.{}.{}", "inputs": inputs, "outputs": width, "kernel": [side, side],
            "component": "projection",
        }  # fmt: skip
        parts[f"input_norm_{index + 1}"] = {"kind": "norm", "type": "group", "path": "input_proj.{}.{}", "size": width}
    return parts


def predictors(c: Config, path: str, width: int, number: int, *, boxes: bool, shared: bool) -> Tree:
    """One predictor for each layer of the decoder, all of which may share what the first one has."""
    about: Tree = {"tower": "head", "repeat": number} | ({"stored": 1} if shared and number > 1 else {})
    if boxes:
        return about | perceptron(f"{path}.{{}}", width, width, BOX)
    return about | {"path": path, "linear": dense("{}", width, labels(c), component="head")}


def deformable(c: Config) -> Tree:
    """Deformable DETR (Zhu et al. 2021); in two stages, the encoder's pixels propose the queries."""
    width, levels, refined, staged = c.size("hidden_size"), c.size("num_feature_levels"), c.flag("with_box_refine"), c.flag("two_stage")
    if staged and not refined:
        c.fail("two_stage", "is built with with_box_refine only")
    backbone, widths = convolutions(c, DETR, indices=(2, 3, 4) if levels > 1 else (4,))
    heads = {side: c.size(f"{side}_attention_heads") for side in ("encoder", "decoder")}
    places = {side: levels * c.size(f"{side}_n_points") for side in ("encoder", "decoder")}
    reads = {
        "deformable_attention": sampled("self_attn", width, heads["encoder"], places["encoder"]),
        "norm_1": layer_norm("self_attn_layer_norm"),
        **network(c, DETR, "encoder"),
        "norm_2": layer_norm("final_layer_norm"),
        "flow": ["deformable_attention + norm_1", POST_NORM[1]],
    }
    cross = {"cross_attention": sampled("encoder_attn", width, heads["decoder"], places["decoder"])}
    layer = crossing(c, DETR, {"attention": attention(c, DETR, "decoder", "self_attn")}, cross)
    parts = backbone | maps(c, widths, levels) | {"levels": token("level_embed", levels, width) | {"component": "position_embedding"}}
    parts |= positions(c) | {"layers": stack("encoder.layers.{}", {"layer": reads}, f"{c.size('encoder_layers')} layer", cache=False)}
    number = c.size("decoder_layers")
    tied, detects = c.flag("tie_word_embeddings", True), c.architecture().endswith("ForObjectDetection")
    more: Tree = {}
    if detects and refined:
        more["boxes"] = predictors(c, "bbox_embed", width, number + staged, boxes=True, shared=False)
    if detects and staged:
        more["classes"] = predictors(c, "class_embed", width, number + staged, boxes=False, shared=False)
    parts |= decoding(c, stack("layers.{}", {"layer": layer}, f"{number} layer"), more)
    if staged:
        parts |= {
            "propose": dense("enc_output", width, width),
            "propose_norm": layer_norm("enc_output_norm"),
            "place": dense("pos_trans", 2 * width, 2 * width),
            "place_norm": layer_norm("pos_trans_norm", size=2 * width),
        }
    else:
        parts |= queries(c, 2 * width) | {"reference": dense("reference_points", width, 2)}
    c.ignore("num_channels", "max_position_embeddings")

    def top() -> Tree:
        made: Tree = {}
        if not (tied and staged):
            made["classes"] = predictors(c, "class_embed", width, number + staged, boxes=False, shared=tied)
        if not (tied and refined):
            made["boxes"] = predictors(c, "bbox_embed", width, number + staged, boxes=True, shared=tied)
        return made

    return found(c, parts, top)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"deformable_detr": deformable}
