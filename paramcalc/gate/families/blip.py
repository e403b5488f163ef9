"""BLIP and its kin, and GIT: image encoders before language models of BERT's make."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import CROSS, Style, attention, embeddings, encoder, feed_forward, lm_head, pooler
from paramcalc.gate.families.composite import dense, projector
from paramcalc.gate.families.nesting import nested, told, tower
from paramcalc.gate.families.recipes import POST_NORM, Tree, depth, document, layer_norm, layered, stack, tree, under
from paramcalc.gate.families.vision import CLIP, encoder_layer, patch_embedding, patches, refuse, token
from paramcalc.gate.families.vision import attention as plain_attention
from paramcalc.gate.families.vision import feed_forward as plain_feed_forward

TEXT = Style(types=False, cross=False)
QFORMER = Style(
    cross=False,
    names={"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value", "o_proj": "output.dense"},
)
DECODER_TOO = frozenset(
    ["bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart", "mvp", "pegasus", "plbart", "prophetnet"]
) | {"trocr", "whisper"}
"""Encoder-decoders of which the reference also builds the decoder alone, and does so inside BLIP-2."""


def vision(c: Config) -> Tree:
    """BLIP's image encoder: fused projections, positions and class token as bare parameters."""
    width, rows = c.size("hidden_size"), patches(c) + 1
    bias = True if c.flag("qkv_bias", True) else ["o"]
    attend = plain_attention(c, CLIP, fused="qkv", bias=bias, names={"qkv_proj": "qkv", "o_proj": "projection"})
    layer = encoder_layer(CLIP, attend, plain_feed_forward(c, CLIP))
    parts = {
        "patches": patch_embedding(c, "embeddings.patch_embedding", inputs=3),  # colours, fixed in the reference's code
        "cls_token": token("embeddings.class_embedding", 1, 1, width),
        "position": {"rows": rows, "bare": True, "path": "embeddings.position_embedding"},
        "layers": stack("encoder.layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("post_layernorm"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=rows, cache=False)


def text(c: Config) -> Tree:
    """BLIP's language model (Li et al. 2022): BERT that reads the image by cross attention in every layer."""
    task = c.task("base")
    parts = {"attention": attention(c, TEXT, "attention"), "norm_1": layer_norm(TEXT.norms[0])}
    flow = list(POST_NORM)
    if c.flag("is_decoder", True):
        source = c.size("encoder_hidden_size")
        parts["cross_attention"] = attention(c, TEXT, "crossattention", source=source)
        parts["norm_cross"] = layer_norm(f"cross{TEXT.norms[0]}")
        flow[1:1] = [CROSS[False]]
    layer = parts | {"feed_forward": feed_forward(c), "norm_2": layer_norm(TEXT.norms[1]), "flow": flow}
    whole = encoder(c, TEXT, layer)
    if task == "causal_lm":
        return document(c, under("bert.", whole) | lm_head(c, TEXT))
    if task not in ("base", "encoder"):
        refuse(c)
    return document(c, whole | (pooler("pooler.dense") if task == "base" else {}))


def blip(c: Config) -> Tree:
    """BLIP in its classes: captions, answers, retrieval, and the pair of encoders."""
    task, pictures, words = c.task("generation"), c.part("vision_config"), c.part("text_config")
    read = pictures.size("hidden_size")
    told(words, encoder_hidden_size=read)
    if c.flag("tie_word_embeddings", True) and task in ("generation", "question_answering"):
        told(words, tie_word_embeddings=True)
    parts = tower(pictures, "vision", "vision_model")
    retrieval = c.architecture().endswith("ForImageTextRetrieval")
    if task == "base":
        parts |= nested(words, "text", "text_model")
        size = c.size("projection_dim")
        sides = (("vision_projection", "visual_projection", read), ("text_projection", "text_projection", parts["text"]["width"]))
        for name, path, width in sides:
            parts[name] = dense(path, width, size, False)
        parts["logit_scale"] = token("logit_scale")
    elif task == "generation":
        parts |= nested(words, "text", "text_decoder", task="causal_lm")
    elif task == "question_answering" or retrieval:
        parts |= nested(words, "question", "text_encoder", task="encoder")
        if retrieval:
            size, width = c.size("image_text_hidden_size"), words.size("hidden_size")
            parts |= {"vision_projection": dense("vision_proj", read, size), "text_projection": dense("text_proj", width, size)}
            parts["head"] = dense("itm_head", width, 2) | {"component": "head"}
        else:
            parts |= nested(words, "text", "text_decoder", task="causal_lm")
    else:
        refuse(c)
    return document(c, parts, width=words.size("hidden_size"), context=words.optional("max_position_embeddings"))


def qformer(c: Config, *, instructed: bool = False) -> Tree:
    """The querying transformer of BLIP-2 (Li et al. 2023): some layers read the image by cross attention.

    Queries and text have feed-forward networks of their own; text's are there where text is read (`instructed`, as in
    InstructBLIP, Dai et al. 2023, or `use_qformer_text_input`).
    """
    every = c.size("cross_attention_frequency")
    reads_text = instructed or c.flag("use_qformer_text_input")

    def build(word: str) -> Tree:
        layer = {"attention": attention(c, QFORMER, "attention"), "norm_1": layer_norm("attention.output.LayerNorm")}
        flow = list(POST_NORM)
        if word == "cross":
            layer["cross_attention"] = attention(c, QFORMER, "crossattention", source=c.size("encoder_hidden_size"))
            layer["norm_cross"] = layer_norm("crossattention.output.LayerNorm")
            flow[1:1] = [CROSS[False]]
        names = {"up_proj": "intermediate_query.dense", "down_proj": "output_query.dense"}
        layer |= {"feed_forward": feed_forward(c) | {"names": names}, "norm_2": layer_norm("output_query.LayerNorm")}
        if reads_text:
            layer |= {"text_feed_forward": feed_forward(c) | {"kind": "feed_forward"}, "text_norm": layer_norm("output.LayerNorm")}
        return layer | {"flow": flow}

    layers = layered("encoder.layer.{}", [["cross" if index % every == 0 else "plain" for index in range(depth(c))]], build)
    if instructed:
        tables = embeddings(c, Style(types=False, embedding_norm="embeddings.layernorm"))
        return document(c, tables | {"layers": layers}, cache=False)
    return document(c, {"norm": layer_norm("layernorm"), "layers": layers}, cache=False)


def blip_2(c: Config, *, inner: str = "causal_lm") -> Tree:
    """BLIP-2 and InstructBLIP: learned queries read the image, and a dense layer makes them the language model's tokens.

    The language model is a whole one with its head; `inner` is what the bare class has of it.
    """
    pictures, queries = c.part("vision_config"), c.part("qformer_config")
    told(queries, encoder_hidden_size=pictures.size("hidden_size"))
    width = queries.size("hidden_size")
    parts = tower(pictures, "vision", "vision_model")
    parts["queries"] = token("query_tokens", 1, c.size("num_query_tokens"), width)
    name = c.architecture()
    if name.endswith(("ForImageTextRetrieval", "WithProjection")):
        return retrieval_2(c, parts, queries, name)
    parts |= nested(queries, "qformer", "qformer", tower="projector", tokens=c.size("num_query_tokens"))
    words = c.part("text_config")
    seq2seq = words.defaults.values.get("is_encoder_decoder") is True and words.model_type not in DECODER_TOO
    task = c.task("generation")
    if task not in ("base", "generation"):
        refuse(c)
    language = ("generation" if seq2seq else "causal_lm") if task == "generation" or inner else "base"
    outputs = words.size("hidden_size")
    parts["projector"] = projector("", {"linear": dense("language_projection", width, outputs)})
    parts |= nested(words, "text", "language_model", task=language)
    return document(c, parts, width=outputs, context=words.optional("max_position_embeddings"))


def retrieval_2(c: Config, parts: Tree, queries: Config, name: str) -> Tree:
    """BLIP-2's classes without a language model: both sides through the querying transformer."""
    width, size = queries.size("hidden_size"), c.size("image_text_hidden_size")
    words = {"embedding", "position"}
    tables = {key: part for key, part in embeddings(queries, Style(types=False, embedding_norm=None)).items() if key in words}
    sides = {"vision": "VisionModelWithProjection", "text": "TextModelWithProjection"}
    only = next((side for side, ending in sides.items() if name.endswith(ending)), None)
    if only == "text":
        del parts["vision"]
    if only != "vision":
        parts |= tables
    parts |= nested(queries, "qformer", "qformer")
    parts |= {f"{side}_projection": dense(f"{side}_projection", width, size) for side in sides if only in (None, side)}
    if only is None:
        parts["head"] = dense("itm_head", width, 2) | {"component": "head"}
    return document(c, parts, width=width, cache=False)


def git(c: Config) -> Tree:
    """GIT (Wang et al. 2022): CLIP's image encoder, a dense layer with a norm, and BERT's layers over patches and text."""
    task, pictures, width = c.task("causal_lm"), c.part("vision_config"), c.size("hidden_size")
    style = Style(types=False, cross=False)
    layer = {
        "attention": attention(c, style, "attention"),
        "norm_1": layer_norm(style.norms[0]),
        "feed_forward": feed_forward(c),
        "norm_2": layer_norm(style.norms[1]),
        "flow": list(POST_NORM),
    }
    parts = tower(pictures, "vision", "image_encoder")
    read = pictures.size("hidden_size")
    bridge = {"linear": dense("visual_projection.{}", read, width), "norm": layer_norm("visual_projection.{}", size=width)}
    parts["projector"] = projector("visual_projection", bridge)
    parts |= encoder(c, style, layer)
    parts["layers"].pop("cache", None)
    frames = c.optional("num_image_with_embedding")
    if frames:
        parts["frames"] = token("img_temporal_embedding.{}", 1, 1, read) | {"stored": frames}
    if task == "base":
        return document(c, parts)
    if task not in ("causal_lm", "generation"):
        refuse(c)
    tied = "embedding" if c.flag("tie_word_embeddings") else None
    head = tree(kind="head", path="output", outputs=c.size("vocab_size"), bias=True, tied=tied)
    return document(c, under("git.", parts) | {"head": head})


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "blip": blip,
    "blip-2": blip_2,
    "blip_2_qformer": qformer,
    "blip_2_vision_model": vision,
    "blip_text_model": text,
    "blip_vision_model": vision,
    "git": git,
    "instructblip": partial(blip_2, inner=""),
    "instructblip_qformer": partial(qformer, instructed=True),
    "instructblip_vision_model": vision,
    "instructblipvideo": partial(blip_2, inner=""),
    "instructblipvideo_qformer": partial(qformer, instructed=True),
    "instructblipvideo_vision_model": vision,
}
