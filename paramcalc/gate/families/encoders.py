"""Encoders with BERT's layers and tables, heads or attention of their own."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import ROBERTA, Style, assembled, bert, classifier, encoder, feed_forward, layer, lm_head
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.recipes import POST_NORM, Tree, document, labels, layer_norm, plain_activation, tree, under

EVERYWHERE = ("base", "causal_lm", "masked_lm", "pretraining", "next_sentence", "sequence_classification", "token_classification",
              "multiple_choice", "question_answering")  # fmt: skip
"""All tasks: some models hold a pooler, used or not, in every class."""


def choosing(c: Config, style: Style, task: str) -> Tree:
    """Multiple choice with a layer before its score."""
    if task != "multiple_choice":
        return classifier(c, style, task)
    dense = {"kind": "dense", "path": "pre_classifier", "activation": "relu", "component": "head"}
    return {"head_dense": dense, **dense_head("classifier", 1)}


def sparse(c: Config, *, base: str, kernel: str | None = None) -> Tree:
    """Encoders that approximate attention: Nyströmformer (Xiong et al. 2021) and YOSO (Zeng et al. 2021) with a convolution
    of the values over neighbours where `kernel` says how many; MRA (Zeng et al. 2022). Two rows more than positions."""
    style = Style(base=base, pooled=(), classifier="dense", answers=2, cross=False, offset=2)
    one = layer(c, style)
    if kernel and (size := c.optional(kernel)):
        number = c.size("num_attention_heads")
        one["attention_convolution"] = tree(
            kind="convolution",
            path="attention.self.conv",
            inputs=number,
            outputs=number,
            groups=number,
            kernel=[size, 1],
            bias=False,
            component="attention",
        )
    return assembled(c, style, encoder(c, style, one), other=choosing)


def layoutlm(c: Config) -> Tree:
    """LayoutLM (Xu et al. 2020): where a word stands on the page is looked up too."""
    rows = c.size("max_2d_position_embeddings")
    about: Tree = {"kind": "embedding", "vocabulary": rows, "component": "position_embedding"}
    corner: Tree = {"index": "columns", "columns": 4, "reads": 2}
    sides: dict[str, Tree] = {"x": corner, "y": corner, "h": {"index": "made"}, "w": {"index": "made"}}
    tables = {f"{axis}_position": about | how | {"path": f"embeddings.{axis}_position_embeddings"} for axis, how in sides.items()}
    style = Style(base="layoutlm", pooled=EVERYWHERE)
    return assembled(c, style, encoder(c, style, layer(c, style, padding=True), tables))


def tapas(c: Config) -> Tree:
    """TAPAS (Herzig et al. 2020): a table for each of seven token types; answers by scores of cells and columns."""
    sizes = c.sizes("type_vocab_sizes", least=1)
    tables = {
        f"token_types_{index}": {
            "kind": "embedding",
            "vocabulary": size,
            "index": "columns",
            "columns": len(sizes),
            "path": f"embeddings.token_type_embeddings_{index}",
        }
        for index, size in enumerate(sizes)
    }
    style = Style(base="tapas", types=False, pooled=("base", "sequence_classification", "question_answering"))
    return assembled(c, style, encoder(c, style, layer(c, style), tables), other=tapas_head)


def tapas_head(c: Config, style: Style, task: str) -> Tree:
    if task != "question_answering":
        return classifier(c, style, task)
    width = c.size("hidden_size")
    parts: Tree = {}
    for name in ("output", "column_output"):
        parts[f"{name}_weights"] = {"kind": "tensor", "shape": [width], "path": f"{name}_weights", "component": "head"}
        parts[f"{name}_bias"] = {"kind": "tensor", "shape": [], "type": "bias", "path": f"{name}_bias", "component": "head"}
    if count := c.zero_or("num_aggregation_labels"):
        parts["aggregation"] = dense_head("aggregation_classifier", count)["head"]
    return parts


def esm_encoder(c: Config) -> tuple[Style, Tree]:
    """ESM's layers, and how they differ from BERT's."""
    kind = c.text("position_embedding_type", "absolute")
    if kind not in ("absolute", "rotary"):
        c.warn(f"position_embedding_type {kind!r} stands for no positions at all in the reference")
    style = ROBERTA._replace(
        base="esm",
        norms=("attention.LayerNorm", "LayerNorm"),
        pre_norm=True,
        last_norm="encoder.emb_layer_norm_after",
        embedding_norm="embeddings.layer_norm" if c.flag("emb_layer_norm_before") else None,
        position="learned" if kind == "absolute" else "rotary",
        types=False,
        pooled=("base",),
        single_bias=True,
    )
    one = layer(c, style, rotary=True if kind == "rotary" else None)
    one["feed_forward"] |= {"activation": "gelu_python"}
    parts = encoder(c, style, one)
    parts.pop("dropout", None)  # the reference has one, and never calls it
    if "position" in parts:
        parts["position"] |= {"index": "made"}
    if c.flag("token_dropout"):
        parts = {"embedding": parts.pop("embedding"), "token_dropout": {"kind": "token_dropout"}} | parts
    return style, parts


def esm(c: Config) -> Tree:
    """ESM (Lin et al. 2022): a language model of proteins, with a head that reads contacts from all attention maps."""
    style, parts = esm_encoder(c)
    maps = c.size("num_hidden_layers") * c.size("num_attention_heads")
    parts["contacts"] = {
        "kind": "dense",
        "path": "contact_head.regression",
        "inputs": maps,
        "outputs": 1,
        "component": "head",
        "side": "idle",
    }
    c.ignore("vocab_list", "esmfold_config")

    def head(c: Config, style: Style) -> Tree:
        made = lm_head(c, style)
        own = {"head_dense": {"activation": "gelu_python"}, "head": {"bias_apart": True}}
        return made | {name: made[name] | fields for name, fields in own.items()}

    return assembled(c, style, parts, head=head)


def mpnet(c: Config) -> Tree:
    """MPNet (Song et al. 2020): a table of relative positions for all layers."""
    names = {"q_proj": "attn.q", "k_proj": "attn.k", "v_proj": "attn.v", "o_proj": "attn.o"}
    style = ROBERTA._replace(base="mpnet", types=False, norms=("attention.LayerNorm", "output.LayerNorm"), names=names, cross=False)
    parts = encoder(c, style, layer(c, style, relative=True))
    table = tree(
        kind="embedding",
        vocabulary=c.size("relative_attention_num_buckets"),
        size=c.size("num_attention_heads"),
        path="encoder.relative_attention_bias",
        component="position_embedding",
    )
    layers = parts.pop("layers")
    return assembled(c, style, parts | {"relative": table, "layers": layers})


def fnet(c: Config) -> Tree:
    """FNet (Lee-Thorp et al. 2022): tokens are mixed by a Fourier transform instead of attention."""
    style = Style(base="fnet", pooled=EVERYWHERE)
    one = {
        "fourier": {"matrices": True} if c.flag("use_tpu_fourier_optimizations") else {},
        "norm_1": layer_norm("fourier.output.LayerNorm"),
        "feed_forward": feed_forward(c),
        "norm_2": layer_norm(style.norms[1]),
        "flow": ["fourier + norm_1", POST_NORM[1]],
    }
    parts = encoder(c, style, one)
    dense = {"projection": {"kind": "dense", "path": "embeddings.projection"}}
    late = {name: parts.pop(name) for name in ("dropout", "layers") if name in parts}
    return assembled(c, style, parts | dense | late)


def longformer(c: Config) -> Tree:
    """Longformer (Beltagy et al. 2020): global tokens have projections of their own beside the sliding window's."""
    style = ROBERTA._replace(base="longformer", cross=False)
    one = layer(c, style)
    one |= {f"{name}_global": {"kind": "dense", "path": f"attention.self.{name}_global", "component": "attention"}
            for name in ("query", "key", "value")}  # fmt: skip
    return assembled(c, style, encoder(c, style, one))


