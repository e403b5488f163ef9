"""Residual networks of convolutions: BiT, RegNet, HGNet v2; and TextNet's, whose branches run side by side."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.maps import batch_norm, classified, convolution, divisible
from paramcalc.gate.families.pyramid import stages
from paramcalc.gate.families.recipes import Tree, stack
from paramcalc.gate.families.resnet import convolved
from paramcalc.gate.families.vision import token
from paramcalc.words.sizes import MAX_SIZE

MOST_LAYERS = 1_000  # of a stage whose layers stand one by one


def in_stages(path: str, number: int, first: Tree, rest: Tree, width: int) -> Tree:
    """A stage whose first layer changes the width."""
    order = f"first, {number - 1} layer" if number > 1 else "first"
    return stack(path, {"first": first, "layer": rest}, order, width=width)


def bit_layer(inputs: int, outputs: int, *, before: bool, first: bool, stride: int) -> Tree:
    """BiT's bottleneck (Kolesnikov et al. 2020): standardised convolutions, and group norms `before` or behind each."""
    inner = divisible(outputs * 0.25)
    steps = ((inputs, inner, 1), (inner, inner, 3), (inner, outputs, 1))
    layer: Tree = {}
    for index, (read, made, side) in enumerate(steps, 1):
        norm = {"kind": "norm", "type": "group", "path": f"norm{index}", "size": read if before else made}
        conv = convolution(f"conv{index}", read, made, side, stride=stride if side > 1 else 1, bias=False)
        names = (f"norm_{index}", f"convolution_{index}")
        layer |= dict(zip(names, (norm, conv), strict=True)) if before else {names[1]: conv, names[0]: norm}
    chain = " ".join(layer)
    if not first:
        return layer | {"flow": [f"{chain} +"]}
    layer["shortcut"] = convolution("downsample.conv", inputs, outputs, stride=stride, bias=False)
    if before:
        return layer | {"flow": [f"norm_1 ({chain.removeprefix('norm_1 ')} | shortcut)"]}
    layer["shortcut_norm"] = {"kind": "norm", "type": "group", "path": "downsample.norm", "size": outputs}
    return layer | {"flow": [f"({chain} | shortcut shortcut_norm)"]}


def bit(c: Config) -> Tree:
    before = c.choice("layer_type", ("preactivation", "bottleneck"), "preactivation") == "preactivation"
    read, factor, now = c.size("embedding_size"), c.size("width_factor", 1), 4
    shape = [(width, number) for number, width in stages(c, "depths", "hidden_sizes")]  # DPT-Hybrid's has a width to spare
    parts: Tree = {"stem": convolution("embedder.convolution", c.size("num_channels"), read, 7, stride=2, bias=False)}
    if not before:
        parts["stem_norm"] = {"kind": "norm", "type": "group", "path": "embedder.norm", "size": read}
    for index, (width, number) in enumerate(shape):
        made = divisible(width * factor)
        stride = 1 if not index or now >= c.size("output_stride", 32) else 2
        first = bit_layer(read, made, before=before, first=True, stride=stride)
        rest = bit_layer(made, made, before=before, first=False, stride=1)
        if number:
            parts[f"stage_{index + 1}"] = in_stages("encoder.stages.{}.layers.{}", number, first, rest, made)
        read, now = made, now * stride
    last = (c.sizes("hidden_sizes", least=1) or [1])[-1]
    if before:
        parts["norm"] = {"kind": "norm", "type": "group", "path": "norm", "size": last}
    return classified(c, parts, "bit", last, path="classifier.{}", whole=True)


