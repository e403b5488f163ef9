"""Pieces that families are put together from: each returns a part, or parts, of the full form as plain mappings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.model.order import order_of

Tree = dict[str, Any]

PRE_NORM = ["norm_1 attention +", "norm_2 feed_forward +"]
"""The stream of a pre-norm layer (Xiong et al. 2020)."""
POST_NORM = ["attention + norm_1", "feed_forward + norm_2"]
"""The stream of a post-norm layer (Vaswani et al. 2017)."""
SANDWICH = ["norm_1 attention norm_2 +", "norm_3 feed_forward norm_4 +"]
"""Norms before and after each block, inside the residual branch (Gemma 2)."""
PARALLEL = ["norm_1 (attention | feed_forward) +"]
"""One norm, both blocks on its output, one sum (GPT-J)."""
PARALLEL_TWO_NORMS = ["(norm_1 attention | norm_2 feed_forward) +"]
"""A norm for each block, both on the stream, one sum (GPT-NeoX)."""


def tree(**fields: Any) -> Tree:
    """A mapping without the fields that say nothing: None, an empty list or mapping."""
    return {key: value for key, value in fields.items() if value is not None and value != {} and value != []}


def rms(path: str, **fields: Any) -> Tree:
    return tree(kind="norm", type="rms", path=path, **fields)


def layer_norm(path: str, **fields: Any) -> Tree:
    return tree(kind="norm", type="layer", path=path, **fields)


def heads(c: Config, *, own_dim: bool = True, rounded: bool = False, exact: bool = False) -> Tree:
    """Heads, KV heads and head_dim as most configs state them: KV heads default to heads, head_dim to width / heads
    (always so without `own_dim`). Where that leaves a rest it is rounded down for a config, as the reference does unless its
    class refuses it or `exact` does, for shapes that are not known; a spec is refused unless a published model is `rounded`."""
    number = c.size("num_attention_heads")
    kv_heads = c.optional("num_key_value_heads")
    if kv_heads and number % kv_heads:
        c.inconsistent("num_key_value_heads", f"({kv_heads}) does not divide num_attention_heads ({number})")
    head_dim = c.optional("head_dim") if own_dim else None
    width = c.size("hidden_size")
    refused = c.spec or exact or c.defaults.divides
    if head_dim is None and width % number and refused and not rounded and not c.root.problems:
        c.fail("num_attention_heads", f"({number}) does not divide hidden_size ({width})", "give head_dim")
    return tree(heads=number, kv_heads=kv_heads, head_dim=head_dim or max(1, width // number))


def whole(c: Config, number: int, width: int, key: str = "num_attention_heads") -> Tree:
    """Heads of projections as wide as the stream, which the reference builds whether or not the heads divide that width."""
    made = {"heads": number, "head_dim": max(1, width // number)}
    if width % number == 0 or c.root.problems:
        return made
    c.inconsistent(key, f"({number}) does not divide the width ({width})")
    return made | {"projected": width}


def floored(c: Config, made: Tree) -> Tree:
    """Heads with an output projection of the whole width, which could not run where they leave a rest of it."""
    width, number = c.size("hidden_size"), made["heads"]
    if c.spec or c.root.problems or number * made["head_dim"] == width:
        return made
    c.inconsistent("num_attention_heads", f"({number}) does not divide hidden_size ({width})")
    return made | {"o_inputs": width}


def labels(c: Config, default: int = 2) -> int:
    """How many classes a classifier tells apart: the size of `id2label`, else `num_labels`."""
    named = c.value("id2label")
    if isinstance(named, dict) and named:
        return len(named)
    return c.optional("num_labels") or c.optional("_num_labels") or default


def tied(c: Config, owner: str, default: bool = True) -> str | None:
    """The tie of a head: the part that owns the matrix where `tie_word_embeddings` holds."""
    return owner if c.flag("tie_word_embeddings", default) else None


def stack(path: str, kinds: dict[str, Tree], order: str, **fields: Any) -> Tree:
    """Layers: kinds and the order they stand in."""
    used = {kind: layer for kind, layer in kinds.items() if kind in order}
    return tree(path=path, **fields) | {"kinds": used, "order": order}


MOST_LAYERS = 100_000
"""Layers that are told apart one by one; no model has more."""


def depth(c: Config) -> int:
    """How many layers there are, where each is looked at."""
    layers = c.size("num_hidden_layers")
    if layers > MOST_LAYERS:
        c.fail("num_hidden_layers", f"more than {MOST_LAYERS:,} layers")
    return min(layers, MOST_LAYERS)


KINDS_OF_LAYERS = frozenset(
    "full_attention sliding_attention chunked_attention window_attention indexed_attention compressed_sparse_attention "
    "heavily_compressed_attention minimax_m3_sparse conv moe hybrid hybrid_sliding reference_sliding_attention linear_attention "
    "sparse dense attention mamba deepseek_sparse_attention qwen_sparse_attention".split()
)
"""Every word that the reference lets a list of layers hold, whatever the model, and those that it took before."""


def per_layer(c: Config, key: str, words: Mapping[str, str], default: Callable[[int], str], other: str | None = None) -> list[str]:
    """One word a layer: from the list under `key`, its entries put into our words, else `default` of the layer's index.
    `other` is what the reference takes a layer for whose kind this model does not know; without it such a kind is refused."""
    stated, layers = c.listed(key), depth(c)
    if stated is None:
        return [default(index) for index in range(layers)]
    if len(stated) != layers:
        c.fail(key, f"names {len(stated)} layers, but num_hidden_layers is {layers}")
    read: dict[str, str] = dict.fromkeys(KINDS_OF_LAYERS, other) if other and not c.spec else {}
    read.update(words)
    unknown = [word for word in stated if not isinstance(word, str) or word not in read]
    if unknown:
        c.fail(key, f"expected {', '.join(words)}; got {unknown[0]!r:.60}")
        return [default(index) for index in range(layers)]
    return [read[word] for word in stated]


WINDOWS = {"full_attention": "global", "sliding_attention": "local", "chunked_attention": "chunked"}
"""The reference's words for what a layer's attention sees, and ours."""


def window_size(c: Config) -> int | None:
    """Tokens that a windowed layer sees; 0 and null both mean that there is no window."""
    return c.zero_or("sliding_window") or None


def windows(c: Config, local: Callable[[int], bool] = lambda _: False) -> list[str]:
    """What each layer's attention sees, by `layer_types`, else `local` of its index. The reference builds the same attention for
    a word that says something else, and has no mask for it."""
    strange = sorted({word for word in c.listed("layer_types") or [] if word in KINDS_OF_LAYERS - WINDOWS.keys()})
    if strange:
        c.inconsistent("layer_types", f"names {', '.join(strange)}, for which there is no attention mask")
    return per_layer(c, "layer_types", WINDOWS, lambda index: "local" if local(index) else "global", other="global")


def layered(path: str, axes: Sequence[Sequence[str]], build: Callable[..., Tree], **fields: Any) -> Tree:
    """Layers that differ along axes, each a word per layer: one kind for every combination of words that occurs, named
    after those that vary, and `layer` where none does."""
    varies = [len(set(axis)) > 1 for axis in axes]
    rows = list(zip(*axes, strict=False))

    def name(row: Sequence[str]) -> str:
        return "_".join(compress(row, varies)) or "layer"

    kinds = {name(row): build(*row) for row in dict.fromkeys(rows)}
    return stack(path, kinds, order_of([name(row) for row in rows]), **fields)


def learned_activation(activation: str, path: str) -> Tree:
    """The parameters of an activation that is learned; most have none.

    PReLU (He et al. 2015) has a slope, a tensor of one element; the two of xIELU belong to the network that it is in.
    """
    slopes = {"prelu": ("weight",)}.get(activation, ())
    return {f"slope_{slope}": tree(kind="tensor", shape=[1], path=f"{path}.{slope}", component="feed_forward") for slope in slopes}


def plain_activation(c: Config, key: str = "hidden_act", default: str = "gelu") -> str:
    """The name of an activation; one that is learned is refused, as its place in the reference is not known here."""
    name = c.text(key, default)
    if name in ("prelu", "xielu"):
        c.fail(key, f"{name!r} holds parameters of its own, which are not known for {c.model_type}")
    return name


def rate(c: Config, key: str) -> float | None:
    """A dropout rate, or None where nothing is dropped."""
    return c.number(key) or None


def dropped(c: Config, key: str, name: str = "dropout") -> Tree:
    """A dropout of the stream, as a part, where its rate is not 0."""
    return {name: {"kind": "dropout", "rate": found}} if (found := rate(c, key)) else {}


def under(prefix: str, parts: Tree) -> Tree:
    """Parts with their reference names put under a prefix; one whose name starts with `/` stands at the root."""
    return {
        name: part | {"path": (prefix + part["path"]).rstrip(".")} if "path" in part and not part["path"].startswith("/") else part
        for name, part in parts.items()
    }


def document(c: Config, parts: Tree, *, width: int | None = None, **fields: Any) -> Tree:
    """The full form of a model whose stream has the config's width, or another."""
    about = tree(
        model_type=c.model_type,
        context=None if "context" in fields else c.optional("max_position_embeddings"),
        dtype=c.text("dtype") or c.text("torch_dtype") or None,
        quantization=c.value("quantization_config"),
    )
    return about | tree(**fields) | {"width": width or c.size("hidden_size"), "parts": tree(**parts)}


