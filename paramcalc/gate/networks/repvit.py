"""RepViT (Wang et al. 2024), a MobileNetV3 laid out as a vision transformer; EdgeTAM's backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paramcalc.gate.families.maps import batch_norm, convolution
from paramcalc.gate.families.recipes import Tree
from paramcalc.gate.networks.options import Options, Pool
from paramcalc.gate.networks.pieces import classes, convolved, rounded, squeezed
from paramcalc.model.order import order_of


@dataclass(frozen=True, kw_only=True)
class RepViT(Options):
    model_cls: Literal["RepVit"] = "RepVit"
    embed_dim: tuple[int, ...] = (48,)
    depth: tuple[int, ...] = (2,)
    mlp_ratio: int | tuple[int, ...] = 2
    kernel_size: int = 3
    distillation: bool = True
    """Whether there is a second head that listens to a teacher."""
    legacy: bool = False
    """Whether the 1×1 branch has a norm of its own, and not a bias and a norm of the sum."""
    act_layer: str = "GELU"
    img_size: int | tuple[int, int] = 224
    global_pool: Pool = "avg"


def step(name: str, path: str, read: int, made: int, side: int = 1, *, groups: int = 1, stride: int = 1) -> Tree:
    return convolved(name, read, made, side, groups=groups, stride=stride, paths=(f"{path}.c", f"{path}.bn"))


def network_of(name: str, path: str, width: int, ratio: int) -> Tree:
    return step(f"{name}_up", f"{path}.conv1", width, width * ratio) | step(f"{name}_down", f"{path}.conv2", width * ratio, width)


def block(o: RepViT, width: int, ratio: int, excites: bool) -> Tree:
    """Two depthwise branches and the input, added; then a feed-forward network of 1×1 convolutions."""
    parts = step("large", "token_mixer.conv", width, width, o.kernel_size, groups=width)
    if o.legacy:
        parts |= step("point", "token_mixer.conv1", width, width, groups=width)
    else:
        parts["point"] = convolution("token_mixer.conv1", width, width, groups=width)
        parts["sum_norm"] = batch_norm("token_mixer.bn", width)
    parts |= {"excitation": squeezed("se", width, rounded(width * 0.25))} if excites else {}
    return parts | network_of("mix", "channel_mixer", width, ratio)


def network(o: RepViT) -> Tree:
    first = o.embed_dim[0]
    parts = step("stem_1", "stem.conv1", o.in_chans, first // 2, 3, stride=2) | step("stem_2", "stem.conv2", first // 2, first, 3, stride=2)
    ratios = o.mlp_ratio if isinstance(o.mlp_ratio, tuple) else (o.mlp_ratio,) * len(o.embed_dim)
    read = first
    for index, (width, number, ratio) in enumerate(zip(o.embed_dim, o.depth, ratios, strict=True)):
        group: Tree = {"path": "stages.{}", "width": width}
        if index:
            down: Tree = {"path": "downsample", "before": {"path": "pre_block", **block(o, read, ratio, False)}}
            down |= step("space", "spatial_downsample", read, read, o.kernel_size, groups=read, stride=2)
            group["down"] = down | step("widen", "channel_downsample", read, width) | network_of("mix", "ffn", width, ratio)
        kinds = {"excited": block(o, width, ratio, True), "plain": block(o, width, ratio, False)}
        order = ["excited", "plain"] * (number // 2) + ["excited"] * (number % 2)
        used = {name: kind for name, kind in kinds.items() if name in order}
        group["blocks"] = {"path": "blocks.{}", "kinds": used, "order": order_of(order)}
        parts[f"stage_{index + 1}"], read = group, width
    for name in ("head", "head_dist")[: 1 + o.distillation] if o.num_classes else ():
        parts[f"{name}_norm"] = batch_norm(f"head.{name}.bn", read)
        parts[name] = classes(o.num_classes, read, f"head.{name}.l")["head"]
    return parts


DEFAULT = RepViT()
