"""FLAVA (Singh et al. 2022): a transformer on words, one on patches, and one that reads the vectors of both."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.boxes import bert_layers, pooler
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.nesting import beneath, nested, tower
from paramcalc.gate.families.pyramid import function
from paramcalc.gate.families.recipes import Tree, document, layer_norm, plain_activation, tree
from paramcalc.gate.families.vision import first, image, mask_token, patch_embedding, patches, refuse, token

MATCHES = 2
"""Whether words and image belong together, or not."""
MOST_BLOCKS = 64
DOUBLINGS = (1, 1, 2, 4, 8)
"""Widths of the codebook's stem and its four groups, in the first width; fixed in the reference's code."""


def finished(c: Config, parts: Tree, **fields: Any) -> Tree:
    if c.task("base") != "base":
        refuse(c)
    ending = {"layers": bert_layers(c), "norm": layer_norm("layernorm"), "pool": first()} | pooler()
    return document(c, parts | ending, cache=False, **fields)


def text(c: Config) -> Tree:
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embeddings.word_embeddings"},
        "token_types": {"kind": "embedding", "vocabulary": c.size("type_vocab_size"), "path": "embeddings.token_type_embeddings"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "embeddings.position_embeddings"},
        "embedding_norm": layer_norm("embeddings.LayerNorm"),
    }
    return finished(c, parts, context=c.size("max_position_embeddings"))


def vision(c: Config) -> Tree:
    """The vocabulary is that of the codebook, for the heads of the whole."""
    c.ignore("vocab_size")
    width, rows = c.size("hidden_size"), patches(c) + 1
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "cls_token": token("embeddings.cls_token", 1, 1, width) | {"joins": True},
    }
    if c.flag("mask_token", True):
        parts["mask_token"] = mask_token("embeddings.mask_token", 1, 1, width)
    parts["position"] = {"rows": rows, "bare": True, "path": "embeddings.position_embeddings"}
    return finished(c, parts, tokens=rows, image=image(c))


def multimodal(c: Config) -> Tree:
    joined = token("cls_token", 1, 1, c.size("hidden_size")) | {"joins": True}
    return finished(c, {"cls_token": joined} if c.flag("use_cls_token", True) else {})


def convolved(path: str, inputs: int, outputs: int, kernel: int) -> Tree:
    same = {"inputs": inputs, "outputs": outputs, "kernel": [kernel, kernel], "padding": kernel // 2}
    return {"kind": "convolution", "path": path} | same


def block(path: str, inputs: int, outputs: int) -> Tree:
    """Four convolutions through a quarter of the width, each behind a ReLU, beside what entered."""
    inner = max(1, outputs // 4)
    sizes = ((inputs, inner, 3), (inner, inner, 3), (inner, inner, 3), (inner, outputs, 1))
    made: Tree = {"path": path, "relu": function("relu")}
    made |= {f"convolution_{index}": convolved(f"res_path.path.conv_{index}", *size) for index, size in enumerate(sizes, 1)}
    chain = " ".join(f"relu convolution_{index}" for index in range(1, len(sizes) + 1))
    if inputs == outputs:
        return made | {"flow": [f"{chain} +"]}
    return made | {"shortcut": convolved("id_path", inputs, outputs, 1), "flow": [f"({chain} | shortcut)"]}


def codebook(c: Config) -> Tree:
    """DALL-E's encoder (Ramesh et al. 2021), which tells each patch's word; four groups whatever `num_groups` says."""
    c.ignore("num_groups", "freeze")
    if c.task("base") != "base" and not c.architecture().endswith("Codebook"):
        refuse(c)
    width, number = c.size("hidden_size"), c.size("num_blocks_per_group")
    if number > MOST_BLOCKS:
        c.fail("num_blocks_per_group", f"expected 1 to {MOST_BLOCKS}, got {number}")
        number = 1
    widths = [width * factor for factor in DOUBLINGS]
    parts: Tree = {"first": convolved("blocks.input", c.size("input_channels"), width, 7)}
    for group, (before, after) in enumerate(pairwise(widths), 1):
        for place in range(1, number + 1):
            path = f"blocks.group_{group}.group.block_{place}"
            parts[f"block_{group}_{place}"] = block(path, before if place == 1 else after, after)
        if group < len(widths) - 1:
            parts[f"pool_{group}"] = {"kind": "pooling", "type": "max", "kernel": 2, "stride": 2}
    parts |= {"relu": function("relu"), "last": convolved("blocks.output.conv", widths[-1], c.size("vocab_size"), 1)}
    return document(c, parts, width=width, cache=False)


def words(c: Config, name: str, part: Config) -> Tree:
    """A head that tells masked words, or patches' words: a dense layer, a norm, and logits whose bias has two names."""
    width, vocabulary = part.size("hidden_size"), part.size("vocab_size")
    inner = dense(f"{name}.transform.dense", width, width) | {"component": "head", "activation": plain_activation(part)}
    parts: Tree = {f"{name}_dense": inner, f"{name}_norm": layer_norm(f"{name}.transform.LayerNorm", size=width)}
    head = tree(kind="head", outputs=vocabulary, inputs=width, bias=True)
    if c.flag("tie_word_embeddings", True):
        return parts | {name: head | {"path": name, "names": {"weight": "decoder.weight"}}}
    spare = token(f"{name}.bias", vocabulary) | {"type": "bias", "component": "head"}
    return parts | {name: head | {"path": f"{name}.decoder"}, f"{name}_spare": spare}


def flava(c: Config) -> Tree:
    task, size = c.task("base"), c.size("projection_dim")
    texts, images, both = c.part("text_config"), c.part("image_config"), c.part("multimodal_config")
    parts = nested(texts, "text", "text_model") | tower(images, "vision", "image_model") | tower(both, "multimodal", "multimodal_model")
    wide, narrow, shared = images.size("hidden_size"), texts.size("hidden_size"), both.size("hidden_size")
    parts |= {
        "image_projection": dense("image_projection", wide, size),
        "text_projection": dense("text_projection", narrow, size),
        "image_to_both": dense("image_to_mm_projection", wide, shared),
        "text_to_both": dense("text_to_mm_projection", narrow, shared),
        "logit_scale": token("logit_scale"),
    }
    if task == "pretraining":
        parts = beneath("flava", parts) | pretraining(c, texts, images)
    elif task != "base":
        refuse(c)
    return document(c, parts, width=narrow, context=texts.optional("max_position_embeddings"), cache=False)


def pretraining(c: Config, texts: Config, images: Config) -> Tree:
    """The codebook that words of patches are learned from, and the heads of the losses."""
    parts = tower(c.part("image_codebook_config"), "codebook", "image_codebook") if c.flag("init_codebook", True) else {}
    for name, part in (("mim_head", images), ("mlm_head", texts), ("mmm_image_head", images), ("mmm_text_head", texts)):
        parts |= words(c, name, part)
    width = c.size("hidden_size")
    pooled = dense("itm_head.pooler.dense", width, width) | {"component": "head", "activation": "tanh"}
    return parts | {"itm_pooler": pooled, "itm_head": dense("itm_head.seq_relationship", width, MATCHES) | {"component": "head"}}


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "flava": flava,
    "flava_image_codebook": codebook,
    "flava_image_model": vision,
    "flava_multimodal_model": multimodal,
    "flava_text_model": text,
}
