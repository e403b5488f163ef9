"""Codecs of sound: SEANet's convolutions around a quantizer, as EnCodec and Mimi have them."""

from __future__ import annotations

import math
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import Layout, attention, layer
from paramcalc.gate.families.nesting import seen_as
from paramcalc.gate.families.recipes import Tree, document, layer_norm, plain_activation, stack, tree
from paramcalc.gate.families.vision import refuse, token

MOST_STAGES = 32
UPSAMPLING = [8, 6, 5, 4]
"""Mimi's, where its config is silent or empty."""
SCALED = Layout(("input_layernorm", "post_attention_layernorm"), ["norm_1 attention scale_1 +", "norm_2 feed_forward scale_2 +"])


def convolution(c: Config, name: str, path: str, inputs: int, outputs: int, kernel: int, stride: int = 1, *, spreads: bool = False) -> Tree:
    """A convolution as a family norms it: not at all, by its weight's direction and length (Salimans & Kingma 2016), or by a
    group norm of one group."""
    way = c.choice("norm_type", ("weight_norm", "time_group_norm"), "weight_norm") if c.model_type == "encodec" else ""
    part = tree(
        kind="convolution", path=f"{path}.conv", inputs=inputs, outputs=outputs, kernel=kernel, stride=None if stride == 1 else stride,
        transposed=spreads or None, names={"weight": "parametrizations.weight.original1"} if way == "weight_norm" else None,
    )  # fmt: skip
    if way == "weight_norm":
        length = token(f"{path}.conv.parametrizations.weight.original0", inputs if spreads else outputs, 1, 1)
        return {name: part, f"{name}_length": length | {"component": "convolution"}}
    if way == "time_group_norm":
        return {name: part, f"{name}_norm": {"kind": "norm", "type": "group", "path": f"{path}.norm", "size": outputs}}
    return {name: part}


def residual(c: Config, width: int) -> Tree:
    """Blocks of two convolutions with fewer channels between them; with a pointwise one on the residual if so told."""
    inner = width // c.size("compress")
    if inner < 1:
        c.fail("compress", f"leaves no channel of {width}")
        inner = 1
    parts = convolution(c, "convolution_1", "block.{}", width, inner, c.size("residual_kernel_size"))
    parts |= convolution(c, "convolution_2", "block.{}", inner, width, 1)
    chain = " ".join(name for name in parts if not name.endswith("_length"))
    if not c.flag("use_conv_shortcut", c.model_type == "encodec"):
        return parts | {"flow": [f"{chain} +"]}
    shortcut = convolution(c, "shortcut", "shortcut", width, width, 1)
    across = " ".join(name for name in shortcut if not name.endswith("_length"))
    return parts | shortcut | {"flow": [f"({chain} | {across})"]}


def seanet(c: Config, path: str, *, decodes: bool) -> Tree:
    """SEANet (Tagliasacchi et al. 2020): convolutions that shorten the sound and double its channels, or the other way; an
    LSTM at the narrow end if the class has one."""
    ratios = c.sizes("upsampling_ratios", least=1) or UPSAMPLING
    filters, latent, channels, kernel = (c.size(key) for key in ("num_filters", "hidden_size", "audio_channels", "kernel_size"))
    if len(ratios) > MOST_STAGES:
        c.fail("upsampling_ratios", f"more than {MOST_STAGES}")
        ratios = ratios[:MOST_STAGES]
    ratios = ratios if decodes else ratios[::-1]
    widths = [filters << step for step in range(len(ratios) + 1)]
    widths = widths[::-1] if decodes else widths
    blocks, place, last = c.zero_or("num_residual_layers"), "layers.{}", c.size("last_kernel_size")
    deep = {"lstm": {"kind": "recurrent", "path": f"{place}.lstm", "inputs": filters << len(ratios), "size": filters << len(ratios)}}
    lstm = {"lstm": deep["lstm"] | {"layers": c.size("num_lstm_layers")}} if c.model_type == "encodec" else {}
    parts: Tree = {"path": path, "width": filters, **convolution(c, "first", place, latent if decodes else channels, widths[0], kernel)}
    parts |= lstm if decodes else {}
    for index, ratio in enumerate(ratios):
        before, after = widths[index], widths[index + 1]
        change = convolution(c, f"change_{index + 1}", place, before, after, 2 * ratio, ratio, spreads=decodes)
        width = after if decodes else before
        block = {f"blocks_{index + 1}": stack(place, {"block": residual(c, width)}, f"{blocks} block", width=width)} if blocks else {}
        parts |= (change | block) if decodes else (block | change)
    parts |= {} if decodes else lstm
    return parts | convolution(c, "last", place, widths[-1], channels if decodes else latent, last)


