"""Swin2SR: Swin v2's layers at one grid, convolutions around them, and what makes a larger image of the result."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.maps import convolution
from paramcalc.gate.families.pyramid import stages, swin_2
from paramcalc.gate.families.recipes import Tree, document, layer_norm, stack, under
from paramcalc.gate.families.vision import pair, patches, refuse

INNER = 64  # channels of the upsampler, fixed in the reference's code
COLOURS = 3  # of the auxiliary image there


def larger(c: Config, path: str) -> Tree:
    """Convolutions whose channels become pixels (Shi et al. 2016): one for each factor of 2, or one for 3."""
    scale = c.size("upscale")
    if scale == 3:
        return {"up": convolution(f"{path}.convolution", INNER, 9 * INNER, 3)}
    if scale & (scale - 1):
        c.fail("upscale", f"expected 3 or a power of 2, got {scale}")
        return {}
    steps = scale.bit_length() - 1
    return {f"up_{step + 1}": convolution(f"{path}.convolution_{step}", INNER, 4 * INNER, 3) for step in range(steps)}


def upsampler(c: Config, width: int) -> Tree:
    """By the `upsampler` that is named: shuffled pixels, with an auxiliary image or in one step, nearest neighbours, none."""
    made, read = c.optional("num_channels_out") or c.size("num_channels"), c.size("num_channels")
    named = c.value("upsampler")
    first = {"before": convolution("conv_before_upsample", width, INNER, 3)}
    last = {"final": convolution("final_convolution", INNER, made, 3)}
    if named == "pixelshuffle":
        parts = first | larger(c, "upsample") | last
    elif named == "pixelshuffle_aux":
        parts = {"bicubic": convolution("conv_bicubic", read, INNER, 3)} | first
        parts |= {"aux": convolution("conv_aux", INNER, read, 3), "after": convolution("conv_after_aux.{}", COLOURS, INNER, 3)}
        parts |= larger(c, "upsample") | last
    elif named == "pixelshuffledirect":
        parts = {"up": convolution("conv", width, c.size("upscale") ** 2 * made, 3)}
    elif named == "nearest+conv":
        if c.size("upscale") != 4:
            c.fail("upscale", f"expected 4 for nearest+conv, got {c.size('upscale')}")
        steps = {name: convolution(name, INNER, INNER, 3) for name in ("conv_up1", "conv_up2", "conv_hr")}
        parts = first | steps | last
    else:
        return {"final": convolution("final_convolution", width, made, 3)}
    return {"upsampler": {"path": "upsample", "width": INNER, **parts}}


def swin2sr(c: Config) -> Tree:
    """Swin2SR (Conde et al. 2022)."""
    width, sides, task = c.size("embed_dim"), list(pair(c, "patch_size")), c.task("base")
    parts: Tree = {
        "first": convolution("first_convolution", c.size("num_channels"), width, 3),
        "patches": convolution("embeddings.patch_embeddings.projection", width, width, sides),
        "patches_norm": layer_norm("embeddings.patch_embeddings.layernorm"),
    }
    if c.flag("use_absolute_embeddings"):
        parts["position"] = {"rows": patches(c) + 1, "bare": True, "path": "embeddings.position_embeddings"}
    kind = c.choice("resi_connection", ("1conv", "3conv"), "1conv")
    for index, (number, heads) in enumerate(stages(c, "depths", "num_heads"), 1):
        group: Tree = {"path": "encoder.stages.{}"}
        if number:
            group["layers"] = stack("layers.{}", {"layer": swin_2(c, width, max(1, heads))}, f"{number} layer")
        if kind == "1conv":
            group["convolution"] = convolution("conv", width, width, 3)
        else:
            inner = max(1, width // 4)
            for step, (read, made, side) in enumerate(((width, inner, 3), (inner, inner, 1), (inner, width, 3)), 1):
                group[f"convolution_{step}"] = convolution("conv.{}", read, made, side)
        parts[f"stage_{index}"] = group | {"patch": convolution("patch_embed.projection", width, width, sides)}
    parts |= {"norm": layer_norm("layernorm"), "after": convolution("conv_after_body", width, width, 3)}
    c.ignore("num_layers")  # the number of stages, whatever it says
    if c.architecture().endswith("ForImageSuperResolution"):
        parts = under("swin2sr.", parts) | upsampler(c, width)
    elif task != "base":
        refuse(c)
    return document(c, parts, width=width, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"swin2sr": swin2sr}
