"""DeBERTa: attention to content and to relative positions apart."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import Style, assembled, classifier, encoder, layer, lm_head
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.recipes import Tree, labels, layer_norm, plain_activation, tree

FIRST = {"qkv_proj": "self.in_proj", "o_proj": "output.dense"}
SECOND = {"q_proj": "self.query_proj", "k_proj": "self.key_proj", "v_proj": "self.value_proj", "o_proj": "output.dense"}


def deberta(c: Config, *, second: bool) -> Tree:
    """DeBERTa (He et al. 2021) and its second version, which splits the projections, may share those of positions with
    those of content, and may add a convolution behind the first layer."""
    position = "learned" if c.flag("position_biased_input", True) else "none"
    style = Style(base="deberta", pooled=(), cross=False, position=position, names=SECOND if second else FIRST)
    parts = encoder(c, style, own_layer(c, style, second))
    width = c.size("hidden_size")
    narrow = c.optional("embedding_size") or width
    if narrow != width:
        parts |= {name: parts[name] | {"size": narrow} for name in ("embedding", "token_types", "position") if name in parts}
        project = {"kind": "dense", "inputs": narrow, "bias": False, "path": "embeddings.embed_proj"}
        late = {name: parts.pop(name) for name in ("embedding_norm", "dropout", "layers") if name in parts}
        parts |= {"project_in": project} | late
    layers = parts.pop("layers")
    parts |= positions(c, second) | {"layers": layers}
    if second and (kernel := c.zero_or("conv_kernel_size")):
        groups = c.optional("conv_groups") or 1
        if width % groups:
            c.fail("conv_groups", f"({groups}) does not divide hidden_size ({width})")
            groups = 1
        activation = c.text("conv_act", "tanh")
        parts["convolution"] = {"kernel": kernel, "groups": groups, "path": "encoder.conv.conv", "activation": activation}
        parts["norm_convolution"] = layer_norm("encoder.conv.LayerNorm")
    return assembled(c, style, parts, head=partial(deberta_head, narrow=narrow), other=deberta_classifier)


def own_layer(c: Config, style: Style, second: bool) -> Tree:
    """A layer with the projections of relative positions, by which of the two directions are attended to."""
    width = c.size("hidden_size")
    one = layer(c, style)
    about = {"kind": "dense", "component": "attention"}
    if not second:
        one["attention"] |= {"fused": "qkv", "bias": ["o"]}
        for name in ("q_bias", "v_bias"):
            one[name] = {"kind": "tensor", "type": "bias", "shape": [width], "path": f"attention.self.{name}", "component": "attention"}
        if c.flag("talking_head"):
            number = c.size("num_attention_heads")
            for name in ("head_logits_proj", "head_weights_proj"):
                one[name] = about | {"path": f"attention.self.{name}", "inputs": number, "outputs": number, "bias": False}
    if c.flag("relative_attention") and not (second and c.flag("share_att_key")):
        directions = attended(c)
        if "c2p" in directions:
            name = "pos_key_proj" if second else "pos_proj"
            one["position_key"] = about | {"path": f"attention.self.{name}"} | ({} if second else {"bias": False})
        if "p2c" in directions:
            name = "pos_query_proj" if second else "pos_q_proj"
            one["position_query"] = about | {"path": f"attention.self.{name}"}
    return one


def attended(c: Config) -> list[str]:
    """The kinds of position attention (`c2p`, `p2c`), stated as a list or as words between bars."""
    stated = c.value("pos_att_type")
    words = stated.lower().split("|") if isinstance(stated, str) else c.listed("pos_att_type") or []
    return [str(word).strip() for word in words]


def positions(c: Config, second: bool) -> Tree:
    """The table of relative positions that all layers share, and its norm, which the reference has without it as well."""
    parts: Tree = {}
    if c.flag("relative_attention"):
        stated = c.value("max_relative_positions")
        rows = stated if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0 else c.size("max_position_embeddings")
        if second:
            buckets = c.value("position_buckets")
            rows = buckets if isinstance(buckets, int) and not isinstance(buckets, bool) and buckets > 0 else rows
        table = {"kind": "embedding", "vocabulary": 2 * rows, "path": "encoder.rel_embeddings", "component": "position_embedding"}
        parts["relative"] = table
    normed = [word.strip() for word in c.text("norm_rel_ebd", "none").lower().split("|")]
    if second and "layer_norm" in normed:
        parts["norm_relative"] = layer_norm("encoder.LayerNorm")
    return parts


def deberta_head(c: Config, style: Style, *, narrow: int) -> Tree:
    """The head of the older code, or one that uses the token table itself, whatever is said of ties."""
    if c.flag("legacy", True):
        return lm_head(c, style, narrow if narrow != c.size("hidden_size") else None)
    where = "lm_predictions.lm_head"
    dense = {"kind": "dense", "path": f"{where}.dense", "activation": plain_activation(c), "component": "head"}
    head = {"kind": "head", "path": where, "outputs": c.size("vocab_size"), "bias": True, "tied": "embedding"}
    return {"head_dense": dense, "head_norm": layer_norm(f"{where}.LayerNorm"), "head": head}


def deberta_classifier(c: Config, style: Style, task: str) -> Tree:
    """Classifiers of sequences stand on a pooler beside the base model; they read the stream's width, whatever its is."""
    if task not in ("sequence_classification", "multiple_choice"):
        return classifier(c, style, task)
    width = c.size("hidden_size")
    size = c.optional("pooler_hidden_size") or width
    pooler = tree(
        kind="dense",
        path="pooler.dense",
        inputs=size if size != width else None,
        outputs=size if size != width else None,
        activation=plain_activation(c, "pooler_hidden_act"),
        component="head",
    )
    outputs = labels(c) if task == "sequence_classification" else 1
    return {"head_dense": pooler, **dense_head("classifier", outputs)}


FAMILIES = {"deberta": partial(deberta, second=False), "deberta-v2": partial(deberta, second=True)}