def luke(c: Config) -> Tree:
    """LUKE (Yamada et al. 2020): entities have tables, positions and types of their own, and queries for each pairing."""
    style = ROBERTA._replace(
        base="luke", classifier="linear", cross=False, pooled=("base", "masked_lm", "multiple_choice", "sequence_classification")
    )
    one = layer(c, style)
    if c.flag("use_entity_aware_attention", True):
        one |= {f"query_{pair}": {"kind": "dense", "path": f"attention.self.{pair}_query", "component": "attention"}
                for pair in ("w2e", "e2w", "e2e")}  # fmt: skip
    parts = encoder(c, style, one, luke_entities(c))
    task = c.task("masked_lm")
    inputs = {"LukeForEntityClassification": 1, "LukeForEntityPairClassification": 2, "LukeForEntitySpanClassification": 3}
    if task in inputs:
        number = inputs[task]
        head = dense_head("classifier", labels(c), inputs=number * c.size("hidden_size"), bias=number != 2)
        pooler = {"pooler": {"kind": "dense", "path": "pooler.dense", "activation": "tanh"}}
        return document(c, under("luke.", parts | pooler) | head)
    made = assembled(c, style, parts, head=luke_head)
    # without entities, which a caller has to name, none of what is theirs is used
    return made | {"flow": [name for name in made["parts"] if not name.startswith("entit")]}


