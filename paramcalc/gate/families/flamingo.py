"""Language models that look at an image by cross attention: Llama 3.2 Vision, Idefics; and Florence-2's image encoder."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense, head, part_alone, projector
from paramcalc.gate.families.llama import LLAMA, UNBIASED, feed_forward, layer
from paramcalc.gate.families.nesting import beneath, nested, tower
from paramcalc.gate.families.pyramid import stages
from paramcalc.gate.families.recipes import (
    Tree,
    depth,
    document,
    layer_norm,
    layered,
    plain_activation,
    rms,
    stack,
    task_head,
    tied,
    tree,
    under,
)
from paramcalc.gate.families.towers import LLAMA4
from paramcalc.gate.families.vision import Words, attention, encoder_layer, patch_embedding, patches, refuse, token
from paramcalc.gate.families.vision import feed_forward as plain_feed_forward

GATED = ["norm_1 cross_attention gate_attention +", "norm_2 feed_forward gate_feed_forward +"]
SPARE_TOKENS = 8  # rows of Llama 3.2 Vision's token table beyond its vocabulary, fixed in the reference's code
WINDOW = Words("norm1", "window_attn", "norm2", "ffn", o="proj")
CHANNEL = WINDOW._replace(attention="channel_attn")


CROSSED = range(3, 39, 5)
"""Layers of Mllama's text that look at the image, and how many shapes of images there are, where the config does not say."""
RATIOS = 8


def mllama_text(c: Config) -> Tree:
    """Llama 3.2 Vision's language model (Meta 2024): Llama, with layers of gated cross attention among the others."""
    task, crossed, width = c.task("causal_lm"), set(c.sizes("cross_attention_layers")), c.size("hidden_size")
    if c.value("cross_attention_layers") is None and not c.spec:
        crossed = set(CROSSED)

    def build(word: str) -> Tree:
        attend, feed = UNBIASED(c), feed_forward(c, bias=False)
        if word == "layer":
            return layer(LLAMA, rms, attend, feed)
        cross = {key: value for key, value in attend.items() if key != "rotary"} | {
            "path": "cross_attn",
            "qk_norm": "head",
            "source": width,
            "optional": True,
        }
        return {
            "norm_1": rms("input_layernorm"),
            "cross_attention": cross,
            "gate_attention": token("cross_attn_attn_gate", 1),
            "norm_2": rms("post_attention_layernorm"),
            "feed_forward": feed,
            "gate_feed_forward": token("cross_attn_mlp_gate", 1),
            "flow": GATED,
        }

    words = ["cross" if index in crossed else "layer" for index in range(depth(c))]
    vocabulary = c.size("vocab_size")
    parts = {
        "embedding": {"vocabulary": vocabulary + SPARE_TOKENS, "path": "embed_tokens"},
        "layers": layered("layers.{}", [words], build),
        "norm": rms("norm"),
    }
    parts = parts if task == "base" else under("model.", parts)
    return document(c, parts | task_head(c, task, {"kind": "head", "path": "lm_head", "outputs": vocabulary}))


