"""The image encoder of Qwen's models since Qwen3-VL: patches of space and time, then squares of patches merged into one."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, layer_norm, plain_activation, stack, tree
from paramcalc.gate.families.vision import pair


def merger(c: Config, path: str, *, after: bool = False) -> Tree:
    """A square of patches side by side, through two dense layers; the norm comes before the patches meet, or `after`."""
    width = c.size("hidden_size")
    merged = width * c.size("spatial_merge_size") ** 2
    return {
        "path": path,
        "norm": layer_norm("norm", size=merged if after else width),
        "linear_1": tree(kind="dense", path="linear_fc1", inputs=merged, outputs=merged, activation="gelu"),
        "linear_2": tree(kind="dense", path="linear_fc2", inputs=merged, outputs=c.size("out_hidden_size")),
    }


def vision(c: Config) -> Tree:
    """Qwen3-VL's encoder (Qwen Team 2025); with `deepstack_visual_indexes`, a merger more for each layer named there."""
    width, heads = c.size("hidden_size"), c.size("num_attention_heads")
    kernel = [c.size("temporal_patch_size"), *pair(c, "patch_size")]
    attend = tree(
        kind="attention",
        path="attn",
        heads=heads,
        head_dim=max(1, width // heads),
        o_inputs=width if width % heads else None,
        fused="qkv",
        bias=True,
        rotary=True,
        names={"qkv_proj": "qkv", "o_proj": "proj"},
    )
    feed = tree(
        kind="feed_forward",
        path="mlp",
        size=c.size("intermediate_size"),
        gated=False,
        bias=True,
        activation=plain_activation(c, "hidden_act", "gelu_pytorch_tanh"),
        names={"up_proj": "linear_fc1", "down_proj": "linear_fc2"},
    )
    layer = {"norm_1": layer_norm("norm1"), "attention": attend, "norm_2": layer_norm("norm2"), "feed_forward": feed, "flow": PRE_NORM}
    parts = {
        "patches": tree(
            kind="convolution",
            path="patch_embed.proj",
            inputs=c.size("in_channels"),
            kernel=kernel,
            stride=kernel,
            component="embedding",
        ),
        "position": tree(rows=c.size("num_position_embeddings"), path="pos_embed"),
        "layers": stack("blocks.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "merger": merger(c, "merger"),
    }
    if stacked := c.listed("deepstack_visual_indexes"):
        parts["deepstack"] = merger(c, "deepstack_merger_list.{}", after=True) | {"repeat": len(stacked)}
    return document(c, parts)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "qwen3_5_vision": vision,
    "qwen3_5_moe_vision": vision,
    "qwen4_exp_vision": vision,
}
