"""Kosmos-2, Kosmos-2.5 and Pix2Struct: text read from images; the last two place patches by row and column."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense, projector
from paramcalc.gate.families.nesting import nested, told, tower
from paramcalc.gate.families.recipes import Tree, depth, document, layer_norm, plain_activation, rate, rms, stack, tied, tree, under, whole
from paramcalc.gate.families.vision import Words, encoder_layer, refuse, token
from paramcalc.model.order import order_of

SEGMENTS = 2  # text and image, fixed in the reference's code
T5_NAMES = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value", "o_proj": "attention.output"}
GATED = {"gate_proj": "wi_0", "up_proj": "wi_1", "down_proj": "wo"}
ROWS = Words("pre_attention_layer_norm", "attention", "pre_mlp_layer_norm", "mlp")


def attention(c: Config, path: str, heads: int, width: int, **fields: object) -> Tree:
    drop = {"dropout": rate(c, "attention_dropout"), "output_dropout": rate(c, "dropout")}
    plain = {"kind": "attention", "path": path, "heads": heads, "head_dim": max(1, width // heads), "bias": True}
    return plain | tree(**drop, names={"o_proj": "out_proj"}, **fields)


def text(c: Config, *, segments: bool = False, inner_norm: bool = True) -> Tree:
    """Kosmos's decoder (Peng et al. 2023): fixed positions, a norm inside both blocks (Magneto, Wang et al. 2022).

    Kosmos-2.5 (Lv et al. 2023) tells text from image by `segments` and norms inside the feed-forward network alone.
    """
    task, width, heads, size = c.task("base"), c.size("hidden_size"), c.size("num_attention_heads"), c.size("ffn_dim")
    layer: Tree = {"norm_1": layer_norm("self_attn_layer_norm"), "attention": attention(c, "self_attn", heads, width)}
    flow = ["norm_1 attention +", "norm_2 feed_forward +"]
    if inner_norm:
        layer["attention_norm"] = layer_norm("self_attn.inner_attn_ln")
    if c.flag("add_cross_attention"):
        layer["norm_cross"] = layer_norm("encoder_attn_layer_norm")
        layer["cross_attention"] = attention(c, "encoder_attn", heads, width, source=width)
        flow[1:1] = ["norm_cross cross_attention +"]
    layer["norm_2"] = layer_norm("final_layer_norm")
    activation = plain_activation(c, "activation_function")
    names = {"up_proj": "fc1", "down_proj": "fc2"}
    layer["feed_forward"] = tree(
        path="ffn", size=size, gated=False, bias=True, activation=activation, dropout=rate(c, "dropout"), names=names
    )
    layer |= {"feed_forward_norm": layer_norm("ffn.ffn_layernorm", size=size), "flow": flow}
    parts: Tree = {"embedding": {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"}}
    if segments:
        parts["segments"] = {"kind": "embedding", "vocabulary": SEGMENTS, "path": "segment_emb"}
    parts |= {"position": {"type": "sinusoidal"}, "layers": stack("layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")}
    parts = under("model.", parts | {"norm": layer_norm("layer_norm")})
    if task == "causal_lm":
        parts["head"] = tree(kind="head", path="lm_head", outputs=c.size("vocab_size"), tied=tied(c, "embedding"))
    elif task != "base":
        refuse(c)
    return document(c, parts)


def kosmos(c: Config, *, outer_tie: bool = True) -> Tree:
    """The image encoder, latents that attend to its patches, and the decoder; `outer_tie`: the flag at the top ties too."""
    task, words, pictures = c.task("generation"), c.part("text_config"), c.part("vision_config")
    width, heads, read = words.size("hidden_size"), words.size("num_attention_heads"), pictures.size("hidden_size")
    if task not in ("base", "generation"):
        refuse(c)
    if outer_tie and c.flag("tie_word_embeddings", True):
        told(words, tie_word_embeddings=True)
    latents = c.size("latent_query_num")
    bridge = {
        "width": width,
        "tokens": latents,
        "linear": dense("dense", read, width),
        "latents": token("latent_query", latents, width),
        "attention": {"bias": True, "path": "x_attn", "heads": heads, "head_dim": max(1, width // heads), "names": {"o_proj": "out_proj"}},
    }
    parts = tower(pictures, "vision", "vision_model")
    parts["projector"] = projector("image_to_text_projection", bridge)
    parts |= nested(words, "text", "text_model", task="base" if task == "base" else "causal_lm")
    return document(c, parts, width=width, context=words.optional("max_position_embeddings"))


def by_rows(c: Config, *, rows: str = "seq_len") -> Tree:
    """Pix2Struct's image encoder (Lee et al. 2023): flattened patches of any aspect ratio, a table for rows and one for
    columns, T5's layers without biases."""
    width, heads = c.size("hidden_size"), c.size("num_attention_heads")
    drop = rate(c, "dropout_rate")
    names = {name: path.removeprefix("attention.") for name, path in T5_NAMES.items()}
    attend = tree(
        kind="attention", path="attention", heads=heads, head_dim=c.size("head_dim"), dropout=rate(c, "attention_dropout"), names=names
    )
    feed = tree(path="mlp", size=c.size("intermediate_size"), activation=plain_activation(c, "dense_act_fn"), dropout=drop, names=GATED)
    layer = encoder_layer(ROWS, attend, feed, norm=rms)
    table = {"kind": "embedding", "vocabulary": c.size(rows), "component": "position_embedding"}
    parts = {
        "patches": dense("embeddings.patch_projection", c.size("patch_embed_hidden_size"), width) | {"component": "embedding"},
        "rows": table | {"path": "embeddings.row_embedder"},
        "columns": table | {"path": "embeddings.column_embedder"},
        "layers": stack("encoder.layer.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": rms("layernorm"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def pix2struct_text(c: Config) -> Tree:
    """Pix2Struct's decoder: T5's layers with cross attention; the first layer's table of biases by distance is shared."""
    width, heads = c.size("hidden_size"), c.size("num_attention_heads")
    shared, drop = whole(c, heads, width), rate(c, "dropout_rate")

    def attend(path: str, **fields: object) -> Tree:
        return tree(kind="attention", path=path, **shared, dropout=drop, names=T5_NAMES, **fields)

    feed = tree(path="mlp.DenseReluDense", size=c.size("d_ff"), activation=plain_activation(c, "dense_act_fn"), dropout=drop, names=GATED)
    layer = {
        "norm_1": rms("self_attention.layer_norm"),
        "attention": attend("self_attention"),
        "norm_cross": rms("encoder_decoder_attention.layer_norm"),
        "cross_attention": attend("encoder_decoder_attention", source=width),
        "norm_2": rms("mlp.layer_norm"),
        "feed_forward": feed,
        "flow": ["norm_1 attention +", "norm_cross cross_attention +", "norm_2 feed_forward +"],
    }
    table = {"kind": "embedding", "vocabulary": c.size("relative_attention_num_buckets"), "size": heads}
    table |= {"path": "self_attention.attention.relative_attention_bias", "component": "position_embedding"}
    kinds = {"layer": layer, "first": {"like": "layer", "relative": table}}
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"},
        "layers": {"path": "layer.{}", "kinds": kinds, "order": order_of(["first", *["layer"] * (depth(c) - 1)])},
        "norm": rms("final_layer_norm"),
        "head": tree(kind="head", path="lm_head", outputs=c.size("vocab_size"), tied=tied(c, "embedding", False)),
    }
    return document(c, parts)


def pix2struct(c: Config) -> Tree:
    """Pix2Struct (Lee et al. 2023): screenshots to text."""
    words = c.part("text_config")
    told(words, tie_word_embeddings=c.flag("tie_word_embeddings"))
    if c.task("generation") != "generation":
        refuse(c)
    parts = tower(c.part("vision_config"), "vision", "encoder") | nested(words, "text", "decoder")
    return document(c, parts, width=words.size("hidden_size"))


def kosmos_2_5_vision(c: Config) -> Tree:
    return by_rows(c, rows="max_num_patches")


def pix2struct_vision(c: Config) -> Tree:
    """Pix2Struct spells two sizes as T5 does."""
    c.also("head_dim", "d_kv")
    c.also("intermediate_size", "d_ff")
    return by_rows(c)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "kosmos-2": kosmos,
    "kosmos-2.5": partial(kosmos, outer_tie=False),
    "kosmos_2_5_text_model": partial(text, segments=True, inner_norm=False),
    "kosmos_2_5_vision_model": kosmos_2_5_vision,
    "kosmos_2_text_model": text,
    "pix2struct": pix2struct,
    "pix2struct_text_model": pix2struct_text,
    "pix2struct_vision_model": pix2struct_vision,
}
