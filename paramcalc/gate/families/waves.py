"""From codes to sound: Qwen2.5-Omni's diffusion transformer and vocoder, Qwen3-Omni's decoder of codes."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.recipes import PRE_NORM, Tree, rate, rms, stack, tree, window_size
from paramcalc.gate.families.vision import token

STEPS = 256
"""Sinusoids that say how far a diffusion has come, fixed in the reference's code."""
EDGE = 7
"""The kernel of the first and the last convolution of a vocoder, and of ConvNeXt's, fixed in the reference's code."""
PAIRS = 3
"""Convolutions of each sort in a branch, or residual units in a block, fixed in the reference's code."""
WIDENING = 4
MOST = 64


def convolution(path: str, inputs: int, outputs: int, kernel: int, **fields: object) -> Tree:
    return tree(kind="convolution", path=path, inputs=inputs, outputs=outputs, kernel=kernel, **fields)


def snake(path: str, channels: int) -> Tree:
    """An activation with a frequency and a magnitude for each channel (SnakeBeta; Ziyin et al. 2020, Lee et al. 2023)."""
    return {name: token(f"{path}.{name}".removeprefix("."), channels) | {"component": "convolution"} for name in ("alpha", "beta")}


def speaker(c: Config) -> Tree:
    """ECAPA-TDNN (Desplanques et al. 2020): a voice as one vector."""
    widths, kernels, scale = c.sizes("enc_channels", least=1), c.sizes("enc_kernel_sizes", least=1), c.size("enc_res2net_scale")
    if not 2 <= len(widths) <= MOST or len(kernels) != len(widths):
        c.fail("enc_channels", f"expected 2 to {MOST} widths, and as many of enc_kernel_sizes")
        return {}
    squeezed, attended, last = c.size("enc_se_channels"), c.size("enc_attention_channels"), widths[-1]
    parts: Tree = {"path": "input_embed.spk_encoder", "cache": False}
    parts["first"] = convolution("blocks.{}.conv", c.size("mel_dim"), widths[0], kernels[0])
    for index in range(1, len(widths) - 1):
        width = widths[index]
        inner = max(1, width // scale)
        block: Tree = {
            "path": "blocks.{}",
            "first": convolution("tdnn1.conv", widths[index - 1], width, 1),
            "last": convolution("tdnn2.conv", width, width, 1),
            "squeeze": convolution("se_block.conv1", width, squeezed, 1),
            "excite": convolution("se_block.conv2", squeezed, width, 1),
        }
        if scale > 1:
            branch = {"convolution": convolution("", inner, inner, kernels[index])}
            block["branches"] = {"path": "res2net_block.blocks.{}.conv", "repeat": scale - 1} | branch
        parts[f"block_{index}"] = block
    return parts | {
        "joined": convolution("mfa.conv", last, last, kernels[-1]),
        "attend": convolution("asp.tdnn.conv", 3 * last, attended, 1),
        "weigh": convolution("asp.conv", attended, last, 1),
        "output": convolution("fc", 2 * last, c.size("enc_dim"), 1),
    }


def diffusion(c: Config) -> Tree:
    """A diffusion transformer (Peebles & Xie 2023) from codes and a voice to a spectrogram; norms have no gain of their
    own, it comes from the step."""
    width, bands = c.size("hidden_size"), c.size("mel_dim")
    heads, inner = c.size("num_attention_heads"), c.size("ff_mult") * width
    names = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "o_proj": "to_out.{}"}
    bare = {"kind": "norm", "type": "layer", "path": "", "scale": False, "bias": False}
    layer = {
        "modulation": dense("attn_norm.linear", width, 6 * width),
        "norm_1": bare,
        "attention": tree(
            path="attn", heads=heads, head_dim=c.size("head_dim"), bias=True, rotary=True, dropout=rate(c, "dropout"), names=names
        ),
        "norm_2": bare,
        "feed_forward": {
            "path": "ff", "size": inner, "gated": False, "bias": True, "activation": "gelu",
            "names": {"up_proj": "ff.{}", "down_proj": "ff.{}"},
        },
        "flow": PRE_NORM,
    }  # fmt: skip
    codes, spoken = c.size("emb_dim"), c.size("enc_dim")
    return {
        "path": "code2wav_dit_model",
        "width": width,
        "cache": False,
        "step_1": dense("time_embed.time_mlp.{}", STEPS, width, activation="silu"),
        "step_2": dense("time_embed.time_mlp.{}", width, width),
        "codes": {"kind": "embedding", "vocabulary": c.size("num_embeds") + 1, "size": codes, "path": "text_embed.codec_embed"},
        "speaker": speaker(c),
        "input": dense("input_embed.proj", bands + spoken + c.size("enc_emb_dim") + codes, width),
        "layers": stack("transformer_blocks.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "last_modulation": dense("norm_out.linear", width, 2 * width),
        "output": dense("proj_out", width, bands),
    }


def vocoder(c: Config) -> Tree:
    """BigVGAN (Lee et al. 2023): transposed convolutions, and branches whose activations have parameters."""
    channels = c.size("upsample_initial_channel")
    kernels, spread = c.sizes("resblock_kernel_sizes", least=1), c.sizes("upsample_kernel_sizes", least=1)
    strides = c.sizes("upsample_rates", least=1)
    if not 1 <= len(strides) <= min(MOST, channels.bit_length() - 1) or len(spread) < len(strides):
        c.fail("upsample_rates", f"expected 1 or more, each halving upsample_initial_channel ({channels}), with upsample_kernel_sizes")
        return {}
    parts: Tree = {"path": "code2wav_bigvgan_model", "cache": False}
    parts["first"] = convolution("conv_pre", c.size("mel_dim"), channels, EDGE)
    for index, (stride, kernel) in enumerate(zip(strides, spread, strict=False), 1):
        before, channels = channels, channels // 2
        parts[f"spread_{index}"] = convolution("ups.{}.{}", before, channels, kernel, stride=stride, transposed=True)
        for number, side in enumerate(kernels, 1):
            one = {name: convolution(f"{name}.{{}}", channels, channels, side) for name in ("convs1", "convs2")}
            parts[f"branch_{index}_{number}"] = {
                "path": "resblocks.{}",
                "convolutions": {"path": "", "repeat": PAIRS, **one},
                "activations": {"path": "activations.{}", "repeat": 2 * PAIRS, **snake("act", channels)},
            }
    return parts | snake("activation_post.act", channels) | {"last": convolution("conv_post", channels, 1, EDGE, bias=False)}


def coded(c: Config) -> Tree:
    """Qwen3-Omni's decoder of codes (Xu et al. 2025): a windowed transformer, ConvNeXt blocks, and a vocoder."""
    width, heads = c.size("hidden_size"), c.size("num_attention_heads")
    bias, head_dim = c.flag("attention_bias") or None, c.optional("head_dim") or max(1, width // heads)
    layer = {
        "norm_1": rms("input_layernorm"),
        "attention": tree(
            path="self_attn", heads=heads, kv_heads=c.optional("num_key_value_heads"), head_dim=head_dim,
            bias=bias, rotary=True, window=window_size(c), dropout=rate(c, "attention_dropout"),
        ),
        "scale_1": token("self_attn_layer_scale.scale", width),
        "norm_2": rms("post_attention_layernorm"),
        "feed_forward": {"path": "mlp", "size": c.size("intermediate_size"), "activation": c.text("hidden_act", "silu")},
        "scale_2": token("mlp_layer_scale.scale", width),
        "flow": ["norm_1 attention scale_1 +", "norm_2 feed_forward scale_2 +"],
    }  # fmt: skip
    codes, channels = c.size("codebook_size") * c.size("num_quantizers"), c.size("decoder_dim")
    parts: Tree = {
        "embedding": {"vocabulary": codes, "path": "code_embedding"},
        "layers": stack("pre_transformer.layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": rms("pre_transformer.norm"),
    }
    for index, factor in enumerate(c.sizes("upsampling_ratios", least=1)[:MOST], 1):
        parts[f"finer_{index}"] = finer(width, factor)
    rates = c.sizes("upsample_rates", least=1)
    if len(rates) > min(MOST, channels.bit_length() - 1):
        c.fail("upsample_rates", f"expected a few, each halving decoder_dim ({channels})")
        return {}
    parts["first"] = convolution("decoder.{}.conv", width, channels, EDGE)
    for index, factor in enumerate(rates, 1):
        before, channels = channels, channels // 2
        unit = {
            **{f"act1_{name}": part for name, part in snake("act1", channels).items()},
            "convolution_1": convolution("conv1.conv", channels, channels, EDGE),
            **{f"act2_{name}": part for name, part in snake("act2", channels).items()},
            "convolution_2": convolution("conv2.conv", channels, channels, 1),
            "flow": ["convolution_1 convolution_2 +"],
        }
        parts[f"block_{index}"] = {
            "path": "decoder.{}.block.{}",
            **snake("", before),
            "spread": convolution("conv", before, channels, 2 * factor, stride=factor, transposed=True),
            "units": {"path": "", "repeat": PAIRS, **unit},
        }
    return parts | snake("decoder.{}", channels) | {"last": convolution("decoder.{}.conv", channels, 1, EDGE)}


def finer(width: int, factor: int) -> Tree:
    """A transposed convolution, and ConvNeXt's block on what it makes."""
    return {
        "path": "upsample.{}.{}",
        "spread": convolution("conv", width, width, factor, stride=factor, transposed=True),
        "depthwise": convolution("dwconv.conv", width, width, EDGE, groups=width),
        "norm": {"kind": "norm", "type": "layer", "path": "norm"},
        "feed_forward": {
            "path": "", "size": WIDENING * width, "gated": False, "bias": True, "activation": "gelu",
            "names": {"up_proj": "pwconv1", "down_proj": "pwconv2"},
        },
        "scale": token("gamma", width),
        "flow": ["spread", "depthwise norm feed_forward scale +"],
    }  # fmt: skip
