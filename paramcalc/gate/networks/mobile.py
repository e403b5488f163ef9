"""Networks for phones: EfficientNet (Tan & Le 2019) and its kin, MobileNet V1 to V5, MnasNet, MixNet, FBNet, LCNet, TinyNet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from paramcalc.gate.families.maps import convolution, divisible
from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.mobile_blocks import KINDS, NORMS, Block, read, rounded_by, stages
from paramcalc.gate.networks.options import Options, Pool
from paramcalc.gate.networks.pieces import classes
from paramcalc.model.order import order_of

FUSION = 2048
"""What MobileNetV5 fuses its last maps into, where the config says nothing; the encoder never does."""
WIDENING = 2
"""How far that widens, fixed in the reference's code."""
Rounding = Literal[
    "SqueezeExcite(gate_layer=hard_sigmoid)",
    "SqueezeExcite(gate_layer=hard_sigmoid, force_act_layer=ReLU)",
    "SqueezeExcite(gate_layer=hard_sigmoid, force_act_layer=ReLU, rd_round_fn=round_channels)",
    "SqueezeExcite(gate_layer=hard_sigmoid, rd_round_fn=round_channels(multiplier=1.0, round_limit=0.95))",
]


@dataclass(frozen=True, kw_only=True)
class Mobile(Options):
    """`None` is what the network's class takes where it is not told (see `ABOUT`)."""

    model_cls: Literal["EfficientNet", "MobileNetV3", "MobileNetV5", "MobileNetV5Encoder"] = "EfficientNet"
    arch_def: tuple[tuple[str, ...], ...] = ()
    """The blocks of each stage, as text."""
    depth_multiplier: float | tuple[float, ...] = 1.0
    depth_trunc: Literal["ceil", "round"] = "ceil"
    experts_multiplier: int = 1
    fix_first_last: bool = False
    """Whether the first and the last stage keep their depth."""
    group_size: int | None = None
    stem_size: int | None = None
    stem_kernel_size: int = 3
    fix_stem: bool = False
    """Whether the stem's width is taken as it stands, and not scaled."""
    num_features: int | None = None
    """Width of the last 1×1 convolution; 0 for none."""
    round_chs_fn: str = "round_channels(multiplier=1.0)"
    norm_layer: Literal["BatchNorm2d", "GroupNormAct(group_size=8)", "GroupNormAct(group_size=16)", "LayerNormAct2d", "RmsNorm2d"] = (
        "BatchNorm2d"
    )
    se_layer: Rounding | None = None
    se_from_exp: bool | None = None
    """Whether the share that blocks squeeze to is one of the widened map."""
    head_bias: bool = True
    head_norm: bool = False
    layer_scale_init_value: float | None = None
    act_layer: str = "ReLU"
    aa_layer: Literal["avg", "blurpc"] | None = None
    pad_type: str = ""
    output_stride: Literal[8, 16, 32] = 32
    global_pool: Pool = "avg"


ABOUT: dict[str, dict[str, Any]] = {
    "EfficientNet": {"stem_size": 32, "num_features": 1280, "se_from_exp": False},
    "MobileNetV3": {"stem_size": 16, "num_features": 1280, "se_from_exp": True},
    "MobileNetV5": {"stem_size": 16, "num_features": FUSION, "se_from_exp": True},
    "MobileNetV5Encoder": {"stem_size": 64, "num_features": FUSION, "se_from_exp": True},
}
"""What the classes take where they are not told."""


def repeats(texts: tuple[str, ...], multiplier: float, trunc: str) -> list[int]:
    """How often the blocks of a stage stand there when its depth is multiplied, shared out from the last one."""
    numbers = [read(text)[2] for text in texts]
    left, wanted = sum(numbers), sum(numbers) * multiplier
    scaled, found = max(1, round(wanted)) if trunc == "round" else ceil(wanted), []
    for number in reversed(numbers):
        found.append(max(1, round(number / left * scaled)))
        left, scaled = left - number, scaled - found[-1]
    return found[::-1]


def told(o: Mobile, key: str) -> Any:
    value = getattr(o, key)
    return ABOUT[o.model_cls][key] if value is None else value


