"""SAM 2 (Ravi et al. 2024): a hierarchical image encoder (Hiera, Ryali et al. 2023) with SAM's prompts and masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.maps import convolution
from paramcalc.gate.families.nesting import tower, whole
from paramcalc.gate.families.promptable import DEPTH, attention, decoder, network, prompts
from paramcalc.gate.families.recipes import Tree, document, layer_norm, plain_activation
from paramcalc.gate.families.vision import refuse, token
from paramcalc.model.order import order_of

STAGES = {
    "blocks_per_stage": [1, 2, 7, 2],
    "embed_dim_per_stage": [96, 192, 384, 768],
    "num_attention_heads_per_stage": [1, 2, 4, 8],
    "window_size_per_stage": [8, 4, 14, 7],
}
"""Of Hiera-T, where the config is silent (Sam2HieraDetConfig)."""
CHANNELS = [768, 384, 192, 96]
SIDES = {"patch_kernel_size": [7, 7], "patch_stride": [4, 4], "window_positional_embedding_background_size": [7, 7]}
MOST_BLOCKS = 1_000


class Stage(NamedTuple):
    blocks: int
    width: int
    heads: int
    window: int


def listed(c: Config, key: str, silent: list[int]) -> list[int]:
    return c.sizes(key, least=1) or silent


def stages(c: Config) -> list[Stage]:
    lists = [listed(c, key, silent) for key, silent in STAGES.items()]
    if len({len(one) for one in lists}) > 1 or sum(lists[0]) > MOST_BLOCKS:
        c.fail("blocks_per_stage", f"expected lists of one length, and {MOST_BLOCKS:,} blocks at most")
        return [Stage(1, 1, 1, 1)]
    return [Stage(*row) for row in zip(*lists, strict=True)]


def block(c: Config, read: int, stage: Stage) -> Tree:
    """Pre-norm attention that may widen, with a projection of what came in, and a feed-forward network."""
    width, heads = stage.width, stage.heads
    if width % heads:
        c.fail("num_attention_heads_per_stage", f"({heads}) does not divide a stage's width ({width})")
    names = {"qkv_proj": "qkv", "o_proj": "proj"}
    attend = {"path": "attn", "heads": heads, "head_dim": max(1, width // heads), "fused": "qkv", "bias": True, "names": names}
    feed = {"path": "mlp", "size": int(width * c.number("mlp_ratio", 4.0)), "gated": False, "bias": True}
    made: Tree = {
        "kind": "group",
        "width": width,
        "norm_1": layer_norm("layer_norm1", size=read),
        "attention": attend | {"inputs": read},
        "norm_2": layer_norm("layer_norm2"),
        "feed_forward": feed | {"activation": plain_activation(c), "names": {"up_proj": "proj_in", "down_proj": "proj_out"}},
    }
    return made | ({"widen": dense("proj", read, width)} if read != width else {})


def hiera(c: Config) -> Tree:
    first, found = c.size("hidden_size"), stages(c)
    sides = {key: (c.sizes(key, least=1) or silent)[:2] for key, silent in SIDES.items()}
    patches = convolution("patch_embed.projection", c.size("num_channels"), first, sides["patch_kernel_size"], component="embedding")
    window = found[0].window
    parts: Tree = {"patches": patches | {"stride": sides["patch_stride"]}}
    place = {"component": "position_embedding"}
    parts["position"] = token("pos_embed", 1, first, *sides["window_positional_embedding_background_size"]) | place
    parts["window_position"] = token("pos_embed_window", 1, first, window, window) | place
    kinds: Tree = {}
    order, read = [], found[0].width
    for index, stage in enumerate(found, 1):
        kinds |= {f"first_{index}": block(c, read, stage), f"layer_{index}": block(c, stage.width, stage)}
        order += [f"first_{index}", *[f"layer_{index}"] * (stage.blocks - 1)]
        read = stage.width
    used = {name: kind for name, kind in kinds.items() if name in order}
    parts["blocks"] = {"path": "blocks.{}", "kinds": used, "order": order_of(order)}
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, width=first, cache=False)


def vision(c: Config) -> Tree:
    """The encoder, and a pyramid whose every map has one width."""
    width, side = c.size("fpn_hidden_size"), c.size("fpn_kernel_size")
    parts = tower(c.part("backbone_config"), "backbone", "backbone", tower="")
    for index, read in enumerate(listed(c, "backbone_channel_list", CHANNELS), 1):
        parts[f"neck_{index}"] = convolution("neck.convs.{}", read, width, side)
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, width=width, cache=False)


def renamed(content: object) -> object:
    """SAM's decoder under SAM 2's names."""
    if not isinstance(content, dict):
        return content
    if content.get("names") == {"o_proj": "out_proj"}:
        content = {key: value for key, value in content.items() if key != "names"}
    elif content.get("names") == {"up_proj": "lin1", "down_proj": "lin2"}:
        content = content | {"names": {"up_proj": "proj_in", "down_proj": "proj_out"}}
    return {key: renamed(value) for key, value in content.items()}


def masks(c: Config) -> Tree:
    """SAM's decoder, with early maps beside its own, and a token that says whether the object is there at all."""
    width, rate = c.size("hidden_size"), c.size("attention_downsample_rate")
    made = decoder(c, fine=False)
    layer = made["layers"]["kinds"]["layer"]
    for name, path in (("cross_attention", "cross_attn_token_to_image"), ("back_attention", "cross_attn_image_to_token")):
        layer[name] = attention(c, path, rate)
    if (deep := c.size("num_hidden_layers") - 2) > 0:  # the reference gives its networks as many layers as there are blocks
        size = c.size("mlp_dim")
        layer["inner"] = {"path": "mlp.layers.{}", "repeat": deep, "linear": dense("", size, size, component="feed_forward")}
    found = renamed(made)
    assert isinstance(found, dict)
    return found | {
        "early_1": convolution("conv_s0", width, max(1, width // 8)),
        "early_2": convolution("conv_s1", width, max(1, width // 4)),
        "presence_token": {"kind": "embedding", "vocabulary": 1, "path": "obj_score_token"},
        "presence": network("pred_obj_score_head", width, width, 1, DEPTH),
    }


def segment(c: Config) -> Tree:
    part = c.part("vision_config")
    if c.architecture().endswith("VisionModel"):
        return whole(part) | {"model_type": c.model_type}
    if c.task("base") not in ("base", "mask_generation"):
        refuse(c)
    width = part.size("fpn_hidden_size")
    given = prompts(c.part("prompt_encoder_config"))
    number = given["points"].pop("stored")
    given["points"] |= {"path": "point_embed", "vocabulary": number}
    parts: Tree = {"no_memory": token("no_memory_embedding", 1, 1, width)} | tower(part, "vision", "vision_encoder")
    parts |= {"prompts": given, "decoder": masks(c.part("mask_decoder_config"))}
    return document(c, parts, width=width, cache=False)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"sam2": segment, "sam2_hiera_det_model": hiera, "sam2_vision_model": vision}
