"""Encoders made smaller or faster than BERT: shared layers, bottlenecks, grouped and separable convolutions, pooling."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import Style, assembled, attention, classifier, encoder, feed_forward, layer, lm_head
from paramcalc.gate.families.bert_kin import ELECTRA, generator, summary
from paramcalc.gate.families.encoders import EVERYWHERE
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.recipes import (
    POST_NORM,
    Tree,
    document,
    dropped,
    labels,
    layer_norm,
    plain_activation,
    rate,
    stack,
    tree,
    under,
)

ALBERT = Style(
    base="albert",
    narrow="embedding_size",
    project="encoder.embedding_hidden_mapping_in",
    always_project=True,
    names={"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "dense"},
    norms=("attention.LayerNorm", "full_layer_layer_norm"),
    cross=False,
    pooler="pooler",
    predictions="predictions",
    inner=("dense", "LayerNorm"),
)


def albert(c: Config) -> Tree:
    """ALBERT (Lan et al. 2020): a narrow token table, and few groups of layers that are applied over and over."""
    one = layer(c, ALBERT)
    one["feed_forward"] |= {"names": {"up_proj": "ffn", "down_proj": "ffn_output"}}
    depth, groups = c.size("num_hidden_layers"), c.size("num_hidden_groups")
    parts = encoder(c, ALBERT, one)
    inner = {"path": "albert_layers.{}", "repeat": c.size("inner_group_num"), **one}
    parts["layers"] = {
        "path": "encoder.albert_layer_groups.{}",
        "repeat": depth,
        "stored": groups,
        "cache": False,
        "layer": inner,
    }
    size = c.optional("embedding_size")
    narrow = size if size != c.size("hidden_size") else None

    def head(c: Config, style: Style) -> Tree:
        return lm_head(c, style, narrow)

    if c.task("masked_lm") == "pretraining":
        pooler = {"pooler": {"kind": "dense", "path": "pooler", "activation": "tanh"}}
        order = {"relation": dense_head("sop_classifier.classifier", labels(c))["head"]}
        return document(c, under("albert.", parts | pooler) | head(c, ALBERT) | order)
    return assembled(c, ALBERT, parts, head=head)


def distilbert(c: Config) -> Tree:
    """DistilBERT (Sanh et al. 2019): BERT without token types and pooler."""
    drop = rate(c, "dropout")
    style = Style(base="distilbert")
    attend = attention(c, style, "attention") | tree(dropout=rate(c, "attention_dropout"))
    one = {
        "attention": attend | {"names": {"q_proj": "q_lin", "k_proj": "k_lin", "v_proj": "v_lin", "o_proj": "out_lin"}},
        "norm_1": layer_norm("sa_layer_norm"),
        "feed_forward": tree(
            kind="feed_forward",
            path="ffn",
            size=c.size("hidden_dim"),
            gated=False,
            bias=True,
            activation=plain_activation(c, "activation"),
            dropout=drop,
            names={"up_proj": "lin1", "down_proj": "lin2"},
        ),
        "norm_2": layer_norm("output_layer_norm"),
        "flow": POST_NORM,
    }
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embeddings.word_embeddings"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "embeddings.position_embeddings"},
        "embedding_norm": layer_norm("embeddings.LayerNorm"),
        **dropped(c, "dropout"),
        "layers": stack("transformer.layer.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer", cache=False),
    }
    return assembled(c, style._replace(pooled=()), parts, head=distilbert_head, other=distilbert_classifier)


def distilbert_head(c: Config, _: Style) -> Tree:
    dense = {"kind": "dense", "path": "vocab_transform", "activation": plain_activation(c, "activation"), "component": "head"}
    tied = "embedding" if c.flag("tie_word_embeddings", True) else None
    head = tree(kind="head", path="vocab_projector", outputs=c.size("vocab_size"), bias=True, tied=tied)
    return {"head_dense": dense, "head_norm": layer_norm("vocab_layer_norm"), "head": head}


def distilbert_classifier(c: Config, style: Style, task: str) -> Tree:
    if task not in ("sequence_classification", "multiple_choice"):
        return classifier(c, style, task)
    dense = {"kind": "dense", "path": "pre_classifier", "activation": "relu", "component": "head"}
    return {"head_dense": dense, **dense_head("classifier", labels(c) if task == "sequence_classification" else 1)}


def mobilebert(c: Config) -> Tree:
    """MobileBERT (Sun et al. 2020): layers as thin as their bottleneck, with several feed-forward networks each. Its norms
    may be nothing but a gain and a bias (`no_norm`), which hold the same."""
    style = Style(base="mobilebert", pooled=() if not c.flag("classifier_activation", True) else Style().pooled)
    width, size = c.size("hidden_size"), c.size("embedding_size")
    layers = stack("encoder.layer.{}", {"layer": mobilebert_layer(c, style)}, f"{c.size('num_hidden_layers')} layer", cache=False)
    parts = {
        "embedding": tree(vocabulary=c.size("vocab_size"), size=size if size != width else None, path="embeddings.word_embeddings"),
        "project_in": {
            "kind": "dense",
            "inputs": size * (3 if c.flag("trigram_input", True) else 1),
            "path": "embeddings.embedding_transformation",
        },
        "token_types": {"kind": "embedding", "vocabulary": c.size("type_vocab_size"), "path": "embeddings.token_type_embeddings"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "embeddings.position_embeddings"},
        "embedding_norm": layer_norm("embeddings.LayerNorm"),
        **dropped(c, "hidden_dropout_prob"),
        "layers": layers,
    }

    def head(c: Config, style: Style) -> Tree:
        made = lm_head(c, style)
        if size > width:
            c.fail("embedding_size", f"({size}) is more than hidden_size ({width})")
        if size >= width:
            return made
        made["head"] |= {"inputs": size}
        rest = {
            "kind": "tensor",
            "shape": [width - size, c.size("vocab_size")],
            "path": "cls.predictions.dense.weight",
            "component": "head",
        }
        return made | {"head_rest": rest}

    return assembled(c, style, parts, head=head)


def mobilebert_layer(c: Config, style: Style) -> Tree:
    width, thin = c.size("hidden_size"), c.flag("use_bottleneck", True)
    neck = c.size("intra_bottleneck_size")
    inner = c.optional("true_hidden_size") or (neck if thin else width)
    read = inner if c.flag("use_bottleneck_attention") else width
    number = c.size("num_attention_heads")
    head_dim = max(1, inner // number)
    attend = tree(
        kind="attention",
        path="attention",
        heads=number,
        head_dim=head_dim,
        o_inputs=inner if number * head_dim != inner else None,
        bias=True,
        dropout=rate(c, "attention_probs_dropout_prob"),
        output_dropout=rate(c, "hidden_dropout_prob"),
        names=style.names,
    )
    parts: Tree = {"path": "", "attention": attend, "norm_1": layer_norm("attention.output.LayerNorm")}
    if read != inner:  # values are made from the wide stream, beside the bottleneck
        parts["attention"] |= {"value_is_key": True}
        made = inner // number * number
        parts["value"] = {"kind": "dense", "path": "attention.self.value", "inputs": read, "outputs": made, "component": "attention"}
    flow = [POST_NORM[0]]
    if (extra := c.size("num_feedforward_networks") - 1) > 0:
        one = {"feed_forward": feed_forward(c), "norm": layer_norm("output.LayerNorm"), "flow": ["feed_forward + norm"]}
        parts["more"] = {"path": "ffn.{}", "repeat": extra, **one}
        flow.append("more")
    parts |= {"feed_forward": feed_forward(c), "norm_2": layer_norm("output.LayerNorm"), "flow": [*flow, POST_NORM[1]]}
    if not thin:
        return parts if inner == width else {"inner": parts | {"width": inner}}
    outer: Tree = {"narrow": {"kind": "dense", "path": "bottleneck.input.dense", "outputs": neck}}
    outer["norm_narrow"] = layer_norm("bottleneck.input.LayerNorm", size=neck)
    if c.flag("key_query_shared_bottleneck", True):
        outer["narrow_attention"] = {"kind": "dense", "path": "bottleneck.attention.dense", "outputs": neck}
        outer["norm_attention"] = layer_norm("bottleneck.attention.LayerNorm", size=neck)
    outer["inner"] = parts | {"width": inner}
    outer["widen"] = {"kind": "dense", "path": "output.bottleneck.dense", "inputs": inner}
    outer["norm_widen"] = layer_norm("output.bottleneck.LayerNorm")
    return outer | {"flow": ["narrow norm_narrow inner widen + norm_widen"]}


def squeezebert(c: Config) -> Tree:
    """SqueezeBERT (Iandola et al. 2020): grouped convolutions over one token in place of BERT's linear layers."""
    width, size = c.size("hidden_size"), c.size("intermediate_size")
    if c.size("embedding_size") != width:
        c.fail("embedding_size", f"is not hidden_size ({width})")
    style = Style(base="transformer", pooled=EVERYWHERE)

    def convolution(path: str, key: str, component: str, inputs: int = width, outputs: int = width) -> Tree:
        groups = c.size(key)
        if inputs % groups or outputs % groups:
            c.fail(key, f"({groups}) does not divide the channels")
            groups = 1
        about = tree(kind="convolution", path=path, kernel=1, groups=groups if groups > 1 else None, component=component)
        return about | tree(inputs=inputs if inputs != width else None, outputs=outputs if outputs != width else None)

    attend = attention(c, style, "attention") | {"queries": False, "reuses": True, "output": False}
    one = {
        **{name: convolution(f"attention.{name}", f"{name[0]}_groups", "attention") for name in ("query", "key", "value")},
        "attention": attend,
        "out": convolution("post_attention.conv1d", "post_attention_groups", "attention"),
        "norm_1": layer_norm("post_attention.layernorm"),
        "up": convolution("intermediate.conv1d", "intermediate_groups", "feed_forward", outputs=size) | {"activation": plain_activation(c)},
        "down": convolution("output.conv1d", "output_groups", "feed_forward", inputs=size),
        "norm_2": layer_norm("output.layernorm"),
        "flow": ["attention out + norm_1", "up down + norm_2"],
    }
    return assembled(c, style, encoder(c, style, one, path="encoder.layers.{}"))


