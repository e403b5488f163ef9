"""ResNet, and the convolutions with their norms that it is made of."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.pyramid import function, stages
from paramcalc.gate.families.recipes import Tree, document, plain_activation, stack, tree, under
from paramcalc.gate.families.vision import classifier, image, mean, refuse


def convolved(path: str, inputs: int, outputs: int, kernel: int, number: str, stride: int = 1, *, padded: bool = False) -> Tree:
    """A convolution without bias and its batch norm; `padded` by half its kernel."""
    return {
        f"convolution_{number}": tree(
            kind="convolution", path=f"{path}.convolution", inputs=inputs, outputs=outputs, kernel=[kernel, kernel],
            stride=[stride, stride] if stride > 1 else None, padding=kernel // 2 if padded else None, bias=False,
        ),
        f"norm_{number}": {"kind": "norm", "type": "batch", "path": f"{path}.normalization", "size": outputs},
    }  # fmt: skip


padded = partial(convolved, padded=True)


def resnet_layer(c: Config, inputs: int, outputs: int, stride: int) -> Tree:
    """ResNet's layers (He et al. 2016): two 3×3 convolutions, or 1×1, 3×3, 1×1 through a quarter of the width. The reference
    takes the config's activation behind the sum, and in a bottleneck always ReLU before it."""
    plain = c.choice("layer_type", ("basic", "bottleneck"), "bottleneck") == "basic"
    if plain:
        steps = [padded("layer.{}", inputs, outputs, 3, "1", stride), padded("layer.{}", outputs, outputs, 3, "2")]
    else:
        early = c.flag("downsample_in_bottleneck")
        inner = max(1, outputs // 4)
        steps = [
            padded("layer.{}", inputs, inner, 1, "1", stride if early else 1),
            padded("layer.{}", inner, inner, 3, "2", 1 if early else stride),
            padded("layer.{}", inner, outputs, 1, "3"),
        ]
    layer = {name: part for step in steps for name, part in step.items()}
    layer |= {"inner": function("relu"), "activation": function(plain_activation(c, "hidden_act", "relu"))}
    chain = " inner ".join(" ".join(step) for step in steps)
    if inputs == outputs and stride == 1:
        return layer | {"flow": [f"{chain} +", "activation"]}
    shortcut = padded("shortcut", inputs, outputs, 1, "shortcut", stride)
    return layer | shortcut | {"flow": [f"({chain} | convolution_shortcut norm_shortcut) activation"]}


def resnet(c: Config) -> Tree:
    """ResNet (He et al. 2016): a 7×7 stem, then stages of residual layers; batch norm's statistics are buffers."""
    task, stem = c.task("base"), c.size("embedding_size")
    parts: Tree = padded("embedder.embedder", c.size("num_channels"), stem, 7, "stem", 2)
    parts["activation"] = function(plain_activation(c, "hidden_act", "relu"))
    parts["stem_pool"] = {"kind": "pooling", "type": "max", "kernel": 3, "stride": 2, "padding": 1}
    before = stem
    for index, (width, number) in enumerate(stages(c, "hidden_sizes", "depths")):
        stride = 2 if index or c.flag("downsample_in_first_stage") else 1
        kinds = {"first": resnet_layer(c, before, width, stride), "layer": resnet_layer(c, width, width, 1)}
        order = f"first, {number - 1} layer" if number > 1 else "first"
        parts[f"stage_{index + 1}"] = stack("encoder.stages.{}.layers.{}", kinds, order, width=width)
        before = width
    head: Tree = {}
    if task == "image_classification":
        head = {"pool": mean()} | tree(head=classifier(c, "classifier.{}", before))
        parts = under("resnet.", parts)
    elif task not in ("base", "backbone"):
        refuse(c)
    return document(c, parts | head, width=stem, cache=False, image=image(c))


FAMILIES = {"resnet": resnet}
