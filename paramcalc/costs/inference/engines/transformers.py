"""transformers 5.23 on torch 2.13: `generate` with its dynamic cache (or a static one), eager operations, no compilation.

Caches (src/transformers/cache_utils.py): a `DynamicLayer` holds every token, a `DynamicSlidingWindowLayer` the last
window - 1 once the prompt is longer; a static one holds min(context, window). Latent attention keeps its latent (the
models' `past_key_values.update` comes before `kv_b_proj`). Recurrent states are fp32 in the pure torch path, convolutions
keep their whole kernel. Cross attention keeps the source's length. Encoders keep nothing.

Activations, from the operations that each model writes down, checked on meta tensors (`tests/golden/prefill_peaks.json`):
four copies of the stream live in a decoder (embeddings, the layer's input, what was added to it, the normed one), then the
widest network. Scores are whole only where a model has no other attention: in fp32 for the softmax beside themselves.
"""

from __future__ import annotations

from paramcalc.costs.inference.caches import Kept, bytes_at, ideal, is_state, tokens_of
from paramcalc.costs.inference.job import Settings
from paramcalc.costs.inference.overheads import CONTEXT, WORKSPACE
from paramcalc.costs.inference.rank import Rank
from paramcalc.costs.inference.widths import Network
from paramcalc.costs.terms import MODEL, Term
from paramcalc.model.rows import CacheRow

CACHE_SOURCE = "DynamicCache after a prefill, cache_utils.py of transformers 5.23"
OVERHEAD = (CONTEXT, WORKSPACE)
STATIC_SOURCE = "StaticCache, cache_utils.py of transformers 5.23"
NOT_MODELLED = (
    "memory that torch's allocator keeps but no tensor uses (fragmentation)",
    "the fallback in pure torch of state-space and delta-rule layers, which holds far more while it reads a prompt than their kernels do",
    "buffers of kernels for quantized weights (ExLlama keeps one whole matrix in 16 bits, and one of 2,048 tokens)",
    "assisted decoding, beams, and the processors of logits that sample",
)

STREAMS = 4
FP32 = 4
EAGER_ONLY = frozenset(
    {
        "big_bird", "bigbird_pegasus", "bloom", "codegen", "cpmant", "deepseek_v4", "flaubert", "flint", "gemma2", "gpt_neo",
        "gpt_neox_japanese", "gpt_oss", "gptj", "granite_swa", "granitemoe_swa", "hy_v4", "inkling2", "inkling2_text", "longt5",
        "megatron-bert", "mimo_v2_flash", "mpt", "mvp", "nllb-moe", "openai-gpt", "prophetnet", "rembert", "roformer",
        "speech_to_text", "switch_transformers", "trocr", "vaultgemma", "xglm", "xlm", "xlnet",
    }
)  # fmt: skip
"""Model types whose classes have `_supports_sdpa = False` in transformers 5.23 and so make their scores whole."""
NO_CACHE = frozenset({"openai-gpt"})
"""Model types whose classes in transformers 5.23 keep nothing and compute every token anew."""
FP32_ROUTING = 6
"""Rows of experts are weighed in fp32 where a router's scores are: 2 + 4 widths of 16 bits live instead of 4."""


def kept(rank: Rank) -> list[Kept]:
    """What the cache holds, by the shape of its tensors."""
    settings = rank.settings
    return [Kept(row, ideal(row, settings), _held(row, rank)) for row in rank.caches]


def _held(row: CacheRow, rank: Rank) -> int:
    if rank.model_type in NO_CACHE:
        return 0
    return bytes_at(row, _tokens(row, rank.settings), rank.settings)


def _tokens(row: CacheRow, settings: Settings) -> int:
    if row.per == "sequence" or row.window is None or row.rest or settings.cache == "static":
        return tokens_of(row, settings)
    entries = (settings.source if row.per == "source" else settings.context) // row.every
    return entries if entries < row.window else row.window - 1