def luke_entities(c: Config) -> Tree:
    width, narrow = c.size("hidden_size"), c.size("entity_emb_size")
    parts: Tree = {
        "path": "entity_embeddings",
        "entities": {"kind": "embedding", "vocabulary": c.size("entity_vocab_size"), "size": narrow, "path": "entity_embeddings"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "position_embeddings"},
        "token_types": {"kind": "embedding", "vocabulary": c.size("type_vocab_size"), "path": "token_type_embeddings"},
        "norm": layer_norm("LayerNorm"),
    }
    if narrow != width:
        parts["widen"] = {"kind": "dense", "inputs": narrow, "bias": False, "path": "entity_embedding_dense"}
    return {"entities": parts}


def luke_head(c: Config, style: Style) -> Tree:
    """Logits of words, whose matrix is never tied, and of entities, whose matrix is."""
    tied, narrow, where = c.flag("tie_word_embeddings", True), c.size("entity_emb_size"), "entity_predictions"
    words = lm_head(c, style) if not tied else untied(c)
    entity = tree(
        kind="head",
        path=where,
        outputs=c.size("entity_vocab_size"),
        inputs=narrow,
        bias=True,
        tied="entities.entities" if tied else None,
        names={"weight": "decoder.weight"},
    )
    dense = {"kind": "dense", "path": f"{where}.transform.dense", "outputs": narrow, "activation": plain_activation(c), "component": "head"}
    norm = layer_norm(f"{where}.transform.LayerNorm", size=narrow)
    return words | {"entity_dense": dense, "entity_norm": norm, "entity_head": entity}


def untied(c: Config) -> Tree:
    dense = {"kind": "dense", "path": "lm_head.dense", "activation": "gelu", "component": "head"}
    names = {"weight": "decoder.weight"}
    head = {"kind": "head", "path": "lm_head", "outputs": c.size("vocab_size"), "bias": True, "names": names}
    return {"head_dense": dense, "head_norm": layer_norm("lm_head.layer_norm"), "head": head}


FAMILIES = {
    "esm": esm,
    "fnet": fnet,
    "ibert": partial(bert, style=ROBERTA._replace(base="ibert")),
    "layoutlm": layoutlm,
    "longformer": longformer,
    "luke": luke,
    "mpnet": mpnet,
    "mra": partial(sparse, base="mra"),
    "nystromformer": partial(sparse, base="nystromformer", kernel="conv_kernel_size"),
    "tapas": tapas,
    "yoso": partial(sparse, base="yoso", kernel="conv_window"),
}
