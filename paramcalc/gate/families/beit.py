"""BEiT and data2vec's image encoder: vision transformers whose positions are biases by distance, if there are any."""

from __future__ import annotations

from typing import Any, NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, layer_norm, stack, tree, under
from paramcalc.gate.families.vision import (
    Words,
    attention,
    classifier,
    encoder_layer,
    feed_forward,
    pair,
    patch_embedding,
    patches,
    refuse,
    token,
)


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


SCALES = ("lambda_1", "lambda_2")
TABLE = "relative_position_bias.relative_position_bias_table"
BEIT = Spelling(
    Words("layernorm_before", "attention", "layernorm_after", "mlp", scales=SCALES),
    "layers.{}", TABLE, "shared_position_bias.relative_position_bias_table", "beit", True,
)  # fmt: skip
DATA2VEC = Spelling(
    Words(
        "layernorm_before", "attention", "layernorm_after", "", "attention.query", "attention.key", "attention.value", "output.dense",
        "intermediate.dense", "output.dense", SCALES,
    ),
    "encoder.layer.{}", f"attention.attention.{TABLE}", f"encoder.{TABLE}", "data2vec_vision", False,
)  # fmt: skip


def distances(c: Config, path: str) -> Tree:
    """A bias per head for every distance between two patches, and three for the class token."""
    (height, width), side = pair(c, "image_size"), c.size("patch_size")
    rows = (2 * (height // side) - 1) * (2 * (width // side) - 1) + 3
    return token(path, max(1, rows), c.size("num_attention_heads")) | {"component": "position_embedding"}


def beit(c: Config, spelling: Spelling = BEIT) -> Tree:
    """BEiT (Bao et al. 2022), data2vec (Baevski et al. 2022): no bias on keys, branches scaled by learned gains."""
    width, task, words = c.size("hidden_size"), c.task("base"), spelling.words
    if c.number("layer_scale_init_value") <= 0:
        words = words._replace(scales=())
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "cls_token": token("embeddings.cls_token", 1, 1, width),
    }
    if c.flag("use_mask_token"):
        parts["mask_token"] = token("embeddings.mask_token", 1, 1, width)
    if c.flag("use_absolute_position_embeddings"):
        parts["position"] = {"rows": patches(c) + 1, "bare": True, "path": "embeddings.position_embeddings"}
    if c.flag("use_shared_relative_position_bias"):
        parts["relative"] = distances(c, spelling.shared)
    more = {"relative": distances(c, spelling.relative)} if c.flag("use_relative_position_bias") else {}
    layer = encoder_layer(words, attention(c, words, bias=["q", "v", "o"]), feed_forward(c, words), width=width, **more)
    parts["layers"] = stack(spelling.layers, {"layer": layer}, f"{c.size('num_hidden_layers')} layer")
    pooled = task == "image_classification" or (task == "base" and spelling.pooled)
    if not c.flag("use_mean_pooling", True):
        parts["norm"] = layer_norm("layernorm")
    elif pooled:
        parts["norm"] = layer_norm("pooler.layernorm")
    parts = parts if task == "base" else under(f"{spelling.base}.", parts)
    return document(c, parts | head(c, task), tokens=patches(c) + 1, cache=False)


def head(c: Config, task: str) -> Tree:
    if task == "image_classification":
        return tree(head=classifier(c, "classifier"))
    if task == "masked_image":
        outputs = c.size("vocab_size")
        return {"head_norm": layer_norm("layernorm"), "head": {"kind": "dense", "path": "lm_head", "outputs": outputs, "component": "head"}}
    if task == "backbone" and c.flag("add_fpn"):
        return pyramid()
    if task not in ("base", "backbone"):
        refuse(c)
    return {}


def pyramid() -> Tree:
    """Transposed 2×2 convolutions that make finer maps of the last two, for a backbone."""
    steps: dict[str, Any] = {"fine_1": "fpn.fpn1.conv_transpose1", "fine_2": "fpn.fpn1.conv_transpose2", "fine_3": "fpn.fpn2"}
    parts: Tree = {
        name: {"kind": "convolution", "path": path, "kernel": [2, 2], "stride": [2, 2], "transposed": True} for name, path in steps.items()
    }
    return parts | {"fine_norm": {"kind": "norm", "type": "batch", "path": "fpn.fpn1.normalization"}}


def data2vec_vision(c: Config) -> Tree:
    return beit(c, DATA2VEC)


FAMILIES = {"beit": beit, "data2vec-vision": data2vec_vision}
