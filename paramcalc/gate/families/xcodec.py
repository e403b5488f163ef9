"""X-Codec (Ye et al. 2024): DAC's convolutions beside a model of speech, whose vectors are quantized together."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.dac import MOST_STAGES, ends
from paramcalc.gate.families.nesting import tower
from paramcalc.gate.families.recipes import Tree, document
from paramcalc.gate.families.vision import refuse
from paramcalc.gate.families.vits import one


def bare(path: str, inputs: int, outputs: int, kernel: int) -> Tree:
    return one(path, inputs, outputs, kernel) | {"bias": False}


def steps(c: Config) -> list[tuple[int, int]]:
    """Each block's width, in semantic widths, and its stride."""
    ratios, strides = c.sizes("channel_ratios", least=1), c.sizes("strides", least=1)
    if len(ratios) != len(strides) or not 1 <= len(strides) <= MOST_STAGES:
        c.fail("strides", f"expected 1 to {MOST_STAGES}, one for each of channel_ratios ({len(ratios)}), got {len(strides)}")
        return [(1, 1)]
    return list(zip(ratios, strides, strict=True))


def units(c: Config, width: int) -> Tree:
    dilations = c.sizes("block_dilations", least=1)
    if len(dilations) > MOST_STAGES:
        c.fail("block_dilations", f"expected at most {MOST_STAGES}, got {len(dilations)}")
        return {}
    kernel = c.size("unit_kernel_size")
    unit = {"path": "res_units.{}", "convolution_1": bare("conv1", width, width, kernel), "convolution_2": bare("conv2", width, width, 1)}
    return {f"unit_{place}": unit for place in range(1, len(dilations) + 1)}


def encoder(c: Config, width: int) -> Tree:
    parts: Tree = {"path": "encoder_semantic", "first": bare("conv", width, width, c.size("kernel_size"))}
    before = width
    for index, (ratio, stride) in enumerate(steps(c), 1):
        change = one("conv", before, width * ratio, 3 if stride == 1 else 2 * stride, stride=stride)
        parts[f"block_{index}"] = {"path": "conv_blocks.{}", **units(c, before), "change": change}
        before = width * ratio
    return parts


def decoder(c: Config, width: int) -> Tree:
    """Widths run as the encoder's do, and a step that lengthens the sound has no bias."""
    sizes, kernel = steps(c), c.size("kernel_size")
    after = [width * ratio for ratio, _ in sizes[1:]] + [width]
    parts: Tree = {"path": "decoder_semantic", "first": bare("conv1", width, width * sizes[0][0], kernel)}
    for index, ((ratio, stride), outputs) in enumerate(zip(sizes, after, strict=True), 1):
        change = one("conv", width * ratio, outputs, 3)
        if stride > 1:
            change = bare("conv", width * ratio, outputs, 2 * stride) | {"stride": stride, "transposed": True}
        parts[f"block_{index}"] = {"path": "conv_blocks.{}", "change": change, **units(c, outputs)}
    return parts | {"last": bare("conv2", width, width, kernel)}


def xcodec(c: Config) -> Tree:
    """The codebooks are buffers, and so no parameters."""
    sound, speech = c.part("acoustic_model_config"), c.part("semantic_model_config")
    if c.task("base") != "base":
        refuse(c)
    if sound.model_type != "dac":
        sound.fail("model_type", f"expected dac, got {sound.model_type!r:.60}")
    c.ignore("codebook_size", "codebook_dim", "sample_rate", "target_bandwidths")
    sound.ignore("codebook_size", "codebook_dim", "n_codebooks", "hop_length")
    acoustic, hidden = ends(sound)
    parts = {name: part | {"path": f"acoustic_{name}"} for name, part in acoustic.items()}
    width = speech.size("hidden_size")
    both = hidden + width
    parts |= {"semantic_encoder": encoder(c, width), "semantic_decoder": decoder(c, width)}
    parts |= tower(speech, "speech", "semantic_model")
    parts |= {"both": dense("fc", both, both), "to_speech": dense("fc1", both, width), "to_sound": dense("fc2", both, hidden)}
    return document(c, parts, width=hidden, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"xcodec": xcodec}