def activations(rank: Rank) -> Term:
    """The larger of the whole prompt at once and one more token."""
    prefill, most = _prefill(rank)
    step = _decode(rank)
    found = max(prefill, step)
    return Term(
        "activations",
        found,
        MODEL,
        "operations of the models in transformers 5.23: four copies of the stream and the widest network, scores where they are whole",
        f"a prefill of {rank.settings.prompt:,} tokens at once" if prefill >= step else "one step of decoding",
        low=found * 9 // 10,
        high=max(found, most) * 11 // 10,
    )


def _prefill(rank: Rank) -> tuple[int, int]:
    """(bytes, most) of the prompt at once: the widest layer, or the logits, and what windowed layers still hold."""
    settings = rank.settings
    usual = most = 0
    for network in rank.networks:
        tokens = _axis(network, settings)
        scores = _scores(network, rank, tokens)
        elements = settings.sequences * tokens * settings.element
        usual = max(usual, elements * _width(network) + scores)
        most = max(most, elements * _width(network, FP32_ROUTING) + scores)
    beside = _views(rank) + _mask(rank)
    return max(usual, _logits(rank)) + beside, max(most, _logits(rank)) + beside


def _axis(network: Network, settings: Settings) -> int:
    """Tokens of one sequence that pass a network at once."""
    if isinstance(network.tokens, int):
        return network.tokens
    return settings.source if network.tokens == "source" else settings.prompt


def _width(network: Network, rows: int = 4) -> int:
    """Elements per token: experts hold the rows that come in, gate and up, both activations; or, when they are put back, the
    rows before and after, weighed and sorted."""
    routed = network.routed
    experts = max(routed.rows + routed.made + 2 * routed.read, rows * routed.rows) if routed.rows else 0
    return STREAMS * network.stream + max(network.made + network.read + network.again, experts)


def _scores(network: Network, rank: Rank, tokens: int) -> int:
    """Scores of one layer: themselves, and their softmax in fp32 beside what it is taken of."""
    settings = rank.settings
    if not network.heads or not _is_eager(network, rank):
        return 0
    each = settings.element + 2 * FP32 if network.upcast else 3 * settings.element
    return settings.sequences * network.heads * tokens * tokens * each


def _is_eager(network: Network, rank: Rank) -> bool:
    wish = rank.settings.attention
    if wish == "flash":
        return False
    return wish == "eager" or network.whole_scores or rank.model_type in EAGER_ONLY


def _views(rank: Rank) -> int:
    """Windowed layers keep a slice of the whole prompt's keys and values, which stay until the next token replaces it."""
    settings = rank.settings
    if settings.cache == "static":
        return 0
    rows = [row for row in rank.caches if row.window and not is_state(row)]
    return sum(max(0, bytes_at(row, settings.prompt // row.every - _tokens(row, settings), settings)) for row in rows)


def _mask(rank: Rank) -> int:
    """A window needs a mask [prompt, prompt] of one byte each, once for all layers and sequences."""
    settings = rank.settings
    windows = {row.window for row in rank.caches if row.window and row.window < settings.prompt and not is_state(row)}
    return settings.prompt**2 * len(windows) if settings.attention != "flash" else 0


def _logits(rank: Rank) -> int:
    """Of the last token in a decoder, with `generate`'s copy in fp32; of every token in an encoder."""
    head, settings = rank.logits, rank.settings
    if head is None:
        return 0
    if head.decodes:
        return settings.sequences * head.width * (settings.element + FP32)
    return settings.sequences * settings.prompt * head.width * settings.element


def _decode(rank: Rank) -> int:
    """One token: a layer's keys are copied to make room for it, a latent is expanded whole."""
    settings = rank.settings
    rows = [row for row in rank.caches if not is_state(row) and row.repeat]
    copied = 0
    if settings.cache == "dynamic":
        copied = max((bytes_at(row, _tokens(row, settings), settings) // row.repeat for row in rows), default=0)
    tokens = settings.context * settings.sequences if rows else 0
    expanded = max((n.expands for n in rank.networks), default=0) * tokens * settings.element
    return max(copied, expanded, _logits(rank) if rows else 0)
