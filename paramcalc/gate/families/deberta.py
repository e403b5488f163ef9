"""DeBERTa: attention to content and to relative positions apart."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import Style, assembled, classifier, encoder, layer, lm_head
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.recipes import Tree, labels, layer_norm, plain_activation, rate, tree

FIRST = {
    "qkv_proj": "self.in_proj",
    "q_bias": "self.q_bias",
    "v_bias": "self.v_bias",
    "position_key": "self.pos_proj",
    "position_query": "self.pos_q_proj",
    "head_logits": "self.head_logits_proj",
    "head_weights": "self.head_weights_proj",
    "o_proj": "output.dense",
}
SECOND = {
    "q_proj": "self.query_proj",
    "k_proj": "self.key_proj",
    "v_proj": "self.value_proj",
    "position_key": "self.pos_key_proj",
    "position_query": "self.pos_query_proj",
    "o_proj": "output.dense",
}


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
    after = {name: parts.pop(name) for name in ("dropout", "layers") if name in parts}
    layers = after.pop("layers")
    if "position" in parts:
        parts["position"] |= {"index": "kept"}
    parts |= {"padding": {"kind": "padding_mask"}} | after | positions(c, second) | {"layers": layers}
    if not second:
        parts["embedding_norm"] |= {"style": "divided"}
    if second and (kernel := c.zero_or("conv_kernel_size")):
        return convolved(c, style, parts, kernel, narrow)
    return assembled(c, style, parts, head=partial(deberta_head, narrow=narrow), other=deberta_classifier)


def convolved(c: Config, style: Style, parts: Tree, kernel: int, narrow: int) -> Tree:
    """With a convolution beside the first layer."""
    groups, layers = c.optional("conv_groups") or 1, parts.pop("layers")
    if c.size("hidden_size") % groups:
        c.fail("conv_groups", f"({groups}) does not divide hidden_size ({int(c.size('hidden_size'))})")
        groups = 1
    activation, drop = c.text("conv_act", "tanh"), rate(c, "hidden_dropout_prob")
    parts["first"] = layers | {"order": "layer"}
    parts["convolution"] = tree(
        kind="masked_convolution", kernel=kernel, groups=groups, path="encoder.conv.conv", activation=activation, dropout=drop
    )
    parts |= {"norm_convolution": layer_norm("encoder.conv.LayerNorm"), "padding_convolution": {"kind": "padding_mask"}}
    depth = c.size("num_hidden_layers")
    if depth > 1:
        parts["layers"] = layers | {"order": f"{depth - 1} layer"}
    made = assembled(c, style, parts, head=partial(deberta_head, narrow=narrow), other=deberta_classifier)
    steps = [name for name in made["parts"] if name not in ("first", "convolution")]
    steps.insert(steps.index("norm_convolution"), "( first | convolution )")
    return made | {"flow": steps}


def own_layer(c: Config, style: Style, second: bool) -> Tree:
    """A layer with the projections of relative positions, by which of the two directions are attended to."""
    one = layer(c, style)
    relative = c.flag("relative_attention")
    attention = tree(
        kind="disentangled_attention",
        path="attention",
        heads=one["attention"]["heads"],
        fused=not second or None,
        relative=relative or None,
        directions=[word for word in ("c2p", "p2c") if relative and word in attended(c)],
        shared=(relative and second and c.flag("share_att_key")) or None,
        talking=(not second and c.flag("talking_head")) or None,
        span=span(c, second) if relative else None,
        dropout=rate(c, "attention_probs_dropout_prob"),
        position_dropout=rate(c, "hidden_dropout_prob") if relative else None,
        output_dropout=rate(c, "hidden_dropout_prob"),
    )
    names = SECOND if second else FIRST
    if not second:
        one |= {name: one[name] | {"style": "divided"} for name in ("norm_1", "norm_2")}
    return one | {"attention": attention | {"names": names}}


def attended(c: Config) -> list[str]:
    """The kinds of position attention (`c2p`, `p2c`), stated as a list or as words between bars."""
    stated = c.value("pos_att_type")
    words = stated.lower().split("|") if isinstance(stated, str) else c.listed("pos_att_type") or []
    return [str(word).strip() for word in words]


def span(c: Config, second: bool) -> int:
    """Distances that are told apart in each direction."""
    stated = c.value("position_buckets") if second else None
    for rows in (stated, c.value("max_relative_positions")):
        if isinstance(rows, int) and not isinstance(rows, bool) and rows > 0:
            return rows
    return c.size("max_position_embeddings")


def positions(c: Config, second: bool) -> Tree:
    """The table of relative positions that all layers share, and its norm, which the reference has without it as well."""
    normed = second and "layer_norm" in [word.strip() for word in c.text("norm_rel_ebd", "none").lower().split("|")]
    rows = 2 * span(c, second) if c.flag("relative_attention") else None
    if not rows and not normed:
        return {}
    names = {"table": "rel_embeddings", "norm": "LayerNorm"}
    return {"relative": tree(kind="relative_table", rows=rows, normed=normed or None, path="encoder", names=names)}


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
