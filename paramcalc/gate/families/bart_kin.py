"""Encoder-decoders that differ from BART by more than the place of their norms."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.bart import (
    PRE,
    Style,
    attend,
    bart,
    before,
    decoder_half,
    half,
    lm_head,
    own_table,
    seq2seq_head,
    shared,
)
from paramcalc.gate.families.recipes import POST_NORM, Tree, document, dropped, layer_norm, plain_activation, rate, stack, tree, under

GLOBAL = ("query", "key", "value")
"""Projections that Longformer's global tokens have of their own."""


def one_kind(half: Tree) -> Tree:
    """The one kind of layer of an encoder or decoder."""
    kind: Tree = half["layers"]["kinds"]["layer"]
    return kind


def led(_: Config, parts: Tree) -> None:
    """LED (Beltagy et al. 2020): Longformer's attention in the encoder."""
    kind, where = one_kind(parts["encoder"]), "longformer_self_attn"
    names = {f"{name[0]}_proj": f"{where}.{name}" for name in GLOBAL} | {"o_proj": "output"}
    kind["attention"] |= {"names": names}
    kind |= {f"{name}_global": {"kind": "dense", "path": f"self_attn.{where}.{name}_global", "component": "attention"} for name in GLOBAL}


def bigbird_pegasus(_: Config, parts: Tree) -> None:
    """BigBird-Pegasus (Zaheer et al. 2020): block-sparse attention in the encoder, under BERT's names."""
    kind = one_kind(parts["encoder"])
    kind["attention"] |= {"names": {f"{name[0]}_proj": f"self.{name}" for name in GLOBAL} | {"o_proj": "output"}}


def bigbird(c: Config) -> Tree:
    style = PRE._replace(final_norm="layernorm_embedding", bias=c.flag("use_bias"))
    return bart(c, style=style, alter=bigbird_pegasus)


def pegasus_x(c: Config, parts: Tree) -> None:
    """PEGASUS-X (Phang et al. 2022): blocks of local attention and global tokens, which have a table and norms."""
    encoder = parts["encoder"]
    one_kind(encoder)["norm_global"] = layer_norm("global_self_attn_layer_norm")
    table = {"kind": "embedding", "vocabulary": c.size("num_global_tokens"), "path": "embed_global"}
    late = {name: encoder.pop(name) for name in ("layers", "norm")}
    encoder |= {"global_tokens": table, **late}


def mvp(c: Config, parts: Tree) -> None:
    """MVP (Tang et al. 2022): prompts for the decoder, made by a small network. The reference means the encoder to have one
    too, but passes that wish where it is not read."""
    if not c.flag("use_prompt"):
        return
    width, inner = c.size("hidden_size"), c.size("prompt_mid_dim")
    feed = tree(
        kind="feed_forward",
        path="prompt_trans",
        size=inner,
        outputs=c.size("decoder_layers") * 2 * width,
        gated=False,
        bias=True,
        activation="gelu",
        names={"up_proj": "{}", "down_proj": "{}"},
    )
    for word in ("self", "cross"):
        table = {"kind": "embedding", "vocabulary": c.size("prompt_length"), "path": "prompt_embedding"}
        group = {"path": f"{word}_attn_prompt", "tokens": c.size("prompt_length"), "cache": False}
        parts["decoder"][f"{word}_prompt"] = group | {"embedding": table, "feed_forward": feed}
    parts["decoder"]["flow"] = [
        " ".join(name for name in parts["decoder"] if isinstance(parts["decoder"][name], dict) and "prompt" not in name)
    ]


def marian(c: Config) -> Tree:
    """Marian (Junczys-Dowmunt et al. 2018): positions are fixed sinusoids; the halves may have a vocabulary each."""
    style, task = Style(embedding_norm=None, position="fixed"), c.task("generation")
    target = own_table(c) | {"vocabulary": c.optional("decoder_vocab_size") or c.size("vocab_size")}
    if task == "causal_lm":
        decoder = half(c, style, "decoder", before(c, style, target), cross="unused")
        head = lm_head(c, "decoder.embedding")
        if "tied" in head["head"]:
            head["head"]["outputs"] = target["vocabulary"]
        return document(c, under("model.", {"decoder": decoder}) | head)
    parts = {
        "encoder": half(c, style, "encoder", before(c, style, own_table(c)), tokens="source", cache=False),
        "decoder": half(c, style, "decoder", before(c, style, target), cross="read"),
    }
    if c.flag("share_encoder_decoder_embeddings", True):
        if c.flag("tie_word_embeddings", True):
            parts["decoder"]["embedding"] = own_table(c)
        return shared(c, parts, seq2seq_head(c, task, lm_head(c, "encoder.embedding")), base="model")
    head = lm_head(c, "decoder.embedding")
    head["head"]["outputs"] = target["vocabulary"]
    return document(c, under("" if task == "base" else "model.", parts) | seq2seq_head(c, task, head))


def trocr(c: Config) -> Tree:
    """The decoder of TrOCR (Li et al. 2021), which reads a vision encoder of any width. On its own, nothing feeds it."""
    style = Style(
        position="learned" if c.flag("use_learned_position_embeddings", True) else "sinusoidal",
        offset=2,
        embedding_norm="layernorm_embedding" if c.flag("layernorm_embedding", True) else None,
    )
    if c.task("causal_lm") != "causal_lm":
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    made = decoder_half(c, style, head="output_projection")
    source = c.optional("cross_attention_hidden_size") or c.size("hidden_size")
    one_kind(made["parts"]["decoder"])["unused"]["cross_attention"]["source"] = source
    return made


