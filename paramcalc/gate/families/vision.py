"""Pieces that encoders of images (and of spectrograms) are put together from."""

from __future__ import annotations

from typing import Any, NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import PRE_NORM, Tree, floored, labels, layer_norm, plain_activation, rate, stack, tree, whole
from paramcalc.words.sizes import MAX_SIZE

SCALED = ["norm_1 attention scale_1 +", "norm_2 feed_forward scale_2 +"]
"""A pre-norm layer whose branches are scaled before they are added (LayerScale, Touvron et al. 2021)."""


class Words(NamedTuple):
    """What the reference calls the pieces of an encoder layer."""

    norm_1: str
    attention: str
    norm_2: str
    feed_forward: str
    q: str = "q_proj"
    k: str = "k_proj"
    v: str = "v_proj"
    o: str = "o_proj"
    up: str = "fc1"
    down: str = "fc2"
    scales: tuple[str, ...] = ()
    """Gains of the two branches, where there are any."""


VIT = Words("layernorm_before", "attention", "layernorm_after", "mlp")
BERT = Words(
    "layernorm_before", "attention", "layernorm_after", "", "attention.query", "attention.key", "attention.value", "output.dense",
    "intermediate.dense", "output.dense",
)  # fmt: skip
"""A vision transformer under BERT's names."""
CLIP = Words("layer_norm1", "self_attn", "layer_norm2", "mlp", o="out_proj")


def pair(c: Config, key: str) -> tuple[int, int]:
    """Height and width: one number for both, or two."""
    value = c.value(key)
    sides = value if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= MAX_SIZE for side in sides):
        c.fail(key, "missing" if value is None else f"expected a size, or a height and a width, got {value!r:.60}")
        return 1, 1
    return sides[0], sides[1]


def image(c: Config) -> list[int] | None:
    """Height and width of an image, where the config says; None where it does not."""
    return list(pair(c, "image_size")) if c.value("image_size") is not None else None


def patches(c: Config, image: str = "image_size", patch: str = "patch_size") -> int:
    """How many whole patches fit into an image; none into one that is smaller than a patch."""
    (height, width), (rows, columns) = pair(c, image), pair(c, patch)
    return (height // rows) * (width // columns)


def patch_embedding(c: Config, path: str, **fields: Any) -> Tree:
    """A convolution over patches that do not overlap."""
    sides = list(pair(c, "patch_size"))
    inputs = fields.pop("inputs", None) or c.size("num_channels")
    return tree(kind="convolution", path=path, inputs=inputs, kernel=sides, stride=sides, component="embedding") | tree(**fields)


def token(path: str, *shape: int) -> Tree:
    """A learned vector that stands among the patches, or for a missing one."""
    return {"kind": "tensor", "path": path, "shape": list(shape)}


def mask_token(path: str, *shape: int) -> Tree:
    """A learned vector that stands for a patch that is hidden."""
    return token(path, *shape) | {"masks": True}


def first() -> Tree:
    """The class token alone."""
    return {"kind": "pooling", "type": "first"}


def mean() -> Tree:
    """The mean of all tokens, or of all but those in front."""
    return {"kind": "pooling", "type": "global"}


def head_size(c: Config, heads: int, width: int) -> int:
    """`head_dim`, else width / heads as the references divide, without a remainder."""
    return c.optional("head_dim") or max(1, width // heads)


def attention(c: Config, words: Words, **fields: Any) -> Tree:
    """Biased projections over all patches at once, `rounded` to a multiple of the heads unless they are one matrix of three times
    the stream's width (or so in the reference)."""
    rounded = fields.pop("rounded", "fused" not in fields) or (c.optional("head_dim") and "head_dim" not in fields)
    heads = fields.pop("heads", None) or c.size("num_attention_heads")
    head_dim = fields.pop("head_dim", None) or head_size(c, heads, c.size("hidden_size"))
    dropout = "attention_dropout" if c.value("attention_dropout") is not None else "attention_probs_dropout_prob"
    names = {
        name: word for name, word in (("q_proj", words.q), ("k_proj", words.k), ("v_proj", words.v), ("o_proj", words.o)) if name != word
    }
    plain = tree(
        kind="attention",
        path=words.attention,
        heads=heads,
        head_dim=head_dim,
        bias=True,
        dropout=rate(c, dropout),
        output_dropout=rate(c, "hidden_dropout_prob"),
        names=names,
    )
    return tree(**(plain | fields if rounded else spread(c, plain | fields)))


def spread(c: Config, made: Tree) -> Tree:
    """Attention whose heads do not divide the width: the reference's projections have that width all the same, and its keys
    and values, where they have fewer heads, the rounded one."""
    number, head_dim, width = made["heads"], made["head_dim"], made.get("inputs") or c.value("hidden_size")
    if not isinstance(width, int) or not width > number * head_dim > width - number:  # a list of widths, one a stage
        return made
    return floored(c, made) if made.get("kv_heads") else made | whole(c, number, width)


def feed_forward(c: Config, words: Words, **fields: Any) -> Tree:
    """Plain and biased, unless told otherwise."""
    plain = tree(
        kind="feed_forward",
        path=words.feed_forward,
        size=fields.pop("size", None) or c.size("intermediate_size"),
        gated=False,
        bias=True,
        activation=plain_activation(c),
        dropout=rate(c, "hidden_dropout_prob"),
        names={name: word for name, word in (("up_proj", words.up), ("down_proj", words.down)) if name != word},
    )
    return tree(**(plain | fields))


def encoder_layer(words: Words, attention: Tree, feed_forward: Tree, *, norm: Any = layer_norm, width: int = 0, **more: Tree) -> Tree:
    """A pre-norm layer; `width` is that of the gains of its branches, and `more` what else stands in it."""
    layer: Tree = {"norm_1": norm(words.norm_1), "attention": attention}
    scales = [token(path, width) | {"scales": True} for path in words.scales]
    if scales:
        layer["scale_1"] = scales[0]
    layer |= {"norm_2": norm(words.norm_2), "feed_forward": feed_forward}
    if scales:
        layer["scale_2"] = scales[1]
    return layer | more | {"flow": SCALED if scales else PRE_NORM}


def stochastic(layer: Tree, rate: float) -> Tree:
    """A layer whose branches are dropped as a whole at a rate (stochastic depth, Huang et al. 2016)."""
    if not rate > 0:
        return layer
    flow = [step.replace(" +", " drop +") for step in layer["flow"]]
    return layer | {"drop": {"kind": "dropout", "rate": rate, "whole": True}, "flow": flow}


def deepening(path: str, layer: Tree, number: int, rate: float, *, above: int = 0) -> Tree:
    """Equal layers whose branches are dropped at a rate that grows with depth, from none in the first of all; `above` stand before."""
    if not rate > 0 or (number < 2 and not above):
        return stack(path, {"layer": layer}, f"{number} layer")
    if above:
        return stack(path, {"layer": stochastic(layer, rate)}, f"{number} layer")
    return stack(path, {"first": layer, "layer": stochastic(layer, rate)}, f"first, {number - 1} layer")


def classifier(c: Config, path: str, inputs: int | None = None, default: int = 2) -> Tree:
    """A linear map to the classes; nothing at all for none."""
    named = c.value("id2label")
    if c.value("num_labels") == 0 and not named:
        return {}
    return tree(kind="dense", path=path, inputs=inputs, outputs=labels(c, default), component="head")


def refuse(c: Config) -> None:
    """A class whose head is not known."""
    c.fail("architectures", f"{c.architecture()!r} is a class that is not known for {c.model_type}")
