"""CLIP's kin that group patches (GroupViT) or watch videos (X-CLIP)."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.clip import text_encoder, vision_encoder
from paramcalc.gate.families.dual import both, dense, pair
from paramcalc.gate.families.pyramid import stages
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, layer_norm, plain_activation, stack, tree
from paramcalc.gate.families.vision import CLIP, attention, encoder_layer, feed_forward, patch_embedding, patches, refuse, token

CHANNELS = 4
"""The prompt generator's inner width as a multiple of its own, fixed in the reference's code."""


def network(c: Config, path: str, inputs: int, inner: int, outputs: int) -> Tree:
    """Two dense layers, which may mix tokens instead of channels."""
    return {"path": path, "fc1": dense("fc1", inputs, inner, activation=plain_activation(c)), "fc2": dense("fc2", inner, outputs)}


def assignment(c: Config, groups: int, kept: int, inner: tuple[int, int]) -> Tree:
    """Each patch goes to the group token that it is most like, and the tokens become the patches of the next stage."""
    width = c.size("hidden_size")
    return {
        "path": "downsample",
        "norm_tokens": layer_norm("norm_tokens"),
        "mix_tokens": network(c, "mlp_inter", groups, inner[0], kept),
        "norm_mixed": layer_norm("norm_post_tokens"),
        "norm_patches": layer_norm("norm_x"),
        "look": {
            "path": "pre_assign_attn",
            "attention": attention(c, CLIP, path="attn", source=width),
            "norm_1": layer_norm("norm2"),
            "feed_forward": feed_forward(c, CLIP),
            "norm_2": layer_norm("norm_post"),
            "flow": ["attention +", "norm_1 feed_forward + norm_2"],
        },
        "assign": attention(c, CLIP, path="assign", heads=1, head_dim=width, source=width, names={"o_proj": "proj"}),
        "norm_new": layer_norm("norm_new_x"),
        "channels": network(c, "mlp_channels", width, inner[1], width),
    }


def grouping(c: Config) -> Tree:
    """GroupViT's image encoder: learned tokens in each stage that patches are grouped under."""
    width, before = c.size("hidden_size"), 0
    ratios = c.value("assign_mlp_ratio")
    both_ratios = ratios if isinstance(ratios, list | tuple) else [ratios, ratios]
    if len(both_ratios) != 2 or not all(isinstance(ratio, int | float) and ratio * width >= 1 for ratio in both_ratios):
        c.fail("assign_mlp_ratio", f"expected a ratio for tokens and one for channels, got {ratios!r:.60}")
        both_ratios = [1, 1]
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "position": {"rows": max(1, patches(c)), "bare": True, "path": "embeddings.position_embeddings"},
        "embedding_norm": layer_norm("embeddings.layernorm"),
    }
    layer = encoder_layer(CLIP, attention(c, CLIP), feed_forward(c, CLIP))
    for index, (number, groups, kept) in enumerate(stages(c, "depths", "num_group_tokens", "num_output_groups"), 1):
        stage: Tree = {"path": "encoder.stages.{}"}
        if groups:
            stage["group_tokens"] = token("group_token", 1, groups, width)
        if before and groups:
            stage["project_norm"] = layer_norm("group_projector.{}")
            stage["project"] = network(c, "group_projector.{}", before, max(1, width // 2), groups)
        if number:
            stage["layers"] = stack("layers.{}", {"layer": layer}, f"{number} layer")
        if groups:
            stage["group"] = assignment(c, groups, max(1, kept), (int(both_ratios[0] * width), int(both_ratios[1] * width)))
        parts[f"stage_{index}"] = stage
        before = kept
    parts["norm"] = layer_norm("layernorm")
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=max(1, patches(c)), cache=False)


def two_layers(text: Config, vision: Config, size: int, *, inner: int) -> Tree:
    """GroupViT's ways into the shared space: two dense layers with a batch norm between them, on each side."""
    parts: Tree = {}
    for name, side in (("visual", vision), ("text", text)):
        parts[f"{name}_projection"] = {
            "path": f"{name}_projection.{{}}",
            "linear_1": dense("", side.size("hidden_size"), inner),
            "norm": {"kind": "norm", "type": "batch", "path": "", "size": inner},
            "linear_2": dense("", inner, size),
        }
    return parts


def groupvit(c: Config) -> Tree:
    """GroupViT (Xu et al. 2022): segments learned from text alone."""
    return pair(c, partial(two_layers, inner=c.size("projection_intermediate_dim")))


def across(c: Config) -> Tree:
    """X-CLIP's image encoder: CLIP's, whose layers first exchange one message a frame."""
    made = vision_encoder(c, before="pre_layernorm")
    layers = made["parts"]["layers"]
    layer = layers["kinds"]["layer"]
    message = {
        "message": {
            "path": "",
            "linear": dense("message_fc", c.size("hidden_size"), c.size("hidden_size")),
            "norm": layer_norm("message_ln"),
            "attention": attention(c, CLIP, path="message_attn"),
            "flow": ["linear", "norm attention +"],
        }
    }
    layers["kinds"]["layer"] = message | layer | {"flow": ["message", *PRE_NORM]}
    return made


def over_time(c: Config, size: int) -> Tree:
    """The layers over frames, the prompts made from them for each text, and the projection of patches for these."""
    vision = c.part("vision_config")
    inner, frames = vision.size("mit_hidden_size"), vision.size("num_frames")
    heads, number = vision.size("mit_num_attention_heads"), c.size("prompt_num_attention_heads")
    block = encoder_layer(
        CLIP,
        attention(vision, CLIP, heads=heads, head_dim=max(1, inner // heads)),
        feed_forward(vision, CLIP, size=vision.size("mit_intermediate_size")),
    )
    names = {"o_proj": "proj"}
    prompt = {
        "norm_1": layer_norm("norm1"),
        "attention": tree(path="cross_attn", heads=number, head_dim=max(1, size // number), source=size, bias=["o"], names=names),
        "norm_2": layer_norm("norm3"),
        "feed_forward": {
            "path": "", "size": CHANNELS * size, "gated": False, "bias": True, "activation": c.text("prompt_hidden_act", "quick_gelu"),
            "names": {"up_proj": "mlp.{}", "down_proj": "mlp.{}"},
        },
        "flow": PRE_NORM,
    }  # fmt: skip
    return {
        "prompt_norm": layer_norm("prompts_visual_layernorm", size=vision.size("hidden_size")),
        "prompt_projection": token("prompts_visual_projection", vision.size("hidden_size"), size) | {"component": "projection"},
        "frames": {
            "path": "mit",
            "tower": "vision",
            "width": inner,
            "tokens": frames,
            "cache": False,
            "position": {"rows": frames, "bare": True, "path": "position_embedding"},
            "layers": stack("encoder.layers.{}", {"layer": block}, f"{vision.size('mit_num_hidden_layers')} layer"),
        },
        "prompts": {
            "path": "prompts_generator",
            "width": size,
            "cache": False,
            "norm": layer_norm("layernorm"),
            "layers": stack("decoder.{}", {"layer": prompt}, f"{c.size('prompt_layers')} layer"),
            "scale": token("alpha", size),
        },
    }


def xclip(c: Config) -> Tree:
    """X-CLIP (Ni et al. 2022): CLIP for videos, with prompts that a video writes for each text."""
    made = pair(c, both)
    if "Text" in c.architecture() or "Vision" in c.architecture():
        return made
    return made | {"parts": made["parts"] | over_time(c, c.size("projection_dim"))}


FAMILIES = {
    "groupvit": groupvit,
    "groupvit_text_model": text_encoder,
    "groupvit_vision_model": grouping,
    "xclip": xclip,
    "xclip_text_model": text_encoder,
    "xclip_vision_model": across,
}