def sound_codec(c: Config) -> Tree:
    """EnCodec (Défossez et al. 2022). Its codes are averages, not parameters."""
    if c.task("base") != "base":
        refuse(c)
    parts = {side: seanet(c, side, decodes=side == "decoder") for side in ("encoder", "decoder")}
    return document(c, parts, cache=False)


def transformer(c: Config, path: str) -> Tree:
    """Layers of attention within a window, each block scaled by a learned gain."""
    width = c.size("hidden_size")
    names = {"up_proj": "fc1", "down_proj": "fc2"}
    feed = tree(kind="feed_forward", path="mlp", size=c.size("intermediate_size"), gated=False, activation=plain_activation(c), names=names)
    gains = {
        f"scale_{number}": token(f"{place}_layer_scale.scale", width) | {"component": component}
        for number, place, component in ((1, "self_attn", "attention"), (2, "mlp", "feed_forward"))
    }
    one = layer(SCALED, layer_norm, attention(c, "local", rounded=True), feed, **gains)
    return stack(f"{path}.layers.{{}}", {"layer": one}, f"{c.size('num_hidden_layers')} layer", width=width)


def strides(c: Config) -> int:
    """How many frames become one between SEANet and the quantizer, by the frame rate that a config may state."""
    hop, sampling = math.prod(c.sizes("upsampling_ratios", least=1) or UPSAMPLING), c.size("sampling_rate")
    made, wanted = math.ceil(sampling / hop), c.number("frame_rate") or sampling / (2 * hop)
    return 0 if made == wanted else max(1, int(made / wanted))


def mimi_half(c: Config, *, decodes: bool) -> dict[str, Tree]:
    """One half: SEANet, a transformer, and a convolution that halves, or doubles, the frames."""
    width, stride, side = c.size("hidden_size"), strides(c), "decoder" if decodes else "encoder"
    groups = c.size("upsample_groups") if decodes else 1
    if width % groups:
        c.fail("upsample_groups", f"({groups}) does not divide hidden_size ({width})")
        groups = 1
    path = "upsample.conv" if decodes else "downsample.conv"
    change = tree(
        kind="convolution", path=path, inputs=width, outputs=width, kernel=2 * stride, stride=stride, bias=False,
        groups=groups if groups > 1 else None, transposed=decodes or None,
    )  # fmt: skip
    parts = {
        "convolutions": seanet(c, f"{side}_seanet", decodes=decodes),
        "layers": transformer(c, f"{side}_transformer"),
        **({"change": change} if stride else {}),
    }
    return dict(reversed(parts.items())) if decodes else parts


def mimi_alone(c: Config, *, decodes: bool) -> Tree:
    if c.task("base") not in ("base", "encoder"):
        refuse(c)
    return document(c, mimi_half(c, decodes=decodes), cache=False)


def mimi(c: Config) -> Tree:
    """Mimi (Défossez et al. 2024): both halves, of which either may be left out, and two quantizers whose codes are averages,
    not parameters."""
    name = c.architecture()
    if c.task("base") != "base" or name.endswith("DecoderModel"):
        refuse(c)
    width, inner = c.size("hidden_size"), c.size("vector_quantization_hidden_dimension")
    own = seen_as(c, frame_rate=None)  # the halves do not hear of it
    parts: Tree = {}
    for side in ("encoder", "decoder"):
        if not (c.states(f"{side}_config") and c.value(f"{side}_config") is None):
            parts[side] = {"path": side, **mimi_half(own, decodes=side == "decoder")}
    if inner != width:
        ends = {"input": ("input_proj", width, inner), "output": ("output_proj", inner, width)}
        for kind in ("semantic", "acoustic"):
            maps = {
                end: tree(kind="convolution", path=path, inputs=before, outputs=after, kernel=1, bias=False, component="projection")
                for end, (path, before, after) in ends.items()
            }
            parts[f"{kind}_quantizer"] = {"path": f"quantizer.{kind}_residual_vector_quantizer", **maps}
    return document(c, parts, cache=False)


FAMILIES = {
    "encodec": sound_codec,
    "mimi": mimi,
    "mimi_decoder": partial(mimi_alone, decodes=True),
    "mimi_encoder": partial(mimi_alone, decodes=False),
}
