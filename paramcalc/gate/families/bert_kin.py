"""Encoders built on BERT's recipe with tables, projections or adapters of their own."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import (
    POOLED,
    ROBERTA,
    Style,
    assembled,
    classifier,
    encoder,
    layer,
    lm_head,
)
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.recipes import Tree, document, labels, layer_norm, plain_activation, tree, under


def summary(c: Config, path: str = "sequence_summary.summary") -> Tree:
    """A layer on the summary of a sequence, where `summary_use_proj` holds; to the labels or to the width."""
    if not c.flag("summary_use_proj"):
        return {}
    outputs = labels(c) if c.flag("summary_proj_to_labels") else c.size("hidden_size")
    return {"summary": tree(kind="dense", path=path, outputs=outputs, activation=c.text("summary_activation") or None, component="head")}


ELECTRA = Style(base="electra", narrow="embedding_size", pooled=(), classifier="dense")


def generator(c: Config, _: Style) -> Tree:
    """A head as wide as the token table: a layer, a norm, and the table with a bias for each token."""
    size = c.optional("embedding_size") or c.size("hidden_size")
    tied = "embedding" if c.flag("tie_word_embeddings", True) else None
    where = "generator_predictions"
    dense = {"kind": "dense", "path": f"{where}.dense", "outputs": size, "activation": "gelu", "component": "head"}
    head = tree(kind="head", path="generator_lm_head", outputs=c.size("vocab_size"), inputs=size, bias=True, tied=tied)
    return {"head_dense": dense, "head_norm": layer_norm(f"{where}.LayerNorm", size=size), "head": head}


def electra(c: Config) -> Tree:
    """ELECTRA (Clark et al. 2020): a narrow token table; a generator that makes tokens, or a discriminator that judges them."""

    def other(c: Config, style: Style, task: str) -> Tree:
        if task == "multiple_choice":
            return summary(c) | dense_head("classifier", 1)
        return classifier(c, style, task)

    parts = encoder(c, ELECTRA, layer(c, ELECTRA))
    if c.task("masked_lm") == "pretraining":
        where = "discriminator_predictions"
        dense = {"kind": "dense", "path": f"{where}.dense", "activation": plain_activation(c), "component": "head"}
        return document(c, under("electra.", parts) | {"head_dense": dense, **dense_head(f"{where}.dense_prediction", 1)})
    return assembled(c, ELECTRA, parts, head=generator, other=other)


def rembert(c: Config) -> Tree:
    """RemBERT (Chung et al. 2020): a narrow token table in, a wide one out, never tied; the projection is there even if
    nothing is projected."""
    style = Style(base="rembert", narrow="input_embedding_size", project="encoder.embedding_hidden_mapping_in", always_project=True)
    parts = encoder(c, style, layer(c, style))

    def head(c: Config, style: Style) -> Tree:
        size, where = c.size("output_embedding_size"), style.predictions
        dense = {"kind": "dense", "path": f"{where}.dense", "outputs": size, "activation": plain_activation(c), "component": "head"}
        decoder = {"kind": "head", "path": f"{where}.decoder", "outputs": c.size("vocab_size"), "inputs": size, "bias": True}
        return {"head_dense": dense, "head_norm": layer_norm(f"{where}.LayerNorm", size=size), "head": decoder}

    return assembled(c, style, parts, head=head)


def roc_bert(c: Config) -> Tree:
    """RoCBert (Su et al. 2022): tables of pronunciations and shapes beside the tokens', and a layer on all three."""
    style, width = Style(base="roc_bert"), c.size("hidden_size")
    parts = encoder(c, style, layer(c, style))
    tables, joined, inputs = {}, {}, width
    for name, path in (("pronunciation", "pronunciation_embed"), ("shape", "shape_embed")):
        size = c.size(f"{name}_embed_dim")
        tables[name] = tree(kind="embedding", vocabulary=c.size(f"{name}_vocab_size"), size=size, path=f"embeddings.{path}")
        joined[name] = tables[name] | {"index": "made", "joins": True}
        inputs += size if c.flag(f"enable_{name}", True) else 0
    if c.flag("concat_input", True):
        used = {name: part for name, part in joined.items() if c.flag(f"enable_{name}", True)}
        tables = {name: used[name] for name in ("shape", "pronunciation") if name in used} | {
            n: t for n, t in tables.items() if n not in used
        }
        tables["mix"] = {"kind": "dense", "path": "embeddings.map_inputs_layer", "inputs": inputs}
    parts = {"embedding": parts.pop("embedding"), **tables, **parts}

    def head(c: Config, style: Style) -> Tree:
        return lm_head(c, style)

    if c.task("masked_lm") == "pretraining":  # its own losses need no second head
        return document(c, under("roc_bert.", parts | {"pooler": {"kind": "dense", "path": "pooler.dense"}}) | lm_head(c, style))
    return assembled(c, style, parts, head=head)


