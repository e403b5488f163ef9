"""Decoders with the tensors of Llama, and the parametric recipe that all its kin are rows of."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import (
    PARALLEL,
    PRE_NORM,
    SANDWICH,
    Tree,
    decoder_parts,
    depth,
    document,
    heads,
    layer_norm,
    layered,
    learned_activation,
    rms,
    tree,
    window_size,
    windows,
)

QKV = ["q", "k", "v"]
BEHIND = ["attention norm_1 +", "feed_forward norm_2 +"]
"""Norms behind each block, inside the residual branch (OLMo 2)."""


class Layout(NamedTuple):
    """Where the norms of a layer stand: their reference names, in our order, and the stream through them."""

    norms: tuple[str, ...]
    flow: list[str]


LLAMA = Layout(("input_layernorm", "post_attention_layernorm"), PRE_NORM)
GEMMA = Layout(("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"), SANDWICH)
OLMO2 = Layout(("post_attention_layernorm", "post_feedforward_layernorm"), BEHIND)
COHERE = Layout(("input_layernorm",), PARALLEL)


def says(c: Config, what: str | bool | list[str]) -> bool | list[str]:
    """Which biases there are: as fixed by the family, or by the flag that `what` names."""
    return c.flag(what) if isinstance(what, str) else what


def biases(c: Config, qkv: str | bool | list[str], out: str | bool | None) -> bool | list[str] | None:
    """The biases of attention; those of queries, keys and values, then of the output (as the others if None).

    A spec may state `attention_bias` for any family; a config only where its class has it.
    """
    if c.spec and c.has("attention_bias"):
        return c.flag("attention_bias") or None
    own = says(c, qkv)
    if isinstance(own, list) or out is None:
        return own or None
    last = bool(says(c, out))
    return own or None if own == last else QKV if own else ["o"]


def attention(
    c: Config,
    word: str = "global",
    *,
    bias: str | bool | list[str] = "attention_bias",
    out_bias: str | bool | None = None,
    own_dim: bool = True,
    rounded: bool = False,
    **fields: Any,
) -> Tree:
    """Rotary attention; `word` says what it sees: `global`, `local` (a sliding window) or `chunked`."""
    return tree(
        kind="attention",
        path="self_attn",
        **heads(c, own_dim=own_dim, rounded=rounded),
        bias=biases(c, bias, out_bias),
        window=window_size(c) if word == "local" else None,
        chunk=c.optional("attention_chunk_size") if word == "chunked" else None,
        rotary=True,
        dropout=c.number("attention_dropout") or None,
    ) | tree(**fields)


def feed_forward(c: Config, *, bias: str | bool = "mlp_bias", size: int | None = None, **fields: Any) -> Tree:
    """A feed-forward network, gated unless told otherwise."""
    if c.spec and c.has("mlp_bias"):
        bias = "mlp_bias"
    return tree(
        kind="feed_forward",
        path="mlp",
        size=size or c.size("intermediate_size"),
        bias=says(c, bias) or None,
        activation=c.text("hidden_act", "silu"),
    ) | tree(**fields)


def layer(layout: Layout, norm: Callable[[str], Tree], attend: Tree, feed: Tree, **beside: Any) -> Tree:
    """One layer: its parts in the order of the stream, then what stands beside them."""
    parts = {f"norm_{number}": norm(path) for number, path in enumerate(layout.norms, 1)}
    parts |= {"attention": attend, "feed_forward": feed} | beside
    order = re.findall(r"\w+", " ".join(layout.flow))
    return {name: parts[name] for name in dict.fromkeys([*order, *parts])} | {"flow": [*layout.flow]}


def decoder(
    c: Config,
    *,
    attend: Callable[..., Tree] = attention,
    feed: Callable[..., Tree] = feed_forward,
    sees: Callable[[Config], list[str]] = windows,
    experts: Callable[[Config], Tree] | None = None,
    feeds: Callable[[Config], list[str]] | None = None,
    layout: Layout | Callable[[str], Layout] = LLAMA,
    norm: Callable[[str], Tree] = rms,
    final: str = "norm",
    beside: Callable[[Config, str, str], Tree] | None = None,
    act: str = "act_fn",
    **options: Any,
) -> Tree:
    """Llama (Touvron et al. 2023) and those that differ from it by their blocks, norms, windows or names.

    `attend` makes a layer's attention from what it sees (`sees`); `feeds` says which layers are `sparse`, with `experts`
    for `feed` (all of them if left out); a `layout` may depend on that; `beside` makes parts that stand beside them; `act`
    is the activation's reference name; `options` go to `decoder_parts`.
    """
    seen = sees(c)

    def build(sight: str, network: str) -> Tree:
        block = experts(c) if experts and network == "sparse" else feed(c)
        slopes = learned_activation(str(block.get("activation")), f"{block['path']}.{act}")
        if block.get("activation") == "xielu":
            block["names"] = {f"alpha_{sign}": f"{act}.alpha_{sign}" for sign in "pn"} | block.get("names", {})
        norms = layout if isinstance(layout, Layout) else layout(network)
        return layer(norms, norm, attend(c, sight), block, **slopes, **(beside(c, sight, network) if beside else {}))

    layers = layered("layers.{}", [seen, feeds(c) if feeds else ["sparse"] * len(seen)], build)
    return document(c, decoder_parts(c, layers, norm(final), **options))


def everywhere(c: Config) -> list[str]:
    """A window in every layer, where there is one."""
    return ["local" if window_size(c) else "global"] * depth(c)


def ends(c: Config, period: int, key: str = "") -> list[str]:
    """Windows but for the layer that ends each period, which `key` may state."""
    period = (c.optional(key) if key else None) or period
    return windows(c, lambda index: (index + 1) % period != 0)


def begins(c: Config, period: int) -> list[str]:
    """Windows but for the layer that begins each period."""
    return windows(c, lambda index: index % period != 0)


def switched(c: Config, local: Callable[[int], bool]) -> list[str]:
    """Windows where `local` says so, if `use_sliding_window` switches them on."""
    on = c.flag("use_sliding_window") and window_size(c) is not None
    words = windows(c, lambda index: on and local(index))
    return words if on else ["global"] * len(words)


def late(c: Config) -> list[str]:
    """Windows from layer `max_window_layers` on (Qwen 2)."""
    start = c.optional("max_window_layers", least=0) or 0
    return switched(c, lambda index: index >= start)


def unrotated(c: Config) -> list[str]:
    """Windows in the layers without rotary positions (SmolLM 3)."""
    period, rotated = c.optional("no_rope_layer_interval") or 4, c.listed("no_rope_layers")
    return switched(c, lambda index: not rotated[index] if rotated and index < len(rotated) else (index + 1) % period == 0)


def text_of(recipe: Callable[[Config], Tree], model_type: str) -> Callable[[Config], Tree]:
    """The text half of a composite config, which is all that its causal language model takes."""

    def narrowed(c: Config) -> Tree:
        text = c.part("text_config", model_type)
        text.serves = c.task("causal_lm")
        if text.serves != "causal_lm" and not c.architecture().endswith("TextModel"):
            c.fail("architectures", f"{c.architecture()} is not modelled; only the language model is")
        return recipe(text) | {"model_type": c.model_type}

    return narrowed


UNBIASED = partial(attention, bias=False)
PLAIN = partial(feed_forward, bias=False)

llama = partial(decoder, qa_base="transformer")
"""What `model` is elsewhere is `transformer` in Llama's question answering class, and in a few more."""
plain = partial(decoder, feed=PLAIN)
mistral = partial(decoder, attend=UNBIASED, feed=PLAIN)
cohere = partial(decoder, feed=PLAIN, layout=COHERE, norm=partial(layer_norm, bias=False), tie=True)


