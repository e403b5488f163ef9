"""BEiT and data2vec's image encoder: vision transformers whose positions are biases by distance, if there are any."""

from __future__ import annotations

from typing import Any, NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, labels, layer_norm, tree, under
from paramcalc.gate.families.vision import (
    BERT,
    Words,
    attention,
    classifier,
    deepening,
    encoder_layer,
    feed_forward,
    first,
    image,
    mask_token,
    mean,
    pair,
    patch_embedding,
    patches,
    refuse,
    token,
)

MAPS = 4
"""How many layers' maps the segmenting classes read, fixed in the reference's code."""


class Spelling(NamedTuple):
    """What the two references call the same pieces, and the one thing in which they differ."""

    words: Words
    layers: str
    relative: str
    """The table of a layer."""
    shared: str
    """The table that all layers share."""
    base: str
    pooled: bool
    """Whether the bare model has the pooler's norm."""
    finer: tuple[str, str, str, str]
    """The three convolutions that make finer maps, and the norm after the first."""


SCALES = ("lambda_1", "lambda_2")
TABLE = "relative_position_bias.relative_position_bias_table"
BEIT = Spelling(
    Words("layernorm_before", "attention", "layernorm_after", "mlp", scales=SCALES),
    "layers.{}", TABLE, "shared_position_bias.relative_position_bias_table", "beit", True,
    ("fpn.fpn1.conv_transpose1", "fpn.fpn1.conv_transpose2", "fpn.fpn2", "fpn.fpn1.normalization"),
)  # fmt: skip
DATA2VEC = Spelling(
    BERT._replace(scales=SCALES),
    "encoder.layer.{}", f"attention.attention.{TABLE}", f"encoder.{TABLE}", "data2vec_vision", False,
    ("fpn1.{}", "fpn1.{}", "fpn2.{}", "fpn1.{}"),
)  # fmt: skip