def decoder_parts(
    c: Config,
    layers: Tree,
    norm: Tree | None,
    *,
    base: str = "model",
    embed: str = "embed_tokens",
    extra: Tree | None = None,
    last: Tree | None = None,
    head: str = "lm_head",
    head_bias: bool = False,
    tie: bool | None = False,
    qa_base: str | None = None,
    head_fields: Tree | None = None,
) -> Tree:
    """A decoder: token table, what else is added to it (`extra`), layers, what follows them (`last`), final norm, and the
    head its task asks for.

    Paths are those below the base model; with a head they gain the prefix `base` (`qa_base` with a question answering
    one, where that differs). `tie` is what the class defaults to, None where the reference ties nothing, whatever is said.
    """
    task = c.task("causal_lm")
    if task == "question_answering" and qa_base:
        base = qa_base
    prefix = "" if task == "base" else f"{base}."
    vocabulary = c.size("vocab_size")
    parts: Tree = {"embedding": {"vocabulary": vocabulary, "path": embed}, **(extra or {}), "layers": layers, **(last or {})}
    if norm:
        parts["norm"] = norm
    parts = {name: part | {"path": (prefix + part["path"]).rstrip(".")} for name, part in parts.items()}
    return parts | task_head(
        c,
        task,
        head=tree(
            kind="head", path=head, outputs=vocabulary, bias=head_bias or None, tied=None if tie is None else tied(c, "embedding", tie)
        )
        | (head_fields or {}),
    )


def task_head(c: Config, task: str, head: Tree) -> Tree:
    """The head of a decoder by its task; classifiers as the reference's generic ones have them."""
    if task == "base":
        return {}
    if task == "sequence_classification":
        return {"head": tree(kind="dense", path="score", outputs=labels(c), bias=False, component="head")}
    if task == "token_classification":
        bias = c.flag("token_classification_bias", True)
        return {"head": tree(kind="dense", path="score", outputs=labels(c), bias=bias, component="head")}
    if task == "question_answering":
        return {"head": tree(kind="dense", path="qa_outputs", outputs=2, bias=True, component="head")}
    if task not in ("causal_lm", "generation"):
        c.fail("architectures", f"{c.architecture()!r} is a class whose head is not known for {c.model_type}")
    return {"head": head}
