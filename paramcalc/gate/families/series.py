"""Models of numbers over time: TimesFM 1 and 2.5, and a transformer over lagged values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import Style, half
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.llama import GEMMA, layer
from paramcalc.gate.families.llama import attention as gqa
from paramcalc.gate.families.recipes import Tree, document, dropped, layer_norm, plain_activation, rms, stack, tree, under
from paramcalc.gate.families.vision import refuse, token

LAGS = 7  # where a config gives no lags, the references take those of a week
MOST_FEATURES = 10_000  # told apart one by one


def residual(path: str, inputs: int, inner: int, outputs: int, *, bias: bool = True) -> Tree:
    """Two dense layers, and a third beside them (Das et al. 2024)."""
    return {
        "path": path,
        "width": inputs,
        "up": dense("input_layer", inputs, inner, bias),
        "down": dense("output_layer", inner, outputs, bias),
        "beside": dense("residual_layer", inputs, outputs, bias),
        "flow": ["(up down | beside)"],
    }


def predicting(c: Config) -> bool:
    """Whether the class is the one with heads."""
    if c.architecture().endswith("ForPrediction"):
        return True
    if c.task("base") != "base":
        refuse(c)
    return False


def scale(c: Config) -> Tree:
    """A learned scale of each dim of a query."""
    return token("self_attn.scaling", c.size("head_dim")) | {"component": "attention"}


def timesfm(c: Config) -> Tree:
    """TimesFM (Das et al. 2024): patches of a series and their padding, layers whose networks have a norm and no gate."""
    width, inner, heads = c.size("hidden_size"), c.size("intermediate_size"), c.size("num_attention_heads")
    one: Tree = {
        "norm_1": rms("input_layernorm"),
        "attention": {"path": "self_attn", "heads": heads, "head_dim": c.size("head_dim"), "bias": True},
        "scale": scale(c),
        "norm_2": layer_norm("mlp.layer_norm"),
        "feed_forward": {
            "path": "mlp", "size": inner, "gated": False, "bias": True, "activation": "relu", "names": {"up_proj": "gate_proj"},
        },
        "flow": ["norm_1 attention +", "norm_2 feed_forward +"],
    }  # fmt: skip
    parts: Tree = {
        "patches": residual("input_ff_layer", 2 * c.size("patch_length"), inner, width),
        "frequency": {"kind": "embedding", "vocabulary": c.size("freq_size"), "path": "freq_emb"},
        "layers": stack("layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer"),
    }
    if predicting(c):
        outputs = c.size("horizon_length") * (1 + len(c.listed("quantiles") or []))
        parts = under("decoder.", parts) | {"horizon": residual("horizon_ff_layer", width, inner, outputs)}
    return document(c, parts)


def timesfm_2_5(c: Config) -> Tree:
    """TimesFM 2.5 (Google 2025): rotary positions, norms before and after each block."""
    width, bias = c.size("hidden_size"), c.flag("use_bias")
    attend = gqa(c, qk_norm="head")
    names = {"up_proj": "fc1", "down_proj": "fc2"}
    size, activation = c.size("intermediate_size"), plain_activation(c, "activation", "swish")
    feed = tree(kind="feed_forward", path="mlp", size=size, gated=False, bias=bias or None, activation=activation, names=names)
    one = layer(GEMMA, rms, attend, feed, scale=scale(c))
    parts: Tree = {
        "patches": residual("input_ff_layer", 2 * c.size("patch_length"), width, width),
        "layers": stack("layers.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer"),
    }
    if predicting(c):
        each = 1 + len(c.listed("quantiles") or [])
        parts = under("model.", parts)
        for name, length in (("point", c.size("horizon_length")), ("quantiles", c.size("output_quantile_len"))):
            parts[f"horizon_{name}"] = residual(
                f"output_projection_{name}", width, width, length * each, bias=False
            )  # whatever use_bias says
    return document(c, parts)


def lagged(c: Config, *, distilled: bool = False, decomposed: bool = False) -> Tree:
    """The time series transformer: an encoder-decoder of BART's layers over lagged values and features.

    `distilled`: a convolution between each two layers of the encoder (Informer, Zhou et al. 2021); `decomposed`: trends
    that each layer of the decoder projects to the features (Autoformer, Wu et al. 2021).
    """
    style, values = Style(embedding_norm="layernorm_embedding"), c.size("input_size")
    ahead = c.size("prediction_length")
    rows = (c.optional("context_length") or ahead) + ahead
    kinds = c.zero_or("num_static_categorical_features")
    cardinality = c.sizes("cardinality") if kinds else []
    stated = c.sizes("embedding_dimension") if kinds else []
    sizes = stated or [min(50, (count + 1) // 2) for count in cardinality]
    if len(cardinality) != kinds or len(sizes) != kinds or kinds > MOST_FEATURES:
        c.fail("cardinality", f"names {len(cardinality)} features and {len(sizes)} sizes, but num_static_categorical_features is {kinds}")
    features = sum(c.zero_or(f"num_{name}") for name in ("dynamic_real_features", "time_features", "static_real_features"))
    lags = LAGS if c.value("lags_sequence") is None else len(c.sizes("lags_sequence"))
    made = values * lags + sum(sizes) + features + 2 * values
    inputs = c.optional("feature_size") or made
    if predicting(c):
        refuse(c)
    before: Tree = {
        "values": dense("value_embedding.value_projection", inputs, c.size("hidden_size"), False) | {"component": "embedding"},
        "position": {"type": "fixed", "rows": rows, "path": "embed_positions"},
        "embedding_norm": layer_norm("layernorm_embedding"),
        **dropped(c, "dropout"),
    }
    parts: Tree = {}
    for index, (count, size) in enumerate(zip(cardinality[:MOST_FEATURES], sizes, strict=False), 1):
        if count and size:
            parts[f"feature_{index}"] = {"kind": "embedding", "vocabulary": count, "size": size, "path": "embedder.embedders.{}"}
    parts["encoder"] = half(c, style, "encoder", before, tokens="source", cache=False)
    parts["decoder"] = half(c, style, "decoder", before, cross="read")
    if distilled and c.flag("distil", True) and c.size("encoder_layers") > 1:
        down = {"convolution": {"path": "downConv", "kernel": 3}, "norm": {"type": "batch", "path": "norm"}}
        parts["encoder"]["distil"] = stack("conv_layers.{}", {"layer": down}, f"{c.size('encoder_layers') - 1} layer")
    if decomposed:
        for side in ("encoder", "decoder"):
            parts[side]["layers"]["kinds"]["layer"]["norm_2"] = layer_norm("final_layer_norm.layernorm")
        trend = {"kind": "convolution", "path": "trend_projection", "outputs": inputs, "kernel": 3, "bias": False}
        parts["decoder"]["layers"]["kinds"]["layer"]["trend"] = trend
        parts["decoder"]["seasons"] = dense("seasonality_projection", c.size("hidden_size"), inputs)
    return document(c, parts)


def patchtst_layer(c: Config) -> Tree:
    """Attention over the patches of a channel, over channels too where told so (through the same projections), a network."""
    width, heads = c.size("hidden_size"), c.size("num_attention_heads")
    batched = c.choice("norm_type", ("batchnorm", "layernorm"), "batchnorm") == "batchnorm"
    before, across = c.flag("pre_norm", True), c.flag("channel_attention")

    def norm(number: int) -> Tree:
        path = f"norm_sublayer{number}"
        return {"kind": "norm", "type": "batch", "path": f"{path}.batchnorm"} if batched else layer_norm(path)

    names = {"up_proj": "{}", "down_proj": "{}"}
    bias, activation = c.flag("bias", True) or None, plain_activation(c, "activation_function")
    layer: Tree = {
        "norm_1": norm(1),
        "attention": {
            "path": "self_attn",
            "heads": heads,
            "head_dim": max(1, width // heads),
            "bias": True,
            "names": {"o_proj": "out_proj"},
        },
        **({"norm_across": norm(2)} if across else {}),
        "norm_2": norm(3),
        "feed_forward": tree(path="ff", size=c.size("ffn_dim"), gated=False, bias=bias, activation=activation, names=names),
    }
    steps = (("norm_1", "attention"), *((("norm_across", "attention"),) if across else ()), ("norm_2", "feed_forward"))
    return layer | {"flow": [f"{first} {block} +" if before else f"{block} + {first}" for first, block in steps]}


def patchtst(c: Config) -> Tree:
    """PatchTST (Nie et al. 2023): each channel of a series by itself, in patches."""
    width, side, channels = c.size("hidden_size"), c.size("patch_length"), c.size("num_input_channels")
    rows = max(c.size("context_length") - side, 0) // c.size("patch_stride") + 1
    place = c.choice("positional_encoding_type", ("random", "sincos"), "sincos")
    parts: Tree = {"patches": dense("embedder.input_embedding", side, width) | {"component": "embedding"}}
    if not c.flag("share_embedding", True):
        parts["patches"] = {"path": "embedder.input_embedding.{}", "repeat": channels, "linear": dense("", side, width)}
    if c.flag("use_cls_token"):
        rows += 1
        parts["cls_token"] = token("positional_encoder.cls_token", 1, 1, 1, width)
    position = token("positional_encoder.position_enc", rows, width) | {"component": "position_embedding"}  # added whole, no table
    parts["position"] = position | tree(trainable=False if place == "sincos" else None)
    parts["layers"] = stack("layers.{}", {"layer": patchtst_layer(c)}, f"{c.size('num_hidden_layers')} layer")
    parts = under("encoder.", parts)
    heads = {
        "PatchTSTForPretraining": ("linear", width, side),
        "PatchTSTForClassification": ("linear", channels * width, c.size("num_targets")),
        "PatchTSTForRegression": ("projection", channels * width, c.size("num_targets")),
    }
    head = heads.get(c.architecture())
    if head is None or (head[0] == "projection" and c.text("loss", "mse") != "mse"):
        if head or c.task("base") != "base":
            refuse(c)
        return document(c, parts, cache=False)
    top = dense(f"head.{head[0]}", head[1], head[2]) | {"component": "head"}
    return document(c, under("model.", parts) | {"head": top}, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "autoformer": partial(lagged, decomposed=True),
    "informer": partial(lagged, distilled=True),
    "patchtst": patchtst,
    "time_series_transformer": lagged,
    "timesfm": timesfm,
    "timesfm2_5": timesfm_2_5,
}
