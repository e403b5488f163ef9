"""Models of images and text with language models and encoders of their own: the Muse models, PP-FormulaNet; and pi0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import Style, before, half, own_table
from paramcalc.gate.families.composite import dense, image_text, projector
from paramcalc.gate.families.hearing import heard
from paramcalc.gate.families.llama import GEMMA, PLAIN, Layout, attention, decoder
from paramcalc.gate.families.mixtures import mixture, sparse_after
from paramcalc.gate.families.nesting import beneath, nested, told
from paramcalc.gate.families.pyramid import stages
from paramcalc.gate.families.recipes import Tree, depth, document, layer_norm, plain_activation, rms, stack, under, windows
from paramcalc.gate.families.towers import sam_parts
from paramcalc.gate.families.vision import Words, encoder_layer, refuse, token
from paramcalc.gate.families.vision import attention as encoder_attention
from paramcalc.gate.families.vision import feed_forward as encoder_feed_forward

GLIMMER = Words("norm1", "attn", "norm2", "mlp", o="proj")
COLOURS = 3  # of a pixel, fixed in Muse Glimmer's code


def glimmer_text(c: Config) -> Tree:
    """Muse Glimmer's language model (Meta 2026): norms as in Gemma 2, an output gate, norms without gains on queries and
    keys, every fourth layer, counted from the last, without a window."""
    last = depth(c) - 1

    def sees(c: Config) -> list[str]:
        return windows(c, lambda index: (last - index) % 4 != 0)

    feed = partial(PLAIN, activation=c.text("hidden_activation", "silu"))
    return decoder(c, attend=partial(attention, gate_proj="full"), feed=feed, sees=sees, layout=GEMMA)


def glimmer_vision(c: Config) -> Tree:
    """Its image encoder: patches of a few frames as rows of numbers, a grid of positions beside the rotary ones."""
    width = c.size("hidden_size")
    inputs = COLOURS * c.size("patch_temporal") * c.size("patch_size") ** 2
    rows = c.size("pos_emb_height") * c.size("pos_emb_width")
    attend = encoder_attention(c, GLIMMER, rotary=True)
    parts = {
        "patches": dense("patch_embedder.patch_embedding", inputs, width, False) | {"component": "embedding"},
        "position": {"rows": rows, "path": "patch_embedder.position_embedding_table"},
        "embedding_norm": layer_norm("ln_pre"),
        "layers": stack(
            "layers.{}", {"layer": encoder_layer(GLIMMER, attend, encoder_feed_forward(c, GLIMMER))}, f"{c.size('num_hidden_layers')} layer"
        ),
        "norm": layer_norm("ln_post"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def adapter(c: Config, _: int, width: int) -> Tree:
    """Muse Glimmer's bridge: two layers on a square of patches, and one into the text's width."""
    inner = c.size("projector_hidden_size")
    return {
        "linear_1": dense("vision_adapter.fc1", c.size("out_hidden_size"), inner, False),
        "linear_2": dense("vision_adapter.fc2", inner, inner, False),
        "linear_3": dense("vision_projection", inner, width, False),
    }


def spark_text(c: Config) -> Tree:
    """Muse Spark's language model (Meta 2026): Muse Glimmer's attention, experts on a narrower latent, and gates that mix
    each block's output with the stream."""
    last, width, latent = depth(c) - 1, c.size("hidden_size"), c.size("moe_hidden_size")

    def layout(network: str) -> Layout:
        inner = "latent_in latent_norm feed_forward expert_norm latent_out" if network == "sparse" else "feed_forward"
        return Layout(GEMMA.norms, ["norm_1 attention norm_2 gate_1 +", f"norm_3 {inner} norm_4 gate_2 +"])

    def beside(_: Config, __: str, network: str) -> Tree:
        gates = {
            "gate_1": token("post_attention_residual_gate.gate", width),
            "gate_2": token("post_feedforward_residual_gate.gate", width),
        }
        if network == "dense":
            return gates
        around = {
            "latent_in": dense("mlp.pre_expert_proj", width, latent, False) | {"component": "experts"},
            "latent_norm": rms("mlp.pre_expert_norm", size=latent),
            "expert_norm": rms("mlp.experts.post_expert_norm", size=latent),
            "latent_out": dense("mlp.post_expert_proj", latent, width, False) | {"component": "experts"},
        }
        return around | gates

    def norm(path: str) -> Tree:
        return rms(path, scale=False) if path == GEMMA.norms[1] else rms(path)

    return decoder(
        c,
        attend=partial(attention, gate_proj="full"),
        feed=PLAIN,
        experts=partial(mixture, inputs=latent),
        feeds=partial(sparse_after, 0, words="mlp_layer_types"),
        sees=lambda c: windows(c, lambda index: (last - index) % 4 != 0),
        layout=layout,
        norm=norm,
        beside=beside,
    )


