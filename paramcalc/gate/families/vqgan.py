"""Models that read, or make, images as tokens of a codebook: Chameleon, Emu3, Janus, with their VQGAN (Esser et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense, image_text
from paramcalc.gate.families.llama import attention, decoder, feed_forward, plain
from paramcalc.gate.families.nesting import nested
from paramcalc.gate.families.recipes import Tree, document, layer_norm, stack, tree
from paramcalc.gate.families.vision import CLIP, encoder_layer, patch_embedding, patches, refuse
from paramcalc.gate.families.vision import attention as plain_attention
from paramcalc.gate.families.vision import feed_forward as plain_feed_forward

MOST_LEVELS = 16
JANUS = CLIP._replace(o="projection_layer")


class Style(NamedTuple):
    """How a codec's convolutions are called, and where it attends."""

    down: str = "down.{}"
    up: str = "up.{}"
    middle: str = "mid"
    linear: bool = False
    """Whether its attention is made of dense layers with a norm beside them, and not of convolutions."""
    attends: Callable[[Config, int, int], bool] = lambda c, level, levels: False  # noqa: ARG005
    """Whether a level attends."""
    middle_attends: Callable[[Config], bool] = lambda _: True


def convolution(path: str, inputs: int, outputs: int, *kernel: int, stride: int = 1) -> Tree:
    sides = list(kernel) if len(kernel) > 1 else [kernel[0], kernel[0]]
    return tree(kind="convolution", path=path, inputs=inputs, outputs=outputs, kernel=sides, stride=[stride] * 2 if stride > 1 else None)


def group_norm(path: str, width: int) -> Tree:
    return {"kind": "norm", "type": "group", "path": path, "size": width}


def norm(name: str, path: str, width: int, codes: int | None) -> Tree:
    """A group norm; in Emu3's decoder one whose gain and bias are made from the `codes` (Zheng et al. 2022)."""
    if codes is None:
        return {name: group_norm(path, width)}
    made = {f"{name}_{part}": convolution(f"{path}.conv_{part}", codes, width, 1) for part in ("y", "b")}
    return {name: group_norm(f"{path}.norm_layer", width)} | made


def residual(path: str, inputs: int, outputs: int, codes: int | None = None) -> Tree:
    """Two 3×3 convolutions behind norms, and a 1×1 past them where the width changes."""
    parts: Tree = {"path": path} | norm("norm_1", "norm1", inputs, codes) | {"convolution_1": convolution("conv1", inputs, outputs, 3)}
    parts |= norm("norm_2", "norm2", outputs, codes) | {"convolution_2": convolution("conv2", outputs, outputs, 3)}
    if inputs != outputs:
        parts["shortcut"] = convolution("nin_shortcut", inputs, outputs, 1)
    return parts


