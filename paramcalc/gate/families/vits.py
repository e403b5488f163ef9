"""VITS (Kim et al. 2021), text to sound in one: an encoder of text, a flow, HiFi-GAN, and a predictor of durations."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, heads, layer_norm, plain_activation, rate, stack, tree
from paramcalc.gate.families.vision import refuse, token
from paramcalc.gate.families.vocoder import hifi_gan

Step = Callable[[str, int, int, int], Tree]


def one(path: str, inputs: int, outputs: int, kernel: int = 1, **fields: int) -> Tree:
    """A convolution over one axis."""
    return {"kind": "convolution", "path": path, "inputs": inputs, "outputs": outputs, "kernel": kernel} | fields


def weighed(name: str, path: str, inputs: int, outputs: int, kernel: int = 1) -> Tree:
    """One whose weight is held as direction and length (Salimans & Kingma 2016)."""
    part = one(path, inputs, outputs, kernel) | {"names": {"weight": "parametrizations.weight.original1"}}
    length = token(f"{path}.parametrizations.weight.original0", outputs, 1, 1)
    return {name: part, f"{name}_length": length | {"component": "convolution"}}


def wavenet(c: Config, number: int) -> Tree:
    """WaveNet's layers (van den Oord et al. 2016): gated convolutions, each with a part for the sum and, but for the last, one
    for the next layer."""
    width, speaker = c.size("hidden_size"), c.zero_or("speaker_embedding_size")
    parts: Tree = {"path": "wavenet", "width": width}
    if speaker:
        parts |= weighed("condition", "cond_layer", speaker, 2 * width * number)
    about = {"kind": "group", **weighed("gate", "in_layers.{}", width, 2 * width, c.size("wavenet_kernel_size"))}
    kinds = {
        "layer": about | weighed("skip", "res_skip_layers.{}", width, 2 * width),
        "last": about | weighed("skip", "res_skip_layers.{}", width, width),
    }
    return parts | {"layers": stack("", kinds, f"{number - 1} layer, last" if number > 1 else "last") | {"path": ""}}


def text(c: Config) -> Tree:
    width, size, kernel, window = c.size("hidden_size"), c.size("ffn_dim"), c.size("ffn_kernel_size"), c.zero_or("window_size")
    about = heads(c, own_dim=False)
    bias = c.flag("use_bias", True) or None
    attend = tree(path="attention", **about, bias=bias, dropout=rate(c, "attention_dropout"), names={"o_proj": "out_proj"})
    layer: Tree = {"attention": attend}
    for name in ("k", "v") if window else ():
        table = token(f"attention.emb_rel_{name}", 1, 2 * window + 1, about["head_dim"])
        layer[f"relative_{name}"] = table | {"component": "position_embedding"}
    act = plain_activation(c, "hidden_act", "relu")
    layer |= {
        "norm_1": layer_norm("layer_norm"),
        "up": one("feed_forward.conv_1", width, size, kernel) | {"component": "feed_forward", "activation": act},
        "down": one("feed_forward.conv_2", size, width, kernel) | {"component": "feed_forward"},
        "norm_2": layer_norm("final_layer_norm"),
        "flow": ["attention + norm_1", "up down + norm_2"],
    }
    return {
        "path": "text_encoder",
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"},
        "layers": stack("encoder.layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "output": one("project", width, 2 * c.size("flow_size")),
    }


def separable(c: Config, path: str) -> Tree:
    """Depthwise and pointwise convolutions, each with a norm."""
    width, kernel = c.size("hidden_size"), c.size("duration_predictor_kernel_size")
    layer = {
        "kind": "group",
        "depthwise": one("convs_dilated.{}", width, width, kernel, groups=width),
        "norm_1": layer_norm("norms_1.{}"),
        "pointwise": one("convs_pointwise.{}", width, width),
        "norm_2": layer_norm("norms_2.{}"),
    }
    return {"path": path, "layers": stack("", {"layer": layer}, f"{c.size('depth_separable_num_layers')} layer") | {"path": ""}}


def durations(c: Config) -> Tree:
    """How long each token sounds: two convolutions, or a flow (stochastic durations) with a second one for training."""
    width, speaker = c.size("hidden_size"), c.zero_or("speaker_embedding_size")
    parts: Tree = {"path": "duration_predictor", "width": width}
    if not c.flag("use_stochastic_duration_prediction", True):
        inner, kernel = c.size("duration_predictor_filter_channels"), c.size("duration_predictor_kernel_size")
        for index, read in ((1, width), (2, inner)):
            parts[f"convolution_{index}"] = one(f"conv_{index}", read, inner, kernel)
            parts[f"norm_{index}"] = layer_norm(f"norm_{index}", size=inner)
        parts["output"] = one("proj", inner, 1)
    else:
        channels, bins = c.size("depth_separable_channels"), c.size("duration_predictor_flow_bins")
        half, number = max(1, channels // 2), c.size("duration_predictor_num_flows")
        flow = {
            "kind": "group",
            "input": one("conv_pre", half, width),
            "inner": separable(c, "conv_dds"),
            "output": one("conv_proj", width, half * (3 * bins - 1)),
        }
        for before, read in (("", width), ("post_", 1)):
            path = f"{before}flows.{{}}"
            parts[f"{before}input"] = one(f"{before}conv_pre", read, width)
            parts[f"{before}inner"] = separable(c, f"{before}conv_dds")
            parts[f"{before}output"] = one(f"{before}conv_proj", width, width)
            parts |= {f"{before}{name}": token(f"{path}.{name}", channels, 1) for name in ("translate", "log_scale")}
            parts[f"{before}flows"] = stack(path, {"layer": flow}, f"{number} layer")
    return parts | ({"condition": one("cond", speaker, width)} if speaker else {})


def coupling(c: Config) -> Tree:
    """A flow of affine couplings (Dinh et al. 2017) of half of the channels by the other half."""
    width, half = c.size("hidden_size"), max(1, c.size("flow_size") // 2)
    layer = {
        "kind": "group",
        "input": one("conv_pre", half, width),
        "wavenet": wavenet(c, c.size("prior_encoder_num_wavenet_layers")),
        "output": one("conv_post", width, half),
    }
    return stack("flow.flows.{}", {"layer": layer}, f"{c.size('prior_encoder_num_flows')} layer", width=width)


def vits(c: Config) -> Tree:
    width, flow, speaker = c.size("hidden_size"), c.size("flow_size"), c.zero_or("speaker_embedding_size")
    if c.task("base") not in ("base", "waveform"):
        refuse(c)
    sound = hifi_gan(c, flow)
    if sound:
        sound["last"] |= {"bias": False}
        sound |= {"condition": one("cond", speaker, c.size("upsample_initial_channel"))} if speaker else {}
    parts: Tree = {"text": text(c), "coupling": coupling(c), "sound": {"path": "decoder", **sound}, "durations": durations(c)}
    if speaker and (speakers := c.size("num_speakers", 1)) > 1:
        parts["speakers"] = {"kind": "embedding", "path": "embed_speaker", "vocabulary": speakers, "size": speaker}
    parts["posterior"] = {
        "path": "posterior_encoder",
        "input": one("conv_pre", c.size("spectrogram_bins"), width),
        "wavenet": wavenet(c, c.size("posterior_encoder_num_wavenet_layers")),
        "output": one("conv_proj", width, 2 * flow),
    }
    return document(c, parts, width=width, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"vits": vits}
