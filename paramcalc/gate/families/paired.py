"""An encoder and a decoder of any two families, and text encoders that see: BERT-like models put together from others."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense, projector
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.nesting import beneath, nested, tower
from paramcalc.gate.families.recipes import Tree, document, dropped, labels, layer_norm, plain_activation, rms, tree


def paired(c: Config, *, tower: str = "") -> Tree:
    """Any encoder with any decoder that has cross attention (Rothe et al. 2020), and a projection between them where their
    widths differ and the decoder does not say that it reads another width."""
    first, second = c.part("encoder"), c.part("decoder")
    if c.architecture() and not c.architecture().endswith("EncoderDecoderModel"):
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    c.ignore("tie_word_embeddings", "processor_class", "tie_encoder_decoder")  # ties are the decoder's own
    parts = nested(first, "encoder", "encoder", **tree(tower=tower or None, tokens=None if tower == "vision" else "source"), cache=False)
    decoder = nested(second, "decoder", "decoder", task="causal_lm")
    made, needed = read_width(first), second.size("hidden_size")
    stated = second.optional("cross_attention_hidden_size")
    between: Tree = {}
    if made != needed and stated is None:
        between["projector"] = dense("enc_to_dec_proj", made, needed)
    elif stated is not None and stated != made:
        c.fail("decoder.cross_attention_hidden_size", f"({stated}) is not what the encoder makes ({made})")
    return document(c, parts | between | fed(decoder), width=needed, context=second.optional("max_position_embeddings"))


def read_width(c: Config) -> int:
    """The width of what an encoder makes; that of a pyramid doubles from stage to stage."""
    stated = c.optional("output_hidden_size") or c.optional("hidden_size")
    if stated:
        return stated
    first, stages = c.optional("embed_dim"), c.sizes("depths")
    return first * 2 ** (len(stages) - 1) if first and stages else c.size("hidden_size")


def fed(content: Any) -> Any:
    """A decoder whose cross attention, unused where it stands alone, is read."""
    if not isinstance(content, dict):
        return content
    made = {key: fed(value) for key, value in content.items() if key != "unused"}
    if "unused" in content:
        made |= {key: value for key, value in content["unused"].items() if key not in ("path", "cache")}
        before = made["flow"][0].startswith("norm")
        step = "norm_cross cross_attention +" if before else "cross_attention + norm_cross"
        made["flow"] = [made["flow"][0], step, *made["flow"][1:]]
    return made


def seeing(c: Config, *, norm: bool) -> Tree:
    """ModernVBERT (Teiletche et al. 2025) and UltraVBERT: an image encoder, squares of patches side by side and one dense
    layer, a text encoder."""
    words, pictures, task = c.part("text_config"), c.part("vision_config"), c.task("masked_lm")
    width, square = words.size("hidden_size"), c.size("pixel_shuffle_factor") ** 2
    bridge = {"linear": dense("modality_projection", pictures.size("hidden_size") * square, width, False)}
    if norm:
        bridge["norm"] = rms("norm")
    parts = tower(pictures, "vision", "vision_model") | {"projector": projector("connector", bridge)}
    parts |= nested(words, "text", "text_model")
    about: dict[str, Any] = {"width": width, "context": words.optional("max_position_embeddings")}
    if task == "base":
        return document(c, parts, **about)
    top: Tree = {}
    if task == "masked_lm" or not norm:
        top |= transformed(words, "projection_head" if task == "masked_lm" else "head", narrow=norm)
    if task == "masked_lm":
        tied = "text.embedding" if c.flag("tie_word_embeddings") else None
        bias = None if norm else words.flag("decoder_bias", True) or None
        top["head"] = tree(kind="head", path="lm_head", outputs=words.size("vocab_size"), bias=bias, tied=tied)
    elif task in ("sequence_classification", "token_classification"):
        top |= dropped(c, "classifier_dropout") | dense_head("classifier", labels(c))
    else:
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return document(c, beneath("model", parts) | top, **about)


def transformed(words: Config, path: str, *, narrow: bool) -> Tree:
    """What stands under the head: a layer and a norm as ModernBERT has them, or UltraBERT's narrow network."""
    if narrow:
        feed = tree(
            kind="feed_forward",
            path=path,
            size=words.size("prediction_head_size"),
            gated=False,
            activation="gelu_pytorch_tanh",
            component="head",
            names={"up_proj": "linear1", "down_proj": "linear2"},
        )
        return {"head_feed_forward": feed}
    layer = tree(
        kind="dense",
        path=f"{path}.dense",
        bias=words.flag("classifier_bias"),
        activation=plain_activation(words, "classifier_activation"),
        component="head",
    )
    return {"head_dense": layer, "head_norm": layer_norm(f"{path}.norm", bias=words.flag("norm_bias"))}


FAMILIES = {
    "encoder-decoder": paired,
    "modernvbert": partial(seeing, norm=False),
    "speech-encoder-decoder": partial(paired, tower="audio"),
    "ultravbert": partial(seeing, norm=True),
    "vision-encoder-decoder": partial(paired, tower="vision"),
}