def attending(c: Config, style: Style, path: str, norm_path: str, width: int, codes: int | None = None) -> Tree:
    """Attention over a map."""
    if style.linear:
        inner, heads = c.size("hidden_size"), c.size("num_attention_heads")
        one = {"kind": "attention", "path": path, "inputs": inner, "outputs": inner, "heads": heads, "head_dim": max(1, inner // heads)}
        one |= {"bias": True, "names": {"o_proj": "out_proj"}}
        return norm("attention_norm", norm_path, width, codes) | {"attention": one}
    names = ("q", "k", "v", "proj_out")
    maps = {f"attention_{name}": convolution(f"{path}.{name}", width, width, 1) | {"component": "attention"} for name in names}
    return {"attention_norm": group_norm(f"{path}.norm", width)} | maps


def middle(c: Config, style: Style, width: int, codes: int | None = None) -> Tree:
    parts: Tree = {"path": style.middle, "block_1": residual("block_1", width, width, codes)}
    if style.middle_attends(c):
        parts |= attending(c, style, "attn_1", "attn_norm", width, codes)
    return parts | {"block_2": residual("block_2", width, width, codes)}


def widths(c: Config) -> list[int]:
    """The width of each level, from the finest to the coarsest."""
    multipliers = c.sizes("channel_multiplier", least=1)
    if not 1 <= len(multipliers) <= MOST_LEVELS:
        c.fail("channel_multiplier", f"expected 1 to {MOST_LEVELS} numbers, got {len(multipliers)}")
        return [1]
    return [c.size("base_channels") * multiplier for multiplier in multipliers]


def level(c: Config, style: Style, path: str, read: int, width: int, number: int, *, attend: bool, codes: int | None = None) -> Tree:
    """Residual blocks of one level, each followed by attention where the level attends."""
    kinds: Tree = {
        "first": {"block": residual("block.{}", read, width, codes)},
        "layer": {"block": residual("block.{}", width, width, codes)},
    }
    if attend:
        for kind in kinds.values():
            kind |= attending(c, style, "attn.{}", "attn_norms.{}", width, codes)
    order = f"first, {number - 1} layer" if number > 1 else "first"
    return {"path": path, "blocks": stack("", kinds, order)}


def encoder(c: Config, style: Style, path: str = "encoder") -> Tree:
    sizes, number = widths(c), c.size("num_res_blocks")
    latent = c.size("latent_channels") * (2 if c.flag("double_latent") else 1)
    parts: Tree = {"path": path, "in": convolution("conv_in", c.size("in_channels"), c.size("base_channels"), 3)}
    parts = {"path": path, "stem": parts["in"]}
    read = c.size("base_channels")
    for index, width in enumerate(sizes):
        one = level(c, style, style.down, read, width, number, attend=style.attends(c, index, len(sizes)))
        if index + 1 < len(sizes):
            one["downsample"] = convolution("downsample.conv", width, width, 3, stride=2)
        parts[f"level_{index + 1}"] = one
        read = width
    parts |= {"middle": middle(c, style, read), "norm": group_norm("norm_out", read), "last": convolution("conv_out", read, latent, 3)}
    return parts


def decoding(c: Config, style: Style, path: str = "decoder", codes: int | None = None) -> Tree:
    sizes, number = widths(c), c.size("num_res_blocks") + 1
    read = sizes[-1]
    parts: Tree = {
        "path": path,
        "stem": convolution("conv_in", c.size("latent_channels"), read, 3),
        "middle": middle(c, style, read, codes),
    }
    for index in reversed(range(len(sizes))):
        width = sizes[index]
        one = level(c, style, style.up, read, width, number, attend=style.attends(c, index, len(sizes)), codes=codes)
        if index:
            one["upsample"] = convolution("upsample.conv", width, width, 3)
        parts[f"level_{index + 1}"] = one
        read = width
    return parts | norm("norm", "norm_out", read, codes) | {"last": convolution("conv_out", read, c.size("out_channels"), 3)}


def codec(c: Config, parts: Tree, *, codebook: str = "num_embeddings") -> Tree:
    """Encoder, codebook, decoder if there is one, and the convolutions around the codebook."""
    table = {"vocabulary": c.size(codebook), "size": c.size("embed_dim"), "path": "quantize.embedding"}
    if c.task("base") != "base":
        refuse(c)
    return document(c, {**parts, "embedding": table}, width=c.size("base_channels"), cache=False)


def around(c: Config, *kernel: int, inner: str = "") -> Tree:
    latent, code = c.size("latent_channels"), c.size("embed_dim")
    return {
        "before_codes": convolution(f"quant_conv{inner}", latent, code, *kernel),
        "after_codes": convolution(f"post_quant_conv{inner}", code, latent, *kernel),
    }


def chameleon_attends(c: Config, index: int, _: int) -> bool:
    """By the side of the map at this level."""
    return c.size("resolution") >> index in c.sizes("attn_resolutions") and c.text("attn_type", "vanilla") == "vanilla"


CHAMELEON = Style(attends=chameleon_attends, middle_attends=lambda c: c.text("attn_type", "vanilla") == "vanilla")
JANUS_CODES = Style(attends=lambda _, index, levels: index == levels - 1)
EMU3 = Style("down_block.down.{}", "up_block.up.{}", "middle_block", True, lambda c, index, _: index in c.sizes("attn_resolutions"))


def chameleon_vqgan(c: Config) -> Tree:
    return codec(c, {"encoder": encoder(c, CHAMELEON)} | around(c, 1))


def janus_vqgan(c: Config) -> Tree:
    return codec(c, {"encoder": encoder(c, JANUS_CODES), "decoder": decoding(c, JANUS_CODES)} | around(c, 1))


def in_time(c: Config, width: int, kernel: int) -> Tree:
    """Emu3's convolutions over space and time, and residual blocks of them with batch norms."""
    factor = c.size("temporal_downsample_factor")
    steps = factor.bit_length() - 1  # the reference takes the whole part of its logarithm
    block: Tree = {}
    for index in (1, 2):
        block[f"norm_{index}"] = {"kind": "norm", "type": "batch", "path": f"norm{index}", "size": width}
        block[f"convolution_{index}"] = convolution(f"conv{index}.conv", width, width, 3, 3, 3)
    resampled = {"convolution": convolution("conv.conv", width, width, kernel, 3, 3)}
    parts = {"time_blocks": stack("time_res_stack.{}", {"layer": block}, f"{c.size('num_res_blocks')} layer")}
    return parts | ({"time_steps": stack("time_conv.{}", {"layer": resampled}, f"{steps} layer")} if steps else {})


def emu3_vqgan(c: Config) -> Tree:
    """Emu3's codec of images and video (Wang et al. 2024)."""
    latent, codes = c.size("latent_channels"), c.size("embed_dim")
    made = latent * (2 if c.flag("double_latent") else 1)
    halves = {
        "encoder": encoder(c, EMU3) | in_time(c, made, 4),
        "decoder": decoding(c, EMU3, codes=codes) | in_time(c, latent, 3),
    }
    return codec(c, halves | around(c, 3, 1, 1, inner=".conv"), codebook="codebook_size")


def codes_of(c: Config, _: int = 0) -> Tree:
    """The codec beside the language model."""
    return nested(c.part("vq_config"), "codec", "vqmodel", tower="codec", cache=False)


def chameleon(c: Config) -> Tree:
    """Chameleon (Chameleon Team 2024): Llama with a norm of queries and keys for each head, over text and image tokens."""
    task, fields = c.task("generation"), c.flag("attention_bias")
    c.serves = "causal_lm" if task == "generation" else task
    attend = partial(attention, qk_norm="heads", qk_norm_type="layer", qk_norm_bias=True, own_dim=False, bias=fields)
    if c.flag("swin_norm"):
        c.ignore("swin_norm")  # the norms stand behind their blocks, under the same names
    text = decoder(c, attend=attend, feed=feed_forward)
    c.serves = task
    image = codes_of(c)
    image["codec"]["path"] = "vqmodel" if task == "base" else "model.vqmodel"
    return text | {"parts": image | text["parts"]}


def janus_vision(c: Config) -> Tree:
    """Janus's image encoder: SigLIP's, with a switch for biases and one for norms of queries and keys."""
    biased = c.flag("attention_bias", True)
    normed = "full" if c.flag("use_qk_norm") else None
    attend = plain_attention(c, JANUS, bias=True if biased else ["o"], qk_norm=normed, qk_norm_type="layer" if normed else None)
    attend |= {"qk_norm_bias": True} if normed else {}
    layer = encoder_layer(JANUS, attend, plain_feed_forward(c, JANUS, size=int(c.size("hidden_size") * c.number("mlp_ratio", 4.0))))
    rows = patches(c)
    parts: dict[str, Any] = {
        "patches": patch_embedding(c, "embeddings.patch_embedding"),
        "position": {"rows": rows, "path": "embeddings.position_embedding"},
        "layers": stack("encoder.layers.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer"),
        "norm": layer_norm("post_layernorm"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=rows, cache=False)


def deepening(path: str, inputs: int, width: int, number: int) -> Tree:
    """A dense layer, and more of the same width."""
    parts: Tree = {"linear_1": dense(f"{path}fc1", inputs, width)}
    if number > 1:
        parts["linear_more"] = dense(f"{path}hidden_layers.{{}}", width, width) | {"stored": number - 1}
    return parts


def janus(c: Config) -> Tree:
    """Janus (Wu et al. 2024): one encoder to understand images, a codec with its own bridge and head to make them."""

    def aligner(c: Config, inputs: int, _: int) -> Tree:
        v = c.part("vision_config")
        return deepening("", inputs, v.size("projection_dim"), v.size("depth"))

    def beside(c: Config, _: int) -> Tree:
        q = c.part("vq_config")
        size, words, width = q.size("embed_dim"), q.size("num_embeddings"), q.size("projection_dim")
        made = {"embedding": {"vocabulary": words, "size": size, "path": "generation_embeddings"}}
        made |= deepening("generation_aligner.", size, width, q.size("num_hidden_layers"))
        made["head_dense"] = dense("generation_head.proj_out", q.size("image_token_embed_dim"), width)
        made["head"] = {"kind": "head", "path": "generation_head.vision_head", "inputs": width, "outputs": words, "bias": True}
        return codes_of(c) | {"generation": {"path": "", "tower": "generation", **made}}

    return image_text(c, aligner, vision=("vision_model",), bridge_path="aligner", beside=beside)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "chameleon": chameleon,
    "chameleon_vqgan": chameleon_vqgan,
    "emu3": partial(image_text, bridge=None, vision=(), text="text_model", beside=codes_of, narrows=True),
    "emu3_text_model": plain,
    "emu3_vqgan": emu3_vqgan,
    "janus": janus,
    "janus_vision_model": janus_vision,
    "janus_vqgan": janus_vqgan,
}
