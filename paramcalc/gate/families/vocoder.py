"""From spectrograms or units to sound."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree

MOST = 64
"""Steps and branches that are told apart one by one; no vocoder has more."""
EDGE = 7
"""The kernel of the first and the last convolution, fixed in the reference's code."""


def hifi_gan(c: Config, inputs: int) -> Tree:
    """HiFi-GAN's generator (Kong et al. 2020): each step spreads the samples by a transposed convolution of half the
    channels, then takes the mean of a few branches of dilated convolutions."""
    channels = c.size("upsample_initial_channel")
    spread, strides = c.sizes("upsample_kernel_sizes", least=1), c.sizes("upsample_rates", least=1)
    kernels, dilations = c.sizes("resblock_kernel_sizes", least=1), c.listed("resblock_dilation_sizes") or []
    depths = [len(branch) for branch in dilations if isinstance(branch, list)]
    steps, branches = min(len(spread), len(strides)), min(len(kernels), len(depths))
    if len(depths) != len(dilations) or not 1 <= branches <= MOST or max(depths) > MOST:
        c.fail("resblock_dilation_sizes", "expected a list of dilations for each of resblock_kernel_sizes")
        return {}
    if not 1 <= steps <= MOST or channels >> steps < 1:
        c.fail("upsample_rates", f"expected 1 or more, each halving upsample_initial_channel ({channels})")
        return {}
    parts: Tree = {"first": {"kind": "convolution", "path": "conv_pre", "inputs": inputs, "outputs": channels, "kernel": EDGE}}
    for step, (size, stride) in enumerate(zip(spread, strides, strict=False), 1):
        before, channels = channels, channels // 2
        widen = {"kind": "convolution", "path": "upsampler.{}", "kernel": size, "stride": stride, "transposed": True}
        parts[f"spread_{step}"] = widen | {"inputs": before, "outputs": channels}
        for branch, (kernel, depth) in enumerate(zip(kernels, depths, strict=False), 1):
            parts[f"branch_{step}_{branch}"] = residual(channels, kernel, depth)
    return parts | {"last": {"kind": "convolution", "path": "conv_post", "inputs": channels, "outputs": 1, "kernel": EDGE}}


def residual(channels: int, kernel: int, depth: int) -> Tree:
    """Pairs of a dilated convolution and a plain one, each pair added to what entered it."""
    convolve = {"kind": "convolution", "kernel": kernel, "activation": "leaky_relu"}
    pair = {"dilated": convolve | {"path": "convs1.{}"}, "plain": convolve | {"path": "convs2.{}"}, "flow": ["dilated plain +"]}
    return {"path": "resblocks.{}", "width": channels, "pairs": {"path": "", "kinds": {"pair": pair}, "order": f"{depth} pair"}}