def fsmt(c: Config) -> Tree:
    """FSMT (Ng et al. 2019): a vocabulary for each half, fixed sinusoids that are parameters, a head in the decoder."""
    task, tied = c.task("generation"), c.flag("tie_word_embeddings")
    padding = c.optional("pad_token_id", least=0)
    if padding is None:
        c.fail("pad_token_id", "missing", "it shifts the positions")
    style = Style(embedding_norm=None, position="fixed", offset=(padding or 0) + 1)
    source, target = own_table(c, "tgt_vocab_size" if tied else "src_vocab_size"), own_table(c, "tgt_vocab_size")
    parts = {
        "encoder": half(c, style, "encoder", before(c, style, source), tokens="source", cache=False),
        "decoder": half(c, style, "decoder", before(c, style, target | ({"tied": "encoder.embedding"} if tied else {})), cross="read"),
        "head": tree(
            kind="head",
            path="decoder.output_projection",
            outputs=target["vocabulary"],
            tied="encoder.embedding" if tied else None,
        ),
    }
    if task not in ("base", "generation"):
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    c.ignore("decoder")
    return document(c, under("" if task == "base" else "model.", parts))


def prophetnet(c: Config) -> Tree:
    """ProphetNet (Qi et al. 2020): the decoder predicts `ngram` tokens at once, each in a stream of its own. The streams are
    not part of the tree: the decoder is said to run on its tokens once."""
    task = c.task("generation")
    alone = c.architecture().removeprefix("ProphetNet").lower()
    if alone in ("encoder", "decoder"):
        parts = {key: part for key, part in prophetnet_half(c, alone).items() if isinstance(part, dict)}
        return document(c, parts, **({"cache": False} if alone == "encoder" else {}))
    decoder = prophetnet_half(c, "decoder", unused=task == "causal_lm")
    if task == "causal_lm":
        table = {"vocabulary": c.size("vocab_size"), "path": "decoder.word_embeddings"}
        return prophetnet_alone(c, decoder, table)
    parts = {"encoder": prophetnet_half(c, "encoder"), "decoder": decoder}
    head = lm_head(c, "encoder.embedding")
    return shared(c, parts, seq2seq_head(c, task, head), base="prophetnet", table="word_embeddings")


def prophetnet_alone(c: Config, decoder: Tree, table: Tree) -> Tree:
    """The decoder as a language model; with ties off, a table beside its own that nothing reads."""
    parts = {"decoder": decoder}
    if c.flag("tie_word_embeddings", True):
        decoder["embedding"] = decoder["embedding"] | {"path": "/prophetnet.word_embeddings"}
        return document(c, under("prophetnet.", parts) | lm_head(c, "decoder.embedding"))
    spare = {"spare": {"kind": "embedding", "vocabulary": table["vocabulary"], "path": "word_embeddings"}}
    return document(c, under("prophetnet.", parts | spare) | lm_head(c, "decoder.embedding"), flow=["decoder head"])


def prophetnet_half(c: Config, side: str, *, unused: bool = False) -> Tree:
    width, number = c.size("hidden_size"), c.size(f"num_{side}_attention_heads")
    names = {"q_proj": "query_proj", "k_proj": "key_proj", "v_proj": "value_proj", "o_proj": "out_proj"}
    style = Style()
    one: Tree = {"attention": attend(c, style, number, "self_attn") | {"names": names}, "norm_1": layer_norm("self_attn_layer_norm")}
    flow: list[str] = list(POST_NORM)
    if side == "decoder":
        buckets = c.size("num_buckets") * number
        one["relative"] = {
            "kind": "dense",
            "path": "self_attn.relative_pos_embeddings",
            "outputs": buckets,
            "component": "attention",
        }
        if c.flag("add_cross_attention", True):
            cross = attend(c, style, number, "cross_attn", source=width) | {"names": names}
            other: Tree = {"cross_attention": cross, "norm_cross": layer_norm("cross_attn_layer_norm")}
            one |= {"unused": {"path": "", "cache": False, **other}} if unused else other
            flow[1:1] = [] if unused else ["cross_attention + norm_cross"]
    one["feed_forward"] = tree(
        kind="feed_forward",
        path="feed_forward",
        size=c.size(f"{side}_ffn_dim"),
        gated=False,
        bias=True,
        activation=plain_activation(c),
        dropout=rate(c, "dropout"),
        activation_dropout=rate(c, "activation_dropout"),
        names={"up_proj": "intermediate", "down_proj": "output"},
    )
    one |= {"norm_2": layer_norm("feed_forward_layer_norm"), "flow": flow}
    about: dict[str, Any] = {"path": side} | ({"tokens": "source", "cache": False} if side == "encoder" else {})
    streams = {"streams": {"kind": "embedding", "vocabulary": c.size("ngram"), "path": "ngram_embeddings"}} if side == "decoder" else {}
    return about | {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "word_embeddings"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "position_embeddings"},
        **streams,
        "embedding_norm": layer_norm("embeddings_layer_norm"),
        **dropped(c, "dropout"),
        "layers": stack("layers.{}", {"layer": one}, f"{c.size(f'num_{side}_layers')} layer"),
    }


FAMILIES = {
    "bigbird_pegasus": bigbird,
    "fsmt": fsmt,
    "led": partial(bart, style=Style(), base="led", rows=("max_encoder_position_embeddings", "max_decoder_position_embeddings"), alter=led),
    "marian": marian,
    "mvp": partial(bart, style=Style(offset=2), alter=mvp),
    "pegasus_x": partial(bart, style=PRE._replace(position="sinusoidal", bias=False), alter=pegasus_x),
    "prophetnet": prophetnet,
    "trocr": trocr,
}