def blocks(o: Mobile, stem: int) -> list[list[Block]]:
    last = len(o.arch_def) - 1
    multipliers = o.depth_multiplier if isinstance(o.depth_multiplier, tuple) else (o.depth_multiplier,) * (last + 1)
    kept = {0, last} if o.fix_first_last else set()
    numbers = [
        repeats(texts, 1.0 if index in kept else multiplier, o.depth_trunc)
        for index, (texts, multiplier) in enumerate(zip(o.arch_def, multipliers, strict=True))
    ]
    rounding = (o.se_layer or "").partition("rd_round_fn=")[2]
    first = Block(
        kind="", fields={}, inputs=stem, outputs=stem, stride=1, norm=o.norm_layer, group_size=o.group_size, rounding=rounding,
        squeeze_from_input=not told(o, "se_from_exp"), scaled=o.layer_scale_init_value is not None,
    )  # fmt: skip
    definition = tuple(tuple(multiplied(text, o.experts_multiplier) for text in texts) for texts in o.arch_def)
    return stages(definition, numbers, first, o.round_chs_fn)


def multiplied(text: str, experts: int) -> str:
    """A block's text with more experts, where it has any."""
    words = [f"cc{int(word[2:]) * experts}" if word[:2] == "cc" and word[2:].isdigit() else word for word in text.split("_")]
    return "_".join(words)


def staged(made: list[Block]) -> Tree:
    """Blocks one after the other, equal ones described once."""
    kinds: Tree = {}
    order: list[str] = []
    names: dict[str, str] = {}
    for block in made:
        built = KINDS[block.kind](block)
        key = json.dumps(built, sort_keys=True)
        names.setdefault(key, f"{block.kind}_{len(names) + 1}")
        kinds[names[key]] = {"kind": "group", "width": block.outputs, **built}
        order.append(names[key])
    return {"path": "blocks.{}.{}", "width": made[-1].outputs, "kinds": kinds, "order": order_of(order)}


def fused(o: Mobile, made: list[list[Block]], norm: Tree) -> Tree:
    """MobileNetV5's last two maps side by side, widened and narrowed."""
    falls = [stage[-1].outputs for stage, behind in zip(made, [*made[1:], None], strict=True) if not behind or behind[0].stride > 1]
    inputs, outputs = sum(falls[-2:]), FUSION if o.model_cls == "MobileNetV5Encoder" else told(o, "num_features")
    inner = divisible(inputs * WIDENING)
    parts: Tree = {"path": "msfa"}
    for name, path, before, after in (("expand", "ffn.pw_exp", inputs, inner), ("project", "ffn.pw_proj", inner, outputs)):
        parts[name] = convolution(f"{path}.conv", before, after, bias=False)
        parts[f"{name}_norm"] = norm | {"path": f"{path}.bn", "size": after}
    return {"fusion": parts | {"norm": norm | {"path": "norm", "size": outputs}}}


def network(o: Mobile) -> Tree:
    fifth = o.model_cls.startswith("MobileNetV5")
    stem = told(o, "stem_size") if o.fix_stem else rounded_by(o.round_chs_fn, told(o, "stem_size"))
    norm: Tree = {"kind": "norm", "type": NORMS[o.norm_layer]}
    paths = ("conv_stem.conv", "conv_stem.bn") if fifth else ("conv_stem", "bn1")
    parts: Tree = {"stem": convolution(paths[0], o.in_chans, stem, o.stem_kernel_size, stride=2, bias=fifth)}
    parts["stem_norm"] = norm | {"path": paths[1], "size": stem}
    made = blocks(o, stem)
    parts |= {f"stage_{index}": staged(stage) for index, stage in enumerate(made, 1)}
    width = made[-1][-1].outputs if made else stem
    if fifth:
        parts |= fused(o, made, norm)
        return parts | (classes(o.num_classes, told(o, "num_features"), "classifier") if o.model_cls == "MobileNetV5" else {})
    features = told(o, "num_features")
    if o.model_cls == "MobileNetV3":
        parts["top"] = convolution("conv_head", width, features, bias=o.head_bias and not o.head_norm)
        parts |= {"top_norm": norm | {"path": "norm_head", "size": features}} if o.head_norm else {}
    elif features:
        parts |= {"top": convolution("conv_head", width, features, bias=False), "top_norm": norm | {"path": "bn2", "size": features}}
    return parts | classes(o.num_classes, features or width, "classifier")


DEFAULT = Mobile()
