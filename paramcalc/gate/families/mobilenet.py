"""MobileNetV5's 300M encoder, the image side of Gemma 3n."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, stack
from paramcalc.gate.families.vision import refuse, token

NAME = "mobilenetv5_300m_enc"
STEM = 64
# Widths and blocks as timm 1.0 lists them (mobilenetv5.py, `_gen_mobilenet_v5`): a block is its kind, the side of its first
# depthwise kernel, that of the middle one, and how far it widens; 0 is a kernel that is not there.
EDGES = (128, 3, 4)
"""The first stage: width, blocks, widening of residual blocks whose first convolution is a full 3×3."""
BOTTLENECKS: tuple[tuple[int, str, dict[str, tuple[int, int, int]]], ...] = (
    (256, "down, 2 (wide_5, wide_3)", {"down": (3, 5, 6), "wide_5": (5, 0, 4), "wide_3": (3, 0, 4)}),
    (640, "down, 7 wide, plain, 14 (attention, narrow)", {"down": (5, 5, 6), "wide": (5, 0, 4), "plain": (0, 0, 1), "narrow": (0, 0, 2)}),
    (1280, "down, 19 (attention, narrow)", {"down": (5, 5, 6), "narrow": (0, 0, 2)}),
)
HEADS: dict[int, tuple[int, int, bool]] = {640: (12, 64, True), 1280: (16, 96, False)}
"""Width to heads, their dim, and whether keys and values are made from a grid half as fine."""
FUSED, FUSION_RATIO = 2048, 2
"""What the last two stages' maps are fused into, and how far that widens."""


def convolved(name: str, path: str, inputs: int, outputs: int, side: int = 1, *, each: bool = False, **fields: Any) -> Tree:
    """A convolution without bias and its RMS norm; `each` channel has its own kernel, or all are mixed."""
    groups = {"groups": inputs} if each else {}
    convolution = {"kind": "convolution", "path": f"{path}.conv", "inputs": inputs, "outputs": outputs, "kernel": [side, side]}
    norm = {"kind": "norm", "type": "rms", "path": f"{path}.bn", "size": outputs}
    return {name: {**convolution, **groups, "bias": False, **fields}, f"{name}_norm": norm}


def edge(inputs: int, outputs: int, ratio: int) -> Tree:
    """A full 3×3 convolution that widens and a 1×1 that narrows (EfficientNet-EdgeTPU, Gupta & Tan 2019)."""
    inner = inputs * ratio
    step = {"kind": "convolution", "bias": False}
    return {
        "expand": step | {"path": "conv_exp", "inputs": inputs, "outputs": inner, "kernel": [3, 3]},
        "expand_norm": {"kind": "norm", "path": "bn1", "size": inner},
        "project": step | {"path": "conv_pwl", "inputs": inner, "outputs": outputs, "kernel": [1, 1]},
        "project_norm": {"kind": "norm", "path": "bn2", "size": outputs},
    }


def bottleneck(inputs: int, outputs: int, start: int, middle: int, ratio: int) -> Tree:
    """The universal inverted bottleneck (MobileNetV4, Qin et al. 2024): depthwise before and within the widening."""
    inner = inputs * ratio
    parts = convolved("start", "dw_start", inputs, inputs, start, each=True) if start else {}
    parts |= convolved("expand", "pw_exp", inputs, inner)
    if middle:
        parts |= convolved("middle", "dw_mid", inner, inner, middle, each=True)
    return parts | convolved("project", "pw_proj", inner, outputs) | {"scale": token("layer_scale.gamma", outputs)}


def mobile_attention(width: int) -> Tree:
    """Multi-query attention over a map (MobileNetV4): one key and one value for all heads, 1×1 convolutions throughout."""
    heads, dim, coarse = HEADS[width]
    step = {"kind": "convolution", "bias": False, "kernel": [1, 1], "component": "attention"}
    parts: Tree = {"norm": {"type": "rms", "path": "norm", "size": width}}
    parts["query"] = step | {"path": "attn.query.proj", "inputs": width, "outputs": heads * dim}
    for name in ("key", "value"):
        if coarse:
            down = {"path": f"attn.{name}.down_conv", "inputs": width, "outputs": width, "kernel": [3, 3], "groups": width}
            parts[f"{name}_down"] = step | down
            parts[f"{name}_norm"] = {"kind": "norm", "path": f"attn.{name}.norm", "size": width}
        parts[name] = step | {"path": f"attn.{name}.proj", "inputs": width, "outputs": dim}
    parts["output"] = step | {"path": "attn.output.proj", "inputs": heads * dim, "outputs": width}
    return parts | {"scale": token("layer_scale.gamma", width)}


def mobilenet_5(c: Config) -> Tree:
    """The encoder by its name: its sizes stand in the library that builds it, not in the config."""
    if c.text("architecture", NAME) != NAME or c.value("model_args"):
        c.fail(
            "architecture", f"only {NAME!r} as it is made is known, got {c.value('architecture')!r:.60} with {c.value('model_args')!r:.60}"
        )
    if c.task("base") != "base":
        refuse(c)
    width, number, ratio = EDGES
    stem = convolved("stem", "conv_stem", 3, STEM, 3, stride=[2, 2])
    stem["stem"] |= {"bias": True, "component": "embedding"}
    kinds = {"first": edge(STEM, width, ratio), "layer": edge(width, width, ratio)}
    parts = stem | {"stage_1": stack("blocks.{}.{}", kinds, f"first, {number - 1} layer", width=width)}
    read, widths = width, []
    for index, (width, order, blocks) in enumerate(BOTTLENECKS, 2):
        kinds = {name: bottleneck(read if name == "down" else width, width, *sizes) for name, sizes in blocks.items()}
        if "attention" in order:
            kinds["attention"] = {"kind": "group"} | mobile_attention(width)
        parts[f"stage_{index}"] = stack("blocks.{}.{}", kinds, order, width=width)
        widths.append(width)
        read = width
    inputs = sum(widths[-2:])
    fusion = convolved("expand", "ffn.pw_exp", inputs, inputs * FUSION_RATIO) | convolved(
        "project", "ffn.pw_proj", inputs * FUSION_RATIO, FUSED
    )
    parts["fusion"] = {"path": "msfa", **fusion, "norm": {"type": "rms", "path": "norm", "size": FUSED}}
    parts = {name: part | {"path": f"timm_model.{part['path']}"} for name, part in parts.items()}
    return document(c, parts, width=FUSED, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"gemma3n_vision": mobilenet_5}
