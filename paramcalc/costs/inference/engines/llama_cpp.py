"""llama.cpp with all layers on the device: cells of a unified cache, fp32 states, one compute buffer.

- Cache (src/llama-context.cpp, src/llama-kv-cache.cpp): as many cells as all sequences have tokens, padded to 256; each cell
  holds one row of keys and one of values in the cache's types.
- Windows (src/llama-kv-cache-iswa.cpp): windowed layers hold pad256(min(cells, window · slots + ubatch)) cells. Model types
  that llama.cpp computes without their window (its `llama` and `phi3` architectures, and others) hold every cell.
- Latent attention (src/llama-kv-cache.cpp): one row of kv_rank + rope_dim a token, which is key and value at once.
- Recurrent states (src/llama-memory-recurrent.cpp): fp32, one a slot, with k - 1 columns of a convolution over k tokens.
- Compute buffer (src/llama-context.cpp, `graph_reserve`): one physical batch in fp32. Its peak is the logits of every token of
  the batch beside one copy of the stream; or attention, with its mask in fp32 and again in fp16 (flash, the default), or with
  its mask and whole scores (`eager`). `tests/test_inference_llama_cpp.py` holds it against published logs.
"""

from __future__ import annotations

from paramcalc.costs.inference.caches import Kept, bytes_at, format_of, ideal, is_state
from paramcalc.costs.inference.job import Settings
from paramcalc.costs.inference.overheads import CONTEXT
from paramcalc.costs.inference.rank import Rank
from paramcalc.costs.terms import MODEL, Term
from paramcalc.model.rows import CacheRow
from paramcalc.words.errors import UsageError
from paramcalc.words.sizes import product

CACHE_SOURCE = "src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp and llama-memory-recurrent.cpp of ggml-org/llama.cpp"
OVERHEAD = (CONTEXT,)
NOT_MODELLED = (
    "pools of the CUDA backend that grow while it runs, and buffers on the host",
    "the token table, which stays in the host's memory, is counted with the weights",
    "layers kept on the host (-ngl), drafts of speculative decoding",
)

PAD = 256
"""Cells: `GGML_PAD(n_ctx, 256)` and the window's padding (ggml-org/llama.cpp#17037, #17046)."""
FP32 = 4
NO_WINDOW = frozenset(["ministral", "mistral", "mixtral", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "starcoder2"])
"""Model types whose window llama.cpp does not apply: src/models/llama.cpp, phi3.cpp (#13676), qwen2.cpp, starcoder2.cpp set no swa_type."""
WHOLE_LATENT = frozenset({"minicpm3", "plm"})
"""Model types with latent attention that llama.cpp expands: src/models/minicpm3.cpp and plm.cpp are not `is_mla`."""


def padded(cells: int) -> int:
    return -(-cells // PAD) * PAD


def kept(rank: Rank) -> list[Kept]:
    return [Kept(row, ideal(row, rank.settings), _reserved(row, rank)) for row in rank.caches]


def _reserved(row: CacheRow, rank: Rank) -> int:
    settings = rank.settings
    shape = row.suffices or row.shape
    if is_state(row):
        return FP32 * product(shape) * settings.slots * row.repeat
    if row.per == "sequence":
        return bytes_at(row, 1, settings)
    form = format_of(row, settings)
    if row.expanded is not None and rank.model_type in WHOLE_LATENT:
        shape = row.expanded
    if not form.fits(product(shape)):
        raise UsageError(
            f"{form.name} stores blocks of {form.elements}, and a {row.name} has {product(shape)} elements", place="kv_dtype", hint="f16"
        )
    return form.bytes_for(product(shape)) * cells_of(row, rank) * row.repeat


def cells_of(row: CacheRow, rank: Rank) -> int:
    """Cells of one layer, for all sequences together."""
    settings = rank.settings
    tokens = settings.source if row.per == "source" else settings.context
    if row.rest:  # room for a whole run, whatever is left over now
        return row.every * settings.slots
    cells = padded(-(-tokens // row.every) * settings.batch)
    if row.window is None or rank.model_type in NO_WINDOW:
        return cells
    return padded(min(cells, row.window * settings.slots + batch_of(settings)))


def batch_of(settings: Settings) -> int:
    """Tokens of a physical batch: no more than there are in all (`n_ubatch <= n_batch <= n_ctx`)."""
    return min(settings.ubatch, settings.context * settings.batch)


def activations(rank: Rank) -> Term:
    """The compute buffer: the widest of attention, another network, and the logits."""
    tokens = batch_of(rank.settings)
    column = tokens * FP32
    mask = _masks(rank) * column
    flash = rank.settings.attention != "eager"
    kept_mask = mask // 2 if flash else mask  # flash attention reads it cast to fp16, which is made once and stays
    size = 0
    for n in rank.networks:
        inside = (n.made + n.read + n.routed.made + n.routed.read + n.routed.rows) * column
        if n.heads and flash:
            size = max(size, mask + kept_mask + inside + 3 * n.stream * column)
        elif n.heads:
            size = max(size, n.heads * _cells(rank) * column + mask + 4 * n.stream * column)
        else:
            size = max(size, kept_mask + inside + 3 * n.stream * column)
    head = rank.logits
    stream = max((n.stream for n in rank.networks), default=0) * column
    last = head.width * column + stream if head else 0
    found = max(size, last)
    return Term(
        "activations",
        found,
        MODEL,
        "graph_reserve in src/llama-context.cpp: one physical batch in fp32, with the logits of each of its tokens",
        f"the compute buffer of {tokens:,} tokens" + ("" if flash else ", scores whole"),
        low=found * 9 // 10,
        high=found * 11 // 10,
    )


def _masks(rank: Rank) -> int:
    """Cells that the masks cover: one mask for all layers without a window, one for those with it."""
    return sum({cells_of(row, rank) for row in rank.caches if row.per == "token" and not is_state(row)})


def _cells(rank: Rank) -> int:
    return max((cells_of(row, rank) for row in rank.caches if row.per == "token" and not is_state(row)), default=0)
