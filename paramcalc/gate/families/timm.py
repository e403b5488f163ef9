"""ResNets under timm's names, which detectors read images with."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, labels, tree, under
from paramcalc.gate.families.vision import refuse

RESNETS = {
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
    "resnet152": (True, (3, 8, 36, 3)),
}
"""Whether layers are bottlenecks, and how many there are in each stage (He et al. 2016, table 1)."""
WIDTHS = (64, 128, 256, 512)
STEM = 64
EXPANSION = 4


def step(name: str, inputs: int, outputs: int, side: int, stride: int, frozen: bool, path: str = "") -> Tree:
    """A convolution without bias and its batch norm; a frozen one keeps its gain and bias as buffers."""
    places = (path, path) if path else (f"conv{name}", f"bn{name}")
    norm = tree(kind="norm", type="batch", path=places[1], size=outputs) | ({"scale": False, "bias": False} if frozen else {})
    conv = tree(
        kind="convolution",
        path=places[0],
        inputs=inputs,
        outputs=outputs,
        kernel=[side, side],
        stride=[stride, stride] if stride > 1 else None,
        bias=False,
    )
    return {f"convolution_{name}": conv, f"norm_{name}": norm}


def layer(inputs: int, inner: int, outputs: int, stride: int, frozen: bool) -> Tree:
    """A residual layer; its stride is that of the 3×3 convolution, unlike the first ResNet's."""
    if outputs == inner:
        made = step("1", inputs, inner, 3, stride, frozen) | step("2", inner, inner, 3, 1, frozen)
    else:
        made = step("1", inputs, inner, 1, 1, frozen) | step("2", inner, inner, 3, stride, frozen)
        made |= step("3", inner, outputs, 1, 1, frozen)
    chain = " ".join(made)
    if inputs == outputs and stride == 1:
        return made | {"flow": [f"{chain} +"]}
    made |= step("shortcut", inputs, outputs, 1, stride, frozen, "downsample.{}")
    return made | {"flow": [f"({chain} | convolution_shortcut norm_shortcut)"]}


def resnet(c: Config, key: str, *, channels: int = 3, kept: int = 4, frozen: bool = False) -> tuple[Tree, list[int]]:
    """The parts of the ResNet that `key` names, up to stage `kept`, and the widths of its stem and stages."""
    name = c.text(key).partition(".")[0]
    if name not in RESNETS:
        c.fail(key, f"{name!r:.60} is not modelled, only {', '.join(RESNETS)}")
        return {}, [1] * 5
    bottleneck, depths = RESNETS[name]
    parts, widths = step("1", channels, STEM, 7, 2, frozen), [STEM]
    for index, (inner, number) in enumerate(zip(WIDTHS, depths, strict=True), 1):
        outputs = inner * EXPANSION if bottleneck else inner
        kinds = {
            "first": layer(widths[-1], inner, outputs, 1 if index == 1 else 2, frozen),
            "layer": layer(outputs, inner, outputs, 1, frozen),
        }
        if index <= kept:
            parts[f"stage_{index}"] = {
                "path": f"layer{index}.{{}}",
                "width": outputs,
                "kinds": kinds,
                "order": f"first, {number - 1} layer",
            }
        widths.append(outputs)
    return parts, widths


def kept_stages(c: Config, count: int = 4) -> list[int]:
    """The stages whose maps are given out, 0 for the stem."""
    indices = c.listed("out_indices") or [-1]
    if not all(type(index) is int and -count - 1 <= index <= count for index in indices):
        c.fail("out_indices", f"expected some of 0 to {count}, got {indices!r:.60}")
        return [count]
    return [index % (count + 1) for index in indices]


def timm_backbone(c: Config) -> Tree:
    """A backbone of timm's: all up to the last map that it gives out."""
    kept = kept_stages(c)
    if not c.flag("features_only", True):
        c.fail("features_only", "only backbones that give out maps are modelled")
    c.ignore("output_stride", "out_features", "use_pretrained_backbone")
    parts, widths = resnet(c, "backbone", channels=c.size("num_channels"), kept=max(kept), frozen=c.flag("freeze_batch_norm_2d"))
    if c.task("backbone") not in ("backbone", "base"):
        refuse(c)
    return document(c, under("_backbone.", parts), width=widths[0], cache=False)


def timm_wrapper(c: Config) -> Tree:
    """A whole model of timm's."""
    task = c.task("image_classification")
    parts, widths = resnet(c, "architecture")
    if c.value("model_args"):
        c.fail("model_args", "arguments of timm's models are not modelled")
    c.ignore("global_pool", "num_features", "pretrained_cfg", "do_pooling", "label_names", "num_classes")
    if task == "image_classification":
        names = c.listed("label_names") if c.states("label_names") else None
        outputs = len(names) if names else c.optional("num_classes") or labels(c)
        parts["head"] = {"kind": "dense", "path": "fc", "inputs": widths[-1], "outputs": outputs, "component": "head"}
    elif task != "base":
        refuse(c)
    return document(c, under("timm_model.", parts), width=widths[0], cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"timm_backbone": timm_backbone, "timm_wrapper": timm_wrapper}
