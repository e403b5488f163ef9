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
            parts[f"horizon_{name}"] = residual(f"output_projection_{name}", width, width, length * each, bias=bias)
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


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "autoformer": partial(lagged, decomposed=True),
    "informer": partial(lagged, distilled=True),
    "time_series_transformer": lagged,
    "timesfm": timesfm,
    "timesfm2_5": timesfm_2_5,
}
