"""The Descript Audio Codec (Kumar et al. 2023), and HiFi-GAN as a model of its own."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document
from paramcalc.gate.families.vision import refuse, token
from paramcalc.gate.families.vits import one
from paramcalc.gate.families.vocoder import hifi_gan

KERNEL = 7  # of the first, last and residual convolutions, fixed in the reference's code
MOST_STAGES = 32


def snake(path: str, width: int) -> Tree:
    """An activation with a learned period for each channel (Ziyin et al. 2020)."""
    return token(f"{path}.alpha", 1, width, 1)


def residual(path: str, width: int) -> Tree:
    return {
        "path": path,
        "snake_1": snake("snake1", width),
        "convolution_1": one("conv1", width, width, KERNEL),
        "snake_2": snake("snake2", width),
        "convolution_2": one("conv2", width, width),
    }


def stages(c: Config, first: int, *, decodes: bool) -> tuple[Tree, int]:
    """Blocks that shorten the sound and double its channels, or the other way round, and the last width."""
    ratios = c.sizes("downsampling_ratios", least=1)
    ratios = (c.sizes("upsampling_ratios", least=1) or ratios[::-1]) if decodes else ratios
    if not 1 <= len(ratios) <= MOST_STAGES:
        c.fail("downsampling_ratios", f"expected 1 to {MOST_STAGES} factors, got {len(ratios)}")
        ratios = [1]
    parts, width = {}, first
    for index, ratio in enumerate(ratios, 1):
        other = max(1, width // 2) if decodes else 2 * width
        path, change = ("conv_t1", {"transposed": True}) if decodes else ("conv1", {})
        step = {"snake": snake("snake1", width), "change": one(path, width, other, 2 * ratio, stride=ratio) | change}
        units = {f"unit_{place}": residual(f"res_unit{place}", other if decodes else width) for place in (1, 2, 3)}
        parts[f"block_{index}"] = {"path": "block.{}", **(step | units if decodes else units | step)}
        width = other
    return parts, width


def ends(c: Config) -> tuple[Tree, int]:
    """The convolutions around the quantizer, and the width between them."""
    first, wide = c.size("encoder_hidden_size"), c.size("decoder_hidden_size")
    narrowed, deep = stages(c, first, decodes=False)
    hidden = c.optional("hidden_size") or deep
    widened, last = stages(c, wide, decodes=True)
    parts: Tree = {
        "encoder": {"path": "encoder", "first": one("conv1", 1, first, KERNEL), **narrowed, "snake": snake("snake1", deep)},
        "decoder": {"path": "decoder", "first": one("conv1", hidden, wide, KERNEL), **widened, "snake": snake("snake1", last)},
    }
    parts["encoder"]["last"] = one("conv2", deep, hidden, 3)
    parts["decoder"]["last"] = one("conv2", last, 1, KERNEL)
    return parts, hidden


def dac(c: Config) -> Tree:
    """Convolutions around a residual quantizer whose codebooks are looked up in few dims."""
    if c.task("base") != "base":
        refuse(c)
    parts, hidden = ends(c)
    size = c.size("codebook_dim")
    c.ignore("hop_length")
    quantizer = {
        "path": "quantizer.quantizers.{}",
        "repeat": c.size("n_codebooks"),
        "input": one("in_proj", hidden, size),
        "output": one("out_proj", size, hidden),
        "codebook": {"kind": "embedding", "path": "codebook", "vocabulary": c.size("codebook_size"), "size": size},
    }
    return document(c, parts | {"quantizer": quantizer}, width=hidden, cache=False)


def vocoder(c: Config) -> Tree:
    """HiFi-GAN (Kong et al. 2020) alone; the mean and scale of spectrograms are buffers."""
    if c.architecture() and not c.architecture().endswith("HifiGan"):
        refuse(c)
    return document(c, hifi_gan(c, c.size("model_in_dim")), width=c.size("model_in_dim"), cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"dac": dac, "fastspeech2_conformer_hifigan": vocoder, "speecht5_hifigan": vocoder}
