"""CLAP (Wu et al. 2023): a Swin over spectrograms (HTS-AT, Chen et al. 2022) and RoBERTa, in one space."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import encoder as bert_encoder
from paramcalc.gate.families.bert import layer, pooler
from paramcalc.gate.families.dual import BERT, dense
from paramcalc.gate.families.maps import batch_norm, convolution
from paramcalc.gate.families.nesting import nested, told, tower, whole
from paramcalc.gate.families.pyramid import DONUT, stages
from paramcalc.gate.families.recipes import Tree, document, layer_norm, plain_activation, stack, under
from paramcalc.gate.families.vision import pair, refuse, token


def attended(path: str, width: int, inner: int, first: int) -> Tree:
    """One side of the fusion: squeezed and widened by 1×1 convolutions with batch norms."""
    return {
        f"{path}_squeeze": convolution(f"{path}.{{}}", width, inner),
        f"{path}_norm_{first}": batch_norm(f"{path}.{{}}", inner),
        f"{path}_excite": convolution(f"{path}.{{}}", inner, width),
        f"{path}_norm_{first + 1}": batch_norm(f"{path}.{{}}", width),
    }


def patches(c: Config, width: int) -> Tree:
    """A convolution over the spectrogram; where long sounds are fused, a second, wider one and the fusion of both."""
    (height, columns), strides = pair(c, "patch_size"), list(pair(c, "patch_stride"))
    channels, fused = c.size("patch_embed_input_channels"), c.flag("enable_fusion")
    wide = 4 if fused and c.value("fusion_type") == "channel_map" else 1
    first = convolution("patch_embed.proj", wide * channels, width, [height, columns], component="embedding")
    parts = {"patches": first | {"stride": strides}}
    if c.flag("enable_patch_layer_norm", True):
        parts["patches_norm"] = layer_norm("patch_embed.norm", size=width)
    if fused:
        inner = max(1, int(width // c.size("aff_block_r")))
        branches = attended("local_att", width, inner, 1) | attended("global_att", width, inner, 1)
        parts["fusion"] = {"path": "patch_embed.fusion_model", **branches}
        long = convolution("patch_embed.mel_conv2d", channels, width, [height, 3 * columns], component="embedding")
        parts["long_patches"] = long | {"stride": [strides[0], 3 * strides[1]]}
    return parts


def audio(c: Config) -> Tree:
    first = c.size("patch_embeds_hidden_size")
    parts = patches(c, first)
    depths = stages(c, "depths", "num_attention_heads")
    width = first
    for index, (number, heads) in enumerate(depths):
        group: Tree = {"path": "layers.{}", "width": width}
        if number:
            group["blocks"] = stack("blocks.{}", {"layer": DONUT(c, width, max(1, heads))}, f"{number} layer")
        if index + 1 < len(depths):
            group["merge_norm"] = layer_norm("downsample.norm", size=4 * width)
            group["merge"] = dense("downsample.reduction", 4 * width, 2 * width, bias=False)
            width *= 2
        parts[f"stage_{index + 1}"] = group
    parts |= {"band_norm": batch_norm("batch_norm", c.size("num_mel_bins")), "norm": layer_norm("norm", size=width)}
    parts = under("audio_encoder.", parts)
    named = c.architecture() if c.serves is None else ""
    if named.endswith("WithProjection"):
        parts = under("audio_model.", parts) | {"projection": projection(c, "audio_projection", c.size("projection_dim"))}
    elif c.task("base") != "base":
        refuse(c)
    return document(c, parts, width=first, cache=False)


def text(c: Config) -> Tree:
    parts = bert_encoder(c, BERT, layer(c, BERT)) | pooler("pooler.dense")
    named = c.architecture() if c.serves is None else ""
    if named.endswith("WithProjection"):
        parts = under("text_model.", parts) | {"projection": projection(c, "text_projection", c.size("projection_dim"))}
    elif c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def projection(c: Config, path: str, size: int) -> Tree:
    """Two dense layers into the shared space."""
    activation = plain_activation(c, "projection_hidden_act", "relu")
    first, second = dense("linear1", c.size("hidden_size"), size), dense("linear2", size, size)
    return {"path": path, "width": size, "first": first | {"activation": activation}, "second": second}


def clap(c: Config) -> Tree:
    words, sounds, named = c.part("text_config"), c.part("audio_config"), c.architecture()
    for word, part in (("TextModel", words), ("AudioModel", sounds)):
        if word in named:  # such a class takes its part of the config alone
            told(part, architectures=[named])
            return whole(part, part.task("base")) if not named.endswith("WithProjection") else alone(part)
    if c.task("base") != "base":
        refuse(c)
    size = c.size("projection_dim")
    parts = nested(words, "text", "text_model") | tower(sounds, "audio", "audio_model")
    for name, part in (("text", words), ("audio", sounds)):
        part.ignore("projection_dim")
        parts[f"{name}_projection"] = projection(part, f"{name}_projection", size)
    parts |= {"audio_scale": token("logit_scale_a"), "text_scale": token("logit_scale_t")}
    return document(c, parts, width=words.size("hidden_size"), context=words.optional("max_position_embeddings"), cache=False)


def alone(part: Config) -> Tree:
    """One side with its projection."""
    return (text if part.model_type == "clap_text_model" else audio)(part)


FAMILIES: dict[str, Callable[[Config], Tree]] = {"clap": clap, "clap_audio_model": audio, "clap_text_model": text}