def cohere1(c: Config) -> Tree:
    """Cohere's Command R: one norm and both blocks on it, queries and keys normed with a gain for each head."""
    normed: Tree = {"qk_norm": "heads", "qk_norm_type": "layer"} if c.flag("use_qk_norm") else {}
    return cohere(c, attend=partial(attention, **normed))


def helium_attention(c: Config, word: str) -> Tree:
    """Helium: the output projection reads the width, whatever the heads come to."""
    attend, width = attention(c, word, out_bias=False), c.size("hidden_size")
    return attend | tree(o_inputs=width if attend["heads"] * attend["head_dim"] != width else None)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "arcee": partial(llama, feed=partial(feed_forward, gated=False)),
    "cohere": cohere1,
    "cohere2": partial(cohere, sees=partial(ends, period=4, key="sliding_window_pattern")),
    "cohere_compass_text": cohere,
    "cwm": partial(decoder, attend=UNBIASED, sees=partial(begins, period=4)),
    "ernie4_5": partial(decoder, attend=partial(attention, bias="use_bias"), feed=partial(feed_forward, bias="use_bias"), tie=True),
    "granite": decoder,
    "helium": partial(decoder, attend=helium_attention),
    "internlm3": llama,
    "iquestcoder": llama,
    "llama": llama,
    "ministral": partial(mistral, sees=lambda c: windows(c, lambda _: window_size(c) is not None), qa_base="transformer"),
    "ministral3": partial(mistral, attend=partial(UNBIASED, tuned="stream"), sees=everywhere),
    "mistral": partial(mistral, sees=everywhere),
    "smollm3": partial(llama, sees=unrotated, tie=True),
}