def roformer(c: Config) -> Tree:
    """RoFormer (Su et al. 2021): rotary positions, whose table is a parameter of the encoder without a gradient."""
    style = Style(base="roformer", position="rotary", narrow="embedding_size", pooled=(), classifier="dense", answers=2)
    width, number = c.size("hidden_size"), c.size("num_attention_heads")
    size = max(1, width // number)
    parts = encoder(c, style, layer(c, style, rotary=True))
    table = {"type": "fixed", "rows": c.size("max_position_embeddings"), "size": size, "path": "encoder.embed_positions"}
    first = parts.pop("layers")
    parts |= {"position": table, "layers": first}
    narrow = c.optional("embedding_size") or width

    def other(c: Config, style: Style, task: str) -> Tree:
        if task == "multiple_choice":
            return summary(c) | dense_head("classifier", 1)
        return classifier(c, style, task)

    return assembled(c, style, parts, head=lambda c, style: lm_head(c, style, narrow if narrow != width else None), other=other)


def bert_generation(c: Config) -> Tree:
    """BERT for generation (Rothe et al. 2020): no token types, no pooler, a bare head. Its classes are an encoder, which
    holds no head, and a decoder."""
    style = Style(types=False, pooled=(), predictions="lm_head", inner=(None, ""))
    parts = encoder(c, style, layer(c, style))
    if c.architecture().endswith("Encoder"):
        return document(c, parts)
    if c.architecture().endswith("Decoder"):
        return document(c, under("bert.", parts) | lm_head(c, style))
    return assembled(c, style, parts)


def big_bird(c: Config) -> Tree:
    """BigBird (Zaheer et al. 2020): block-sparse attention with the tensors of the full one; a pooler in every class but
    that of question answering, which has a feed-forward network of its own."""
    style = Style(bias="use_bias", pooled=(*POOLED, "causal_lm", "masked_lm", "token_classification"), pooler="pooler", classifier="dense")

    def other(c: Config, style: Style, task: str) -> Tree:
        if task != "question_answering":
            return classifier(c, style, task)
        where, one = "qa_classifier", layer(c, style)
        feed = one["feed_forward"] | {"path": where, "component": "head"}
        return {"head_feed_forward": feed, "head_norm": layer_norm(f"{where}.output.LayerNorm"), **dense_head(f"{where}.qa_outputs", 2)}

    fields: Tree = {}
    if c.text("attention_type", "block_sparse") == "block_sparse":
        fields["sparse_from"] = (5 + 2 * (c.optional("num_random_blocks") or 3)) * (c.optional("block_size") or 64) + 1
    return assembled(c, style, encoder(c, style, layer(c, style, **fields)), other=other)


def xmod(c: Config) -> Tree:
    """X-MOD (Pfeiffer et al. 2022): in each layer a bottleneck for each language, of which a token visits one."""
    before = c.flag("pre_norm")
    style = ROBERTA._replace(pre_norm=before, last_norm="encoder.LayerNorm" if before else None)
    width = c.size("hidden_size")
    size = max(1, width // c.size("adapter_reduction_factor"))
    one = layer(c, style)
    if c.flag("adapter_layer_norm"):
        one["norm_adapter"] = layer_norm("output.adapter_layer_norm")
    languages = [str(language) for language in c.listed("languages") or []]
    for index, language in enumerate(languages):
        one[f"adapter_{index + 1}"] = tree(
            kind="feed_forward",
            path=f"output.adapter_modules.{language}",
            size=size,
            gated=False,
            bias=True,
            activation=plain_activation(c),
            names={"up_proj": "dense1", "down_proj": "dense2"},
        )
    if languages:
        one["flow"] = [*one["flow"], "adapter_1 +"]
    return assembled(c, style, encoder(c, style, one))


FAMILIES = {
    "bert-generation": bert_generation,
    "big_bird": big_bird,
    "electra": electra,
    "rembert": rembert,
    "roc_bert": roc_bert,
    "roformer": roformer,
    "xmod": xmod,
}