def distances(c: Config, path: str) -> Tree:
    """A bias per head for every distance between two patches, and three for the class token."""
    (height, width), side = pair(c, "image_size"), c.size("patch_size")
    rows = (2 * (height // side) - 1) * (2 * (width // side) - 1) + 3
    table = token(path, max(1, rows), c.size("num_attention_heads"))
    return table | {"component": "position_embedding", "relative": "made"}


def beit(c: Config, spelling: Spelling = BEIT) -> Tree:
    """BEiT (Bao et al. 2022), data2vec (Baevski et al. 2022): no bias on keys, branches scaled by learned gains."""
    width, task, words = c.size("hidden_size"), c.task("base"), spelling.words
    if c.number("layer_scale_init_value") <= 0:
        words = words._replace(scales=())
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "cls_token": token("embeddings.cls_token", 1, 1, width) | {"joins": True},
    }
    if c.flag("use_mask_token"):
        hidden = token if task == "masked_image" else mask_token
        parts["mask_token"] = hidden("embeddings.mask_token", 1, 1, width)
    if c.flag("use_absolute_position_embeddings"):
        parts["position"] = {"rows": patches(c) + 1, "bare": True, "path": "embeddings.position_embeddings"}
    if c.flag("use_shared_relative_position_bias"):
        parts["relative"] = distances(c, spelling.shared)
    more = {"relative": distances(c, spelling.relative)} if c.flag("use_relative_position_bias") else {}
    attend = attention(c, words, bias=["q", "v", "o"], relative=True if more or "relative" in parts else None)
    layer = encoder_layer(words, attend, feed_forward(c, words), width=width, **more)
    parts["layers"] = deepening(spelling.layers, layer, c.size("num_hidden_layers"), c.number("drop_path_rate"))
    pooled = task == "image_classification" or (task == "base" and spelling.pooled)
    if not c.flag("use_mean_pooling", True):
        parts |= {"norm": layer_norm("layernorm")} | ({"pool": first()} if pooled else {})
    elif pooled:
        parts |= {"pool": mean(), "norm": layer_norm("pooler.layernorm")}
    parts = parts if task == "base" else under(f"{spelling.base}.", parts)
    return document(c, parts | head(c, task, spelling), tokens=patches(c) + 1, cache=False, image=image(c))


def head(c: Config, task: str, spelling: Spelling) -> Tree:
    if task == "image_classification":
        return tree(head=classifier(c, "classifier"))
    if task == "masked_image":
        outputs = c.size("vocab_size")
        return {"head_norm": layer_norm("layernorm"), "head": {"kind": "dense", "path": "lm_head", "outputs": outputs, "component": "head"}}
    if task == "backbone" and c.flag("add_fpn"):
        return finer(spelling)
    if task == "segmentation":
        if len(c.listed("out_indices") or ()) != MAPS:
            c.fail("out_indices", f"expected {MAPS} layers, whose maps the head reads")
        return finer(spelling) | {"decoder": uper_head(c)} | ({"auxiliary": plain_head(c)} if c.flag("use_auxiliary_head", True) else {})
    if task not in ("base", "backbone"):
        refuse(c)
    return {}


def finer(spelling: Spelling) -> Tree:
    """Transposed 2×2 convolutions that make finer maps of the first two, for a backbone or a head over maps."""
    step: dict[str, Any] = {"kind": "convolution", "kernel": [2, 2], "stride": [2, 2], "transposed": True}
    parts: Tree = {f"fine_{index}": step | {"path": path} for index, path in enumerate(spelling.finer[:3], 1)}
    return parts | {"fine_norm": {"kind": "norm", "type": "batch", "path": spelling.finer[3]}}


def convolved(path: str, inputs: int, outputs: int, side: int) -> Tree:
    """A convolution without bias and its batch norm."""
    return {
        "path": path,
        "convolution": {
            "kind": "convolution", "path": "convolution", "inputs": inputs, "outputs": outputs, "kernel": [side, side], "bias": False,
        },
        "norm": {"kind": "norm", "type": "batch", "path": "normalization", "size": outputs},
    }  # fmt: skip


def labelled(c: Config, inputs: int) -> Tree:
    return {
        "kind": "convolution", "path": "classifier", "inputs": inputs, "outputs": labels(c), "kernel": [1, 1], "component": "head",
    }  # fmt: skip


def uper_head(c: Config) -> Tree:
    """UPerNet's head (Xiao et al. 2018): the coarsest map pooled to several sizes, and a pyramid of all maps."""
    width, sizes = c.size("hidden_size"), c.listed("pool_scales") or []
    parts: Tree = {"path": "decode_head"}
    if sizes:
        parts["pooled"] = {"repeat": len(sizes)} | convolved("psp_modules.blocks.{}.conv", width, width, 1)
    parts["bottleneck"] = convolved("psp_bottleneck", (len(sizes) + 1) * width, width, 3)
    parts["lateral"] = {"repeat": MAPS - 1} | convolved("lateral_convs.{}", width, width, 1)
    parts["finer"] = {"repeat": MAPS - 1} | convolved("fpn_convs.{}", width, width, 3)
    return parts | {"joined": convolved("fpn_bottleneck", MAPS * width, width, 3), "head": labelled(c, width)}


def plain_head(c: Config) -> Tree:
    """A fully convolutional head (Long et al. 2015) that only helps in training."""
    width, channels, count = c.size("hidden_size"), c.size("auxiliary_channels"), c.zero_or("auxiliary_num_convs")
    parts: Tree = {"path": "auxiliary_head"}
    if count:
        parts["first"] = convolved("convs.{}", width, channels, 3)
    if count > 1:
        parts["more"] = {"repeat": count - 1} | convolved("convs.{}", channels, channels, 3)
    if c.flag("auxiliary_concat_input"):
        parts["joined"] = convolved("conv_cat", width + channels, channels, 3)
    return parts | {"head": labelled(c, channels)}


def data2vec_vision(c: Config) -> Tree:
    return beit(c, DATA2VEC)


FAMILIES = {"beit": beit, "data2vec-vision": data2vec_vision}
