"""Plain ViTs for other ends: Pixio, ViTDet with windows and residual convolutions, and MGP-STR, which reads text in scenes."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.maps import convolution
from paramcalc.gate.families.nesting import told
from paramcalc.gate.families.recipes import PRE_NORM, Tree, depth, document, layer_norm, layered, stack, under
from paramcalc.gate.families.vision import VIT, Words, attention, encoder_layer, feed_forward, pair, patch_embedding, patches, refuse, token

FUSED = Words("norm1", "attention", "norm2", "mlp", o="proj")
GROUPS = 8  # of MGP-STR's convolutions over the stream, fixed in the reference's code


def qkv_bias(c: Config) -> bool | list[str]:
    return True if c.flag("qkv_bias", True) else ["o"]


def sized(c: Config) -> int:
    return max(1, int(c.size("hidden_size") * c.number("mlp_ratio", 4.0)))


def pixio(c: Config) -> Tree:
    """Pixio (Yang et al. 2025): several class tokens; its backbone has one more norm."""
    width, tokens, task = c.size("hidden_size"), c.size("n_cls_tokens"), c.task("base")
    rows = patches(c) + tokens
    layer = encoder_layer(VIT, attention(c, VIT, bias=qkv_bias(c)), feed_forward(c, VIT, size=sized(c)))
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "cls_token": token("embeddings.cls_token", 1, tokens, width),
        "position": {"rows": rows, "bare": True, "path": "embeddings.position_embeddings"},
        "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("layernorm"),
    }
    if task == "backbone":
        parts = under("pixio.", parts) | {"map_norm": layer_norm("layernorm")}
    elif task != "base":
        refuse(c)
    return document(c, parts, tokens=rows, cache=False)


def vitdet_layer(c: Config, sides: tuple[int, int], window: int, residual: bool) -> Tree:
    """A layer that may look within a window, add a vector for each distance, and end in a bottleneck of convolutions."""
    width, heads = c.size("hidden_size"), c.size("num_attention_heads")
    names = {"qkv_proj": "qkv", "o_proj": "proj"}
    attend = attention(c, FUSED, bias=qkv_bias(c), fused="qkv", chunk=window * window or None, names=names)
    layer = encoder_layer(FUSED, attend, feed_forward(c, FUSED, size=sized(c)))
    if c.flag("use_relative_position_embeddings"):
        for name, side in (("rel_pos_h", window or sides[0]), ("rel_pos_w", window or sides[1])):
            table = token(f"attention.{name}", max(1, 2 * side - 1), max(1, width // heads))
            layer[name] = table | {"component": "position_embedding"}
    if not residual:
        return layer
    inner = max(1, width // 2)
    for number, (read, made, side) in enumerate(((width, inner, 1), (inner, inner, 3), (inner, width, 1)), 1):
        layer[f"convolution_{number}"] = convolution(f"residual.conv{number}", read, made, side, bias=False)
        layer[f"convolution_norm_{number}"] = layer_norm(f"residual.norm{number}", size=made)
    chain = " ".join(f"convolution_{number} convolution_norm_{number}" for number in (1, 2, 3))
    return layer | {"flow": [*PRE_NORM, f"{chain} +"]}


def vitdet(c: Config) -> Tree:
    """ViTDet (Li et al. 2022): a plain ViT whose layers, but for some, see windows."""
    image, patch = pair(c, "image_size"), pair(c, "patch_size")
    sides = (image[0] // patch[0], image[1] // patch[1])
    windowed, residual, window = set(c.sizes("window_block_indices")), set(c.sizes("residual_block_indices")), c.zero_or("window_size")
    indices = range(depth(c))
    sees = ["local" if index in windowed and window else "global" for index in indices]
    ends = ["convolved" if index in residual else "plain" for index in indices]
    parts: Tree = {"patches": patch_embedding(c, "embeddings.projection")}
    if c.flag("use_absolute_position_embeddings", True):
        rows = patches(c, "pretrain_image_size") + 1
        parts["position"] = {"rows": rows, "bare": True, "path": "embeddings.position_embeddings"}

    def build(sight: str, end: str) -> Tree:
        return vitdet_layer(c, sides, window if sight == "local" else 0, end == "convolved")

    parts["layers"] = layered("encoder.layer.{}", [sees, ends], build)
    if c.task("base") not in ("base", "backbone"):
        refuse(c)
    return document(c, parts, tokens=max(1, sides[0] * sides[1]), cache=False)


def mgp_str(c: Config) -> Tree:
    """MGP-STR (Wang et al. 2022): a ViT, and for characters, byte pairs and word pieces each a module that picks tokens."""
    width, task, image = c.size("hidden_size"), c.task("base"), c.value("image_size")
    if isinstance(image, list) and len(image) > 2:  # the reference reads the first two
        told(c, image_size=image[:2])
    words = FUSED._replace(attention="attn")
    names = {"qkv_proj": "qkv", "o_proj": "proj"}
    layer = encoder_layer(words, attention(c, words, bias=qkv_bias(c), fused="qkv", names=names), feed_forward(c, words, size=sized(c)))
    rows = patches(c) + (2 if c.flag("distilled") else 1)
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.proj"),
        "cls_token": token("embeddings.cls_token", 1, 1, width),
        "position": {"rows": rows, "bare": True, "path": "embeddings.pos_embed"},
        "layers": stack("encoder.blocks.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
    }
    if not c.architecture().endswith("ForSceneTextRecognition"):
        if task != "base":
            refuse(c)
        return document(c, parts, tokens=rows, cache=False)
    if width % GROUPS:
        c.fail("hidden_size", f"({width}) is not divisible by {GROUPS} groups")
        return document(c, parts, tokens=rows, cache=False)
    parts = under("mgp_str.", parts)
    for name, key in (("char", "num_character_labels"), ("bpe", "num_bpe_labels"), ("wp", "num_wordpiece_labels")):
        parts[f"{name}_tokens"] = {
            "path": f"{name}_a3_module",
            "token_norm": layer_norm("token_norm"),
            "mix": convolution("tokenLearner.{}", width, width, groups=GROUPS, bias=False),
            "pick": convolution("tokenLearner.{}", width, c.size("max_token_length"), bias=False),
            "feature": convolution("feat", width, width, groups=GROUPS, bias=False),
            "norm": layer_norm("norm"),
        }
        parts[f"{name}_head"] = dense(f"{name}_head", width, c.size(key)) | {"component": "head"}
    return document(c, parts, tokens=rows, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"mgp-str": mgp_str, "pixio": pixio, "vitdet": vitdet}