def mllama_vision(c: Config) -> Tree:
    """Its image encoder: tiles with tables by aspect ratio, plain layers, then layers with gated branches."""
    width, rows, tiles = c.size("hidden_size"), patches(c) + 1, c.size("max_num_tiles")
    stated = c.listed("supported_aspect_ratios")
    ratios = (RATIOS if stated is None and not c.spec else len(stated or [])) + 1

    def layers(path: str, number: str, gates: tuple[str, ...]) -> Tree:
        words = LLAMA4._replace(scales=gates)
        heads = c.size("attention_heads")
        attend = attention(c, words, bias=None, heads=heads, head_dim=max(1, width // heads))
        built = encoder_layer(words, attend, plain_feed_forward(c, words), width=1)
        return stack(path, {"layer": built}, f"{c.size(number)} layer")

    def table(path: str, size: int) -> Tree:
        return {"kind": "embedding", "vocabulary": ratios, "size": size, "path": path, "component": "position_embedding"}

    place = token("gated_positional_embedding.embedding", rows, width) | {"type": "embedding", "component": "position_embedding"}
    parts = {
        "patches": patch_embedding(c, "patch_embedding", bias=False),
        "cls_token": token("class_embedding", width),
        "position": place,
        "position_gate": token("gated_positional_embedding.gate", 1),
        "tile_position": table("gated_positional_embedding.tile_embedding", tiles * rows * width),
        "tile_before": table("pre_tile_positional_embedding.embedding", tiles * width),
        "gate_before": token("pre_tile_positional_embedding.gate", 1),
        "embedding_norm": layer_norm("layernorm_pre"),
        "layers": layers("transformer.layers.{}", "num_hidden_layers", ()),
        "norm": layer_norm("layernorm_post"),
        "tile_after": table("post_tile_positional_embedding.embedding", tiles * width),
        "gate_after": token("post_tile_positional_embedding.gate", 1),
        "global_layers": layers("global_transformer.layers.{}", "num_global_layers", ("gate_attn", "gate_ffn")),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=tiles * rows, cache=False)


def mllama(c: Config) -> Tree:
    """Llama 3.2 Vision: the language model alone is what its class for causal language modelling takes."""
    task, words, pictures = c.task("generation"), c.part("text_config"), c.part("vision_config")
    alone = part_alone(c, words, task)
    if alone:
        return alone
    width = words.size("hidden_size")
    parts = tower(pictures, "vision", "vision_model")
    parts["projector"] = projector("", {"linear": dense("multi_modal_projector", pictures.size("vision_output_dim"), width)})
    parts |= nested(words, "text", "language_model")
    parts = parts if task == "base" else under("model.", parts)
    top = task_head(c, task, {"kind": "head", "path": "lm_head", "outputs": words.size("vocab_size")})
    return document(c, parts | top, width=width, context=words.optional("max_position_embeddings"))


def idefics(c: Config) -> Tree:
    """Idefics (Laurençon et al. 2023), an open Flamingo (Alayrac et al. 2022): gated cross attention before every
    `cross_layer_interval`-th layer, to the patches or to what a resampler makes of them."""
    task, pictures, width = c.task("generation"), c.part("vision_config"), c.size("hidden_size")
    read, number = pictures.size("hidden_size"), c.size("num_attention_heads")
    attend = {"kind": "attention", "heads": number, "head_dim": max(1, width // number)}
    feed = feed_forward(c, bias=False)
    plain = layer(LLAMA, rms, attend | {"path": "self_attn", "rotary": True}, feed)
    normed = {"qk_norm": "head", "names": {"q_norm": "q_layer_norm", "k_norm": "k_layer_norm"}} if c.flag("qk_layer_norms") else {}
    shape = [1, 1, width] if c.choice("alpha_type", ("float", "vector"), "float") == "vector" else [1]
    crossed = {
        "norm_1": rms("input_layernorm"),
        "cross_attention": attend | {"path": "cross_attn", "source": read} | normed,
        "gate_attention": token("alpha_cross_attn", *shape),
        "norm_2": rms("post_attention_layernorm"),
        "feed_forward": feed,
        "gate_feed_forward": token("alpha_dense", *shape),
        "flow": GATED,
    }
    layers, extra = depth(c), c.zero_or("additional_vocab_size")
    parts: Tree = {"embedding": {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"}}
    if extra:
        parts["more_tokens"] = {"kind": "embedding", "vocabulary": extra, "path": "embed_tokens.additional_embedding"}
    parts |= tower(pictures, "vision", "vision_model")
    if c.flag("use_resampler"):
        parts["projector"] = projector("perceiver_resampler", resampler(c.part("perceiver_config"), read))
    parts["layers"] = stack("layers.{}", {"layer": plain}, f"{layers} layer")
    gated = layers // c.size("cross_layer_interval")
    if gated:
        parts["cross_layers"] = stack("gated_cross_attn_layers.{}", {"layer": crossed}, f"{gated} layer")
    parts["norm"] = rms("norm")
    if task == "base":
        return document(c, parts)
    if task not in ("generation", "causal_lm") and not c.architecture().endswith("ForVisionText2Text"):
        refuse(c)
    parts = under("model.", parts)
    parts["head"] = tree(kind="head", path="lm_head", outputs=c.size("vocab_size"), tied=tied(c, "embedding", False))
    if extra:
        owner = tied(c, "more_tokens", False)
        parts["more_head"] = tree(kind="head", path="lm_head.additional_fc", outputs=extra, tied=owner)
    return document(c, parts)


def resampler(c: Config, width: int) -> Tree:
    """Flamingo's resampler: learned latents attend to the patches and to themselves."""
    latents = c.size("resampler_n_latents")
    names = {"o_proj": "output_proj", "q_norm": "q_layer_norm", "k_norm": "k_layer_norm"}
    normed = {"qk_norm": "head", "qk_norm_type": "layer", "qk_norm_bias": True} if c.flag("qk_layer_norms_perceiver") else {}
    heads = {"heads": c.size("resampler_n_heads"), "head_dim": c.size("resampler_head_dim")}
    names = {key: value for key, value in names.items() if normed or key == "o_proj"}
    block = {
        "norm_context": layer_norm("context_layer_norm"),
        "norm_1": layer_norm("latents_layer_norm"),
        "attention": {"path": "", "names": names} | heads | normed,
        "norm_2": layer_norm("ln"),
        "feed_forward": {
            "path": "",
            "size": 4 * width,
            "gated": False,
            "activation": "relu",
            "names": {"up_proj": "fc", "down_proj": "c_proj"},
        },
        "flow": ["norm_1 attention +", "norm_2 feed_forward +"],
    }
    return {
        "width": width,
        "tokens": latents,
        "latents": token("latents", latents, width),
        "layers": stack("blocks.{}.{}", {"layer": block}, f"{c.size('resampler_depth')} layer"),
        "norm": layer_norm("layer_norm"),
    }


def florence_vision(c: Config) -> Tree:
    """DaViT (Ding et al. 2022), Florence-2's image encoder: in each stage attention within windows, then among channels."""
    shape = stages(c, "embed_dim", "depths", "num_heads", "num_groups", "patch_size", "patch_stride")
    before, first = c.listed("patch_prenorm") or [], c.size("in_channels")
    bias = True if c.flag("qkv_bias", True) else ["o"]
    parts: Tree = {}
    read = first
    for index, (width, number, heads, groups, side, stride) in enumerate(shape):
        early = index < len(before) and before[index] is True
        step = {
            "kind": "convolution",
            "path": "convs.{}.conv",
            "inputs": read,
            "outputs": width,
            "kernel": [side, side],
            "stride": [stride] * 2,
        }
        norm = layer_norm("convs.{}.norm", size=read if early else width)
        blocks: Tree = {}
        for kind, words, split in (("spatial", WINDOW, heads), ("channel", CHANNEL, groups)):
            blocks |= davit_block(c, kind, words, width, split, bias)
        parts[f"stage_{index + 1}"] = {"width": width, "path": ""} | (
            {"step_norm": norm, "step": step} if early else {"step": step, "step_norm": norm}
        )
        if number:
            parts[f"stage_{index + 1}"]["blocks"] = stack("blocks.{}.{}", {"layer": blocks}, f"{number} layer")
        read = width
    return document(c, parts, width=read, cache=False)


def davit_block(c: Config, kind: str, words: Words, width: int, split: int, bias: bool | list[str]) -> Tree:
    """A depthwise convolution, attention, another one, a feed-forward network: each with its residual."""
    depthwise = {"kind": "convolution", "kernel": [3, 3], "groups": width}
    names = {"qkv_proj": "qkv", "o_proj": "proj"}
    attend = attention(c, words, heads=max(1, split), head_dim=max(1, width // max(1, split)), fused="qkv", bias=bias, names=names)
    feed = plain_feed_forward(c, words, size=int(width * c.number("mlp_ratio", 4.0)))
    parts = {
        "convolution_1": depthwise | {"path": "conv1"},
        "norm_1": layer_norm(words.norm_1),
        "attention": attend,
        "convolution_2": depthwise | {"path": "conv2"},
        "norm_2": layer_norm(words.norm_2),
        "feed_forward": feed | {"activation": plain_activation(c, "activation_function")},
        "flow": ["convolution_1 +", "norm_1 attention +", "convolution_2 +", "norm_2 feed_forward +"],
    }
    return {kind: {"path": f"{kind}_block"} | parts}


def florence(c: Config) -> Tree:
    """Florence-2 (Xiao et al. 2024): DaViT, positions by row and column, and an encoder-decoder of BART's make."""
    task, words, pictures = c.task("generation"), c.part("text_config"), c.part("vision_config")
    width, size = words.size("hidden_size"), pictures.size("projection_dim")
    last = (pictures.sizes("embed_dim", least=1) or [1])[-1]
    parts = tower(pictures, "vision", "vision_tower")
    table = {"kind": "embedding", "vocabulary": pictures.size("max_position_embeddings"), "component": "position_embedding"}
    bridge = {
        "rows": table | {"size": max(1, last // 2), "path": "image_position_embed.row_embeddings"},
        "columns": table | {"size": last - last // 2, "path": "image_position_embed.column_embeddings"},
        "linear": dense("image_projection", last, size, False),
        "norm": layer_norm("image_proj_norm", size=size),
    }
    parts["projector"] = projector("multi_modal_projector", bridge)
    parts |= nested(words, "text", "language_model")
    owner = "text.encoder.embedding" if "encoder" in parts["text"] else "text.embedding"
    parts = parts if task == "base" else beneath("model", parts)
    return document(c, parts | head(c, words, task, owner=owner), width=width, context=words.optional("max_position_embeddings"))


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "florence2": florence,
    "florence_vision": florence_vision,
    "idefics": idefics,
    "mllama": mllama,
    "mllama_text_model": mllama_text,
    "mllama_vision_model": mllama_vision,
}
