"""FastViT (Vasu et al. 2023) and MobileCLIP's image encoders (Vasu et al. 2024, Faghri et al. 2025).

Branches that are added stand side by side in training; for inference (`inference_mode`) each set of them is one convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paramcalc.gate.families.maps import batch_norm, convolution, depthwise
from paramcalc.gate.families.recipes import Tree, stack
from paramcalc.gate.networks.options import Options, Pool
from paramcalc.gate.networks.pieces import classes, convolved, rounded, squeezed, vector

HEAD_DIM = 32
MIXED = 7
"""Side of the kernels of feed-forward networks and of positions, fixed in the reference's code."""


@dataclass(frozen=True, kw_only=True)
class FastViT(Options):
    """`token_mixers` says what mixes a stage's pixels: `repmixer`, a depthwise convolution, or `attention`."""

    model_cls: Literal["FastVit"] = "FastVit"
    layers: tuple[int, ...] = (2, 2, 6, 2)
    embed_dims: tuple[int, ...] = (64, 128, 256, 512)
    mlp_ratios: tuple[float, ...] = (4, 4, 4, 4)
    token_mixers: tuple[Literal["repmixer", "attention"], ...] = ("repmixer", "repmixer", "repmixer", "repmixer")
    downsamples: tuple[bool, ...] = (False, True, True, True)
    se_downsamples: tuple[bool, ...] = (False, False, False, False)
    pos_embs: tuple[Literal["RepConditionalPosEnc(spatial_shape=[7, 7])"] | None, ...] = (None, None, None, None)
    repmixer_kernel_size: int = 3
    down_patch_size: int = 7
    cls_ratio: float = 2.0
    stem_use_scale_branch: bool = True
    norm_layer: Literal["BatchNorm2d", "LayerNorm2d"] = "BatchNorm2d"
    """That of attention; all other norms are batch norms."""
    act_layer: str = "GELU"
    inference_mode: bool = False
    global_pool: Pool = "avg"


def fused(path: str, inputs: int, outputs: int, side: int, groups: int) -> Tree:
    """All branches as one convolution."""
    return {"path": path, "conv": convolution("reparam_conv", inputs, outputs, side, groups=groups if groups > 1 else None)}


def mobile_one(
    o: FastViT,
    path: str,
    inputs: int,
    outputs: int,
    side: int,
    *,
    each: bool = False,
    stride: int = 1,
    scaled: bool = True,
    squeeze: int = 0,
) -> Tree:
    """MobileOne's block (Vasu et al. 2023b): a kernel, a 1×1 kernel where the first is larger, and the input itself, each
    with a batch norm, added."""
    groups = inputs if each else 1
    excited = {"excitation": squeezed("se", outputs, squeeze)} if squeeze else {}
    if o.inference_mode:
        return fused(path, inputs, outputs, side, groups) | excited
    parts: Tree = {"path": path}
    if inputs == outputs and stride == 1:
        parts["identity"] = batch_norm("identity", inputs)
    parts |= convolved("kernel", inputs, outputs, side, groups=groups, stride=stride, paths=("conv_kxk.{}.conv", "conv_kxk.{}.bn"))
    if side > 1 and scaled:
        parts |= convolved("scale", inputs, outputs, 1, groups=groups, stride=stride, paths=("conv_scale.conv", "conv_scale.bn"))
    return parts | excited


def downsampled(o: FastViT, inputs: int, outputs: int, squeeze: bool) -> Tree:
    """A large depthwise kernel (RepLKNet, Ding et al. 2022) of stride 2, which may widen, and a 1×1 block."""
    path = "downsample.proj.{}"
    if o.inference_mode:
        large = fused(path, inputs, outputs, o.down_patch_size, inputs)
    else:
        about = {"groups": inputs, "stride": 2}
        large = {"path": path} | convolved("large", inputs, outputs, o.down_patch_size, **about, paths=("large_conv.conv", "large_conv.bn"))
        large |= convolved("small", inputs, outputs, 3, **about, paths=("small_conv.conv", "small_conv.bn"))
    if squeeze:
        large["excitation"] = squeezed("se", outputs, rounded(outputs * 0.25))
    return {"down": large, "down_mix": mobile_one(o, path, outputs, outputs, 1)}


def feed_forward(width: int, ratio: float) -> Tree:
    """A depthwise convolution, then two 1×1."""
    size = int(width * ratio)
    mixed = convolved("mixed", width, width, MIXED, groups=width, paths=("mlp.conv.conv", "mlp.conv.bn"))
    return mixed | {
        "up": convolution("mlp.fc1", width, size, component="feed_forward"),
        "down": convolution("mlp.fc2", size, width, component="feed_forward"),
    }


def mixing(o: FastViT, width: int, ratio: float) -> Tree:
    """A layer whose pixels mix by a depthwise convolution less the map's own norm."""
    side, path = o.repmixer_kernel_size, "token_mixer"
    if o.inference_mode:
        mixer: Tree = {"mixer": depthwise(f"{path}.reparam_conv", width, side)}
    else:
        mixer = {
            "mixer_norm": batch_norm(f"{path}.norm.identity", width),
            "mixer": mobile_one(o, f"{path}.mixer", width, width, side, each=True),
            "mixer_scale": vector(f"{path}.layer_scale.gamma", width, 1, 1),
        }
    return mixer | feed_forward(width, ratio) | {"scale": vector("layer_scale.gamma", width, 1, 1)}


def attending(o: FastViT, width: int, ratio: float) -> Tree:
    """A layer whose pixels attend to each other."""
    names = {"qkv_proj": "qkv", "o_proj": "proj"}
    about = {"heads": max(1, width // HEAD_DIM), "head_dim": HEAD_DIM, "fused": "qkv", "bias": ["o"], "names": names}
    norm = batch_norm("norm", width) | ({"type": "layer"} if o.norm_layer == "LayerNorm2d" else {})
    first, second = (vector(f"layer_scale_{index}.gamma", width, 1, 1) for index in (1, 2))
    return {"norm": norm, "attention": {"path": "token_mixer"} | about, "scale_1": first, **feed_forward(width, ratio), "scale_2": second}


def network(o: FastViT) -> Tree:
    read, scaled = o.embed_dims[0], o.stem_use_scale_branch
    parts: Tree = {
        "stem_1": mobile_one(o, "stem.{}", o.in_chans, read, 3, stride=2, scaled=scaled),
        "stem_2": mobile_one(o, "stem.{}", read, read, 3, stride=2, each=True, scaled=scaled),
        "stem_3": mobile_one(o, "stem.{}", read, read, 1, scaled=scaled),
    }
    per_stage = zip(o.layers, o.embed_dims, o.token_mixers, o.mlp_ratios, o.downsamples, o.se_downsamples, o.pos_embs, strict=True)
    for index, (number, width, mixer, ratio, falls, squeezes, placed) in enumerate(per_stage):
        group: Tree = {"path": "stages.{}", "width": width}
        if falls or read != width:
            group |= downsampled(o, read, width, squeezes)
        if placed:
            group["positions"] = depthwise("pos_emb.reparam_conv" if o.inference_mode else "pos_emb.pos_enc", width, MIXED)
        layer = (attending if mixer == "attention" else mixing)(o, width, ratio)
        group["blocks"] = stack("blocks.{}", {"layer": layer}, f"{number} layer")
        parts[f"stage_{index + 1}"], read = group, width
    final = int(read * o.cls_ratio)
    parts["final"] = mobile_one(o, "final_conv", read, final, 3, each=True, squeeze=rounded(final / 16, 1))
    return parts | classes(o.num_classes, final)


DEFAULT = FastViT()