def convbert(c: Config) -> Tree:
    """ConvBERT (Jiang et al. 2020): half of the heads are replaced by convolutions whose kernels are made from the input."""
    style = ELECTRA._replace(base="convbert", cross=False)
    if c.flag("add_cross_attention"):
        c.fail("add_cross_attention", "cross attention is not known for convbert")
    width, number, kernel = c.size("hidden_size"), c.size("num_attention_heads"), c.size("conv_kernel_size")
    number = max(1, number // c.size("head_ratio"))
    head_dim = max(1, width // number // 2)
    mixed = number * head_dim
    where, separable = "attention.self", "attention.self.key_conv_attn_layer"

    def part(path: str, kind: str = "dense", **fields: object) -> Tree:
        return tree(kind=kind, path=path, component="attention", **fields)

    one = layer(c, style)
    one["attention"] |= {"heads": number, "head_dim": head_dim, "o_inputs": width}
    one |= {
        "depthwise": part(f"{separable}.depthwise", "convolution", kernel=kernel, groups=width, bias=False),
        "pointwise": part(f"{separable}.pointwise", "convolution", outputs=mixed, kernel=1, bias=False),
        "separable_bias": part(f"{separable}.bias", "tensor", shape=[mixed, 1], type="bias"),
        "kernels": part(f"{where}.conv_kernel_layer", inputs=mixed, outputs=number * kernel),
        "convolved": part(f"{where}.conv_out_layer", outputs=mixed),
    }
    if (groups := c.size("num_groups")) > 1:
        one["feed_forward"] = grouped(c, groups)

    def other(c: Config, style: Style, task: str) -> Tree:
        return summary(c) | dense_head("classifier", 1) if task == "multiple_choice" else classifier(c, style, task)

    return assembled(c, style, encoder(c, style, one), head=generator, other=other)


def grouped(c: Config, groups: int) -> Tree:
    """A feed-forward network of grouped linear layers: weights [groups, inputs / groups, outputs / groups]."""
    width, size = c.size("hidden_size"), c.size("intermediate_size")
    if width % groups or size % groups:
        c.fail("num_groups", f"({groups}) does not divide the widths")
        groups = 1
    parts: Tree = {"kind": "group", "path": ""}
    for name, path, inputs, outputs in (("up", "intermediate.dense", width, size), ("down", "output.dense", size, width)):
        about = {"kind": "tensor", "component": "feed_forward"}
        parts[name] = about | {"shape": [groups, inputs // groups, outputs // groups], "path": f"{path}.weight"}
        parts[f"{name}_bias"] = about | {"shape": [outputs], "type": "bias", "path": f"{path}.bias"}
    return parts


def funnel(c: Config) -> Tree:
    """Funnel Transformer (Dai et al. 2020): blocks of layers, each block on half as many tokens as the one before, and a
    decoder on all of them. The halving is not part of the tree: all blocks are said to run on the whole context."""
    one = funnel_layer(c)
    sizes = c.sizes("block_sizes", least=1)
    repeats = c.sizes("block_repeats", least=1) or [1] * len(sizes)
    if len(repeats) != len(sizes):
        c.fail("block_repeats", f"names {len(repeats)} blocks, but block_sizes names {len(sizes)}")
    blocks = {
        f"block_{index + 1}": tree(path="encoder.blocks.{}.{}", repeat=size * times, stored=size if times > 1 else None, cache=False) | one
        for index, (size, times) in enumerate(zip(sizes, repeats, strict=False))
    }
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embeddings.word_embeddings"},
        "embedding_norm": layer_norm("embeddings.layer_norm"),
        **dropped(c, "hidden_dropout"),
        **blocks,
    }
    task = c.task("masked_lm")
    reduced = task in ("sequence_classification", "multiple_choice") or c.architecture() == "FunnelBaseModel"
    if not reduced and (count := c.zero_or("num_decoder_layers")):
        parts["decoder"] = stack("decoder.layers.{}", {"layer": one}, f"{count} layer", cache=False)
    if task == "base":
        return document(c, parts)
    return document(c, under("funnel.", parts) | funnel_head(c, task))


def funnel_layer(c: Config) -> Tree:
    """Attention with relative positions as in Transformer-XL: a kernel for them, and biases that stand for queries."""
    number, head_dim, width = c.size("num_attention_heads"), c.size("d_head"), c.size("hidden_size")
    names = {"q_proj": "q_head", "k_proj": "k_head", "v_proj": "v_head", "o_proj": "post_proj"}
    one: Tree = {
        "attention": tree(
            kind="attention",
            path="attention",
            heads=number,
            head_dim=head_dim,
            bias=["k", "v", "o"],
            dropout=rate(c, "attention_dropout"),
            output_dropout=rate(c, "hidden_dropout"),
            names=names,
        ),
        "norm_1": layer_norm("attention.layer_norm"),
    }
    tensors = {"r_kernel": [width, number, head_dim], "seg_embed": [2, number, head_dim]}
    tensors |= {f"r_{letter}_bias": [number, head_dim] for letter in "wrs"}
    for name, shape in tensors.items():
        kind = "bias" if name.endswith("bias") else None
        one[name] = tree(kind="tensor", type=kind, shape=shape, path=f"attention.{name}", component="attention")
    one["feed_forward"] = tree(
        kind="feed_forward",
        path="ffn",
        size=c.size("d_inner"),
        gated=False,
        bias=True,
        activation=plain_activation(c),
        dropout=rate(c, "hidden_dropout"),
        activation_dropout=rate(c, "activation_dropout"),
        names={"up_proj": "linear_1", "down_proj": "linear_2"},
    )
    return one | {"norm_2": layer_norm("ffn.layer_norm"), "flow": POST_NORM}


def funnel_head(c: Config, task: str) -> Tree:
    def stacked(first: str, last: str, outputs: int) -> Tree:
        return {"head_dense": {"kind": "dense", "path": first, "activation": "tanh", "component": "head"}, **dense_head(last, outputs)}

    tied = "embedding" if c.flag("tie_word_embeddings", True) else None
    heads: dict[str, Callable[[], Tree]] = {
        "masked_lm": lambda: {"head": tree(kind="head", path="lm_head", outputs=c.size("vocab_size"), bias=True, tied=tied)},
        "pretraining": lambda: stacked("discriminator_predictions.dense", "discriminator_predictions.dense_prediction", 1),
        "sequence_classification": lambda: stacked("classifier.linear_hidden", "classifier.linear_out", labels(c)),
        "multiple_choice": lambda: stacked("classifier.linear_hidden", "classifier.linear_out", 1),
    }
    return heads[task]() if task in heads else classifier(c, Style(), task)


FAMILIES = {
    "albert": albert,
    "convbert": convbert,
    "distilbert": distilbert,
    "funnel": funnel,
    "mobilebert": mobilebert,
    "squeezebert": squeezebert,
}