def regnet_layer(c: Config, inputs: int, outputs: int, stride: int) -> Tree:
    """RegNet's layers (Radosavovic et al. 2020): a bottleneck that is none, in groups; Y's also squeezes and excites."""
    groups = max(1, outputs // c.size("groups_width"))
    if outputs % groups:
        c.fail("groups_width", f"makes {groups} groups, which do not divide {outputs} channels")
        groups = 1
    layer = convolved("layer.{}", inputs, outputs, 1, "1") | convolved("layer.{}", outputs, outputs, 3, "2", stride)
    layer["convolution_2"] |= {"groups": groups}
    if c.choice("layer_type", ("x", "y"), "y") == "y":
        squeezed = max(1, round(inputs / 4))
        layer["squeeze"] = convolution("layer.{}.attention.{}", outputs, squeezed, activation="relu")
        layer["excite"] = convolution("layer.{}.attention.{}", squeezed, outputs)
    layer |= convolved("layer.{}", outputs, outputs, 1, "3")
    chain = " ".join(name for name in layer if name not in ("squeeze", "excite"))
    if inputs == outputs and stride == 1:
        return layer | {"flow": [f"{chain} +"]}
    shortcut = convolved("shortcut", inputs, outputs, 1, "shortcut", stride)
    return layer | shortcut | {"flow": [f"({chain} | convolution_shortcut norm_shortcut)"]}


def regnet(c: Config) -> Tree:
    read = c.size("embedding_size")
    parts: Tree = convolved("embedder.embedder", c.size("num_channels"), read, 3, "stem", 2)
    for index, (width, number) in enumerate(stages(c, "hidden_sizes", "depths")):
        stride = 2 if index or c.flag("downsample_in_first_stage", True) else 1
        first, rest = regnet_layer(c, read, width, stride), regnet_layer(c, width, width, 1)
        parts[f"stage_{index + 1}"] = in_stages("encoder.stages.{}.layers.{}", max(1, number), first, rest, width)
        read = width
    return classified(c, parts, "regnet", read, path="classifier.{}")


def hg_step(c: Config, name: str, path: str, inputs: int, outputs: int, side: int, *, active: bool = True, groups: int = 1) -> Tree:
    """A convolution, its batch norm and, where switched on, a learned scale and shift behind the activation."""
    conv = convolution(f"{path}.convolution", inputs, outputs, side, bias=False, groups=groups if groups > 1 else None)
    parts = {name: conv, f"{name}_norm": batch_norm(f"{path}.normalization", outputs)}
    if active and c.flag("use_learnable_affine_block"):
        parts[f"{name}_scale"] = token(f"{path}.lab.scale", 1)
        parts[f"{name}_shift"] = token(f"{path}.lab.bias", 1) | {"type": "bias"}
    return parts


def hg_block(c: Config, inputs: int, middle: int, outputs: int, number: int, side: int, light: bool) -> Tree:
    """HGNet's block: convolutions one after the other, then all of their maps side by side into one."""
    parts: Tree = {}
    for index in range(number):
        read, name = middle if index else inputs, f"step_{index + 1}"
        if light:
            parts |= hg_step(c, f"{name}_mix", "layers.{}.conv1", read, middle, 1, active=False)
            parts |= hg_step(c, name, "layers.{}.conv2", middle, middle, side, groups=middle)
        else:
            parts |= hg_step(c, name, "layers.{}", read, middle, side)
    squeezed = max(1, outputs // 2)
    parts |= hg_step(c, "squeeze", "aggregation.{}", inputs + number * middle, squeezed, 1)
    return parts | hg_step(c, "excite", "aggregation.{}", squeezed, outputs, 1)


def hgnet(c: Config) -> Tree:
    """HGNet v2 (PaddlePaddle 2023), the encoder of D-FINE."""
    stem = [*c.sizes("stem_channels", least=1), 1, 1, 1][:3]
    half = max(1, stem[1] // 2)
    steps = (("1", stem[0], stem[1], 3), ("2a", stem[1], half, 2), ("2b", half, stem[1], 2), ("3", 2 * stem[1], stem[1], 3))
    parts: Tree = {}
    for name, read, made, side in (*steps, ("4", stem[1], stem[2], 1)):
        parts |= hg_step(c, f"stem_{name}", f"embedder.stem{name}", read, made, side)
    keys = (
        "stage_in_channels",
        "stage_mid_channels",
        "stage_out_channels",
        "stage_num_blocks",
        "stage_numb_of_layers",
        "stage_kernel_size",
    )
    falls, lights = c.listed("stage_downsample") or [], c.listed("stage_light_block") or []
    for index, (read, middle, made, number, layers, side) in enumerate(stages(c, *keys)):
        light = index < len(lights) and lights[index] is True
        group: Tree = {"path": "encoder.stages.{}", "width": made}
        if index < len(falls) and falls[index] is True:
            group |= hg_step(c, "down", "downsample", read, read, 3, active=False, groups=read)
        if layers > MOST_LAYERS:
            c.fail("stage_numb_of_layers", f"more than {MOST_LAYERS:,} layers")
            layers = 1
        if number:
            first, rest = (hg_block(c, inputs, middle, made, layers, side, light) for inputs in (read, made))
            group["blocks"] = in_stages("blocks.{}", number, first, rest, made)
        parts[f"stage_{index + 1}"] = group
    every = c.sizes("hidden_sizes", least=1) or [1]
    return classified(c, parts, "", every[-1], path="fc")


def text_layer(inputs: int, outputs: int, kernel: tuple[int, int], stride: int) -> Tree:
    """A convolution, the same as a column and as a row, and a norm of what came in, all added (Chen et al. 2021)."""
    height, width = kernel
    branches = [("main", [height, width])]
    branches += [("vertical", [height, 1])] if width != 1 else []
    branches += [("horizontal", [1, width])] if height != 1 else []
    parts: Tree = {}
    for name, side in branches:
        parts[name] = convolution(f"{name}_conv", inputs, outputs, side, stride=stride, bias=False)
        parts[f"{name}_norm"] = batch_norm(f"{name}_batch_norm", outputs)
    flows = [f"{name} {name}_norm" for name, _ in branches]
    if inputs == outputs and stride == 1:
        parts["identity_norm"] = batch_norm("rbr_identity", inputs)
        flows.append("identity_norm")
    return parts | {"flow": [f"({' | '.join(flows)})"]}


def kernels(c: Config) -> list[list[tuple[int, int]]]:
    """Height and width of each layer's kernel, by stage; where the config has none, the class's own."""
    default = [[[3, 3]] * 3, [[3, 3], [1, 3], [3, 3], [3, 1]], [[3, 3], [3, 3], [3, 1], [1, 3]], [[3, 3], [3, 1], [1, 3], [3, 3]]]
    found = c.listed("conv_layer_kernel_sizes") or default

    def fits(kernel: object) -> bool:
        return isinstance(kernel, list | tuple) and len(kernel) == 2 and all(type(side) is int and 1 <= side <= MAX_SIZE for side in kernel)

    if not all(isinstance(stage, list | tuple) and all(fits(kernel) for kernel in stage) for stage in found):
        c.fail("conv_layer_kernel_sizes", f"expected stages of kernels of two sides, got {found!r:.60}")
        return []
    return [[(kernel[0], kernel[1]) for kernel in stage] for stage in found]


def textnet(c: Config) -> Tree:
    """TextNet (Chen et al. 2021, FAST): stages of branches that can be folded into one convolution."""
    strides = c.listed("conv_layer_strides") or [[1, 2, 1], *[[2, 1, 1, 1]] * 3]
    widths, sides, stem = c.sizes("hidden_sizes", least=1), kernels(c), c.size("stem_out_channels")
    if len(widths) <= len(sides) or len(strides) < len(sides):
        c.fail("hidden_sizes", f"names {len(widths)} widths for {len(sides)} stages, and strides for {len(strides)}")
        return classified(c, {}, "textnet", 1, path="fc")
    parts: Tree = {
        "stem": convolution("stem.conv", c.size("stem_num_channels"), stem, c.size("stem_kernel_size"), bias=False),
        "stem_norm": batch_norm("stem.batch_norm", stem),
    }
    for index, stage in enumerate(sides):
        made, group = widths[index + 1], {"path": "encoder.stages.{}", "width": widths[index + 1]}
        steps = strides[index] if isinstance(strides[index], list | tuple) else []
        for place, (kernel, step) in enumerate(zip(stage, steps, strict=False)):
            layer = text_layer(made if place else widths[index], made, kernel, step if type(step) is int and step > 0 else 1)
            group[f"layer_{place + 1}"] = {"path": "stage.{}", **layer}
        parts[f"stage_{index + 1}"] = group
    return classified(c, parts, "textnet", widths[-1], path="fc", whole=True)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"bit": bit, "hgnet_v2": hgnet, "regnet": regnet, "textnet": textnet}