def spark_audio(c: Config) -> Tree:
    """Its audio encoder: from the wave itself, in stages of dense patches and blocks of a depthwise convolution and a
    feed-forward network."""
    side, ratio, read = c.size("conv_kernel_size"), c.number("mlp_ratio", 4.0), 1
    shape = stages(c, "hidden_sizes", "patch_sizes", "depths")
    if shape and len(shape) != c.size("num_hidden_layers"):
        c.fail("num_hidden_layers", f"({c.size('num_hidden_layers')}) is not the number of stages ({len(shape)})")
    parts: Tree = {}
    for index, (width, patch, number) in enumerate(shape, 1):
        size, names = max(1, int(width * ratio)), {"up_proj": "fc1", "down_proj": "fc2"}
        block = {
            "convolution": {"kind": "convolution", "path": "conv", "kernel": side, "groups": width},
            "norm": rms("norm"),
            "feed_forward": {"path": "mlp", "size": size, "gated": False, "bias": True, "activation": plain_activation(c), "names": names},
            "flow": ["convolution norm feed_forward +"],
        }
        patches = dense("patch_embedder.proj", read * patch, width)
        stage = {"path": "layers.{}", "width": width, "patches": patches, "norm": rms("patch_embedder.norm")}
        if number:
            stage["blocks"] = stack("conv_blocks.{}", {"layer": block}, f"{number} layer")
        parts[f"stage_{index}"], read = stage, width
    outputs = c.size("out_hidden_size")
    parts |= {"norm": rms("norm", size=read), "output": dense("proj", read, outputs), "output_norm": rms("post_proj_norm", size=outputs)}
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, width=read, cache=False)


def pi0(c: Config) -> Tree:
    """pi0 (Black et al. 2024): PaliGemma, a second Gemma that moves noise to actions, and dense layers around it."""
    sees, acts, task = c.part("vlm_config"), c.part("dit_config"), c.task("generation")
    words = sees.part("text_config")
    told(acts, vocab_size=words.size("vocab_size"))
    parts = nested(acts, "actions", "dit") | nested(sees, "text", "vlm")
    if task == "base":
        return document(c, parts, width=words.size("hidden_size"))
    if task != "generation":
        refuse(c)
    width = acts.size("hidden_size")
    around = {
        "action_in": dense("action_in_proj", c.size("max_action_dim"), width),
        "state": dense("state_proj", c.size("max_state_dim"), width),
        "time_1": dense("action_time_mlp_in", 2 * width, width),
        "time_2": dense("action_time_mlp_out", width, width),
    }
    parts = beneath("model", parts) | under("embed_action_time.", around)
    parts["action_out"] = dense("action_out_proj", width, c.size("max_action_dim"))
    return document(c, parts, width=words.size("hidden_size"))


def pp_formulanet(c: Config) -> Tree:
    """PP-FormulaNet (Liu et al. 2025): SAM's encoder with convolutions at its end, and mBART's decoder, never tied."""
    words, pictures, task = c.part("text_config"), c.part("vision_config"), c.task("generation")
    style = Style(pre_norm=True, offset=2)
    middle, last = pictures.size("post_conv_mid_channels"), pictures.size("post_conv_out_channels")
    step = {"kind": "convolution", "kernel": [3, 3], "stride": [2, 2], "bias": False}
    bridge = {
        "convolution_1": step | {"path": "conv1", "inputs": pictures.size("post_conv_in_channels"), "outputs": middle},
        "convolution_2": step | {"path": "conv2", "inputs": middle, "outputs": last},
        "linear_1": dense("linear_1", last, last),
        "linear_2": dense("linear_2", last, pictures.size("decoder_hidden_size")),
    }
    encoder: Tree = {"path": "encoder", "width": pictures.size("hidden_size"), "tower": "vision", "cache": False}
    parts = {
        "vision": encoder | sam_parts(pictures),
        "projector": projector("encoder.multi_modal_projector", bridge),
        "decoder": half(words, style, "decoder", before(words, style, own_table(words)), cross="read"),
    }
    if task not in ("base", "generation"):
        refuse(c)
    parts = parts if task == "base" else under("model.", parts)
    top = {} if task == "base" else {"head": {"kind": "head", "path": "lm_head", "outputs": words.size("vocab_size")}}
    return document(c, parts | top, width=words.size("hidden_size"), context=words.optional("max_position_embeddings"))


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "muse_glimmer": partial(image_text, bridge=adapter, bridge_path=""),
    "muse_glimmer_text": glimmer_text,
    "muse_glimmer_vision": glimmer_vision,
    "muse_spark": partial(image_text, bridge=adapter, bridge_path="", beside=heard),
    "muse_spark_audio": spark_audio,
    "muse_spark_text": spark_text,
    "muse_spark_vision": glimmer_vision,
    "pi0": pi0,
    "pp_formulanet": pp_formulanet,
}
