"""vLLM's V1 engine: pages of 16 tokens from one pool, the same page for all kinds of layers, a profiled peak.

- Pages (vllm/v1/kv_cache_interface.py): keys and values of 16 tokens of one layer. A full layer takes ceil(context / 16) of
  them a sequence; a windowed one ceil(min(window - 1 + chunk, context) / 16) + 1; a chunked one ceil(min(chunk of attention +
  chunk, context) / 16); cross attention those of the source; a latent is one row for keys and values; a recurrent layer one page
  of its states. int8 keys and values carry one fp32 scale a token and head.
- Kinds of layers in one model (vllm/v1/core/kv_cache_utils.py, `unify_kv_cache_spec_page_size`,
  `_get_kv_cache_groups_uniform_page_size`): pages become equal, by longer blocks, and layers form groups of equal size, the
  last of a kind padded. With recurrent layers (vllm/platforms/interface.py) attention's block grows, in steps of 16, until its
  page holds the states, and theirs is padded to it.
- States (vllm/model_executor/layers/mamba/mamba_utils.py): k - 1 columns of a convolution, in the model's format; recurrent ones
  too, unless the model's own config asks for fp32.
- Weights: vocabularies padded to 64 (`VocabParallelEmbedding`), and one table of cosines and sines for all positions.
- Activations: the profiling run. Either a chunk of a prefill through the widest layer, or sampling for every slot.

What is reserved here is what these sequences take of the pool, by which vLLM tells its maximum concurrency.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from paramcalc.costs.inference.caches import Kept, format_of, ideal, is_state
from paramcalc.costs.inference.job import Settings
from paramcalc.costs.inference.overheads import CONTEXT, GRAPHS, NON_TORCH, WORKSPACE
from paramcalc.costs.inference.rank import Rank
from paramcalc.costs.inference.sharding import Piece
from paramcalc.costs.inference.widths import Network
from paramcalc.costs.terms import MODEL, Term
from paramcalc.model.rows import CacheRow
from paramcalc.words.formats import FORMATS
from paramcalc.words.sizes import product

CACHE_SOURCE = "KVCacheSpec.max_memory_usage_bytes and the groups of vllm/v1/core/kv_cache_utils.py"
OVERHEAD = (CONTEXT, WORKSPACE, NON_TORCH, GRAPHS)
NOT_MODELLED = (
    "the rest of the pool: vLLM takes --gpu-memory-utilization of the device, whatever it needs",
    "blocks of 64 or 128 tokens that some kernels for latent attention ask for",
    "copies that kernels make of quantized weights when they are loaded (Marlin, Machete), and the encoder cache of images",
)

BLOCK = 16
VOCABULARY = 64
"""DEFAULT_VOCAB_PADDING_SIZE in vllm/model_executor/layers/vocab_parallel_embedding.py."""
FP32 = 4
STREAMS = 3
"""Copies of the stream beside the widest network: 3 × width and gate, up and their product meet the profiled peaks of
vllm#10517 (Llama-3.1-8B, 20,000 and 29,000 tokens at once: 2.07 and 2.99 GiB) within 0.5 %."""
SAMPLING = 39
SAMPLING_LOW, SAMPLING_HIGH = 38, 44
"""Bytes per logit while the profiling run samples for all slots: logits in 16 bits and fp32, sorted with their places, their
probabilities, sums and masks. Logs of vLLM with 256 slots: 38.4 (Phi-4-mini), 38.9 (Llama-3.1-8B), 39.2 (phi-1.5, OPT-125m),
41.2 (Llama-3-8B, vllm#10511), 43 (TinyLlama)."""

FP32_STATES = ("bailing_hybrid", "kimi_linear", "nemotron_h", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen4_exp")
"""Model types whose states are fp32 without being asked: their configs say so (`mamba_ssm_dtype`), which
vllm/model_executor/models/config.py follows, or their class does (`kda_state_dtype`)."""
WHOLE_LATENT = frozenset({"minicpm3"})
"""Model types with latent attention that vLLM computes with ordinary heads, values padded to the keys' size
(vllm/model_executor/models/minicpm3.py)."""

FULL, WINDOW, CHUNK, CROSS, STATES = "full", "window", "chunk", "cross", "states"


class Spec(NamedTuple):
    """What vLLM knows of one layer's cache (a KVCacheSpec)."""

    kind: str
    token: int
    """Bytes of one token, or of all states."""
    limit: int
    """Window, chunk or source; 0 where there is none."""
    block: int = BLOCK
    page: int = 0
    """Bytes that a page takes once pages are equal."""
    tokens: int = 0
    """Tokens to hold at most."""

    @property
    def pages(self) -> int:
        """Pages of one sequence."""
        if self.kind == STATES:
            return 1
        return -(-self.tokens // self.block) + (self.kind == WINDOW)


class Layer(NamedTuple):
    """Layers of one kind in a stage: their rows, what vLLM makes of them, how many."""

    rows: tuple[CacheRow, ...]
    spec: Spec
    copies: int


def divide(layers: int, stages: int) -> list[int]:
    """Layers of each stage: what does not divide goes to the stages before the last (`get_pp_indices`)."""
    sizes = [layers // stages] * stages
    for place in range(2, layers % stages + 2):
        sizes[-place] += 1
    return sizes


def kept(rank: Rank) -> list[Kept]:
    """Every row; what a layer reserves stands at its first one."""
    settings = rank.settings
    layers = [layer for piece in rank.stage.pieces for layer in _layers(piece, rank)]
    return [
        Kept(row, _needed(row, rank), reserved * settings.sequences if number == 0 else 0)
        for layer, reserved in zip(layers, _reserved([layer.spec for layer in layers], [layer.copies for layer in layers]), strict=True)
        for number, row in enumerate(layer.rows)
    ]


def _needed(row: CacheRow, rank: Rank) -> int:
    """As the mathematics needs it, recurrent states in the format that vLLM keeps them in."""
    if is_state(row):
        return product(row.suffices or row.shape) * _state_bytes(row, rank) * row.repeat * rank.settings.sequences
    return ideal(row, rank.settings)


def _layers(piece: Piece, rank: Rank) -> list[Layer]:
    """The specs of one block: one for all rows that are kept alike."""
    alike: dict[tuple[object, ...], list[CacheRow]] = {}
    for row in piece.caches:
        alike.setdefault((is_state(row), row.per, row.window, row.every, row.rest), []).append(row)
    return [Layer(tuple(rows), _spec(tuple(rows), piece, rank), rows[0].repeat) for rows in alike.values()]


def _spec(rows: tuple[CacheRow, ...], piece: Piece, rank: Rank) -> Spec:
    settings, first = rank.settings, rows[0]
    if is_state(first):
        size = sum(product(row.suffices or row.shape) * _state_bytes(row, rank) for row in rows)
        return Spec(STATES, size, 0)
    if first.per == "sequence":  # cross attention over a source of fixed length
        tokens = int(first.shape[0])
        return Spec(CROSS, sum(_token_bytes(row, row.shape[1:], settings) for row in rows), tokens, tokens=tokens)
    token = sum(_token_bytes(row, row.shape, settings) for row in rows)
    if first.expanded is not None and rank.model_type in WHOLE_LATENT:
        block = piece.block
        token = 2 * int(first.expanded[0]) * (block.nope_dim + block.rope_dim) * format_of(first, settings).block_bytes  # type: ignore[attr-defined]
    if first.per == "source":
        return Spec(CROSS, token, settings.source, tokens=settings.source)
    if first.rest:  # room for a whole run, whatever is left over now
        return Spec(CROSS, token, first.every, tokens=first.every)
    context = -(-settings.context // first.every)
    if first.window is None:
        return Spec(FULL, token, 0, tokens=context)
    chunked = getattr(piece.block, "chunk", None) is not None and getattr(piece.block, "window", None) is None
    tokens = min(first.window - (0 if chunked else 1) + settings.ubatch, context)
    return Spec(CHUNK if chunked else WINDOW, token, first.window, tokens=tokens)


def _token_bytes(row: CacheRow, shape: tuple[int, ...], settings: Settings) -> int:
    form = format_of(row, settings)
    scales = FP32 * int(shape[0]) if form.name == "int8" and row.split is not None else 0
    return form.bytes_for(product(shape)) + scales


def _state_bytes(row: CacheRow, rank: Rank) -> int:
    """Bytes of one element: the model's format, but for recurrent states whose model asks for another."""
    settings = rank.settings
    if row.dtype == "compute":
        return settings.element
    if settings.state_dtype is not None:
        return FORMATS[settings.state_dtype].block_bytes
    return FP32 if rank.model_type in FP32_STATES else settings.element


def _reserved(specs: list[Spec], counts: list[int]) -> list[int]:
    """Bytes of one sequence for each of these layers, all copies together."""
    kinds = {(spec.kind, spec.limit) for spec in specs}
    if len(kinds) <= 1:
        return [_page(spec) * spec.pages * count for spec, count in zip(specs, counts, strict=True)]
    equal = _equal_pages(specs)
    layers: dict[Spec, int] = {}
    for spec, count in zip(equal, counts, strict=True):
        layers[spec] = layers.get(spec, 0) + count
    least, most = min(layers.values()), max(layers.values())
    size = most if most < least * 1.5 else least
    whole = {spec: -(-count // size) * size * spec.pages * spec.page for spec, count in layers.items()}
    made = []
    for spec, count in zip(equal, counts, strict=True):
        share = whole[spec] * count // layers[spec]
        made.append(share)
    return made


def _page(spec: Spec) -> int:
    return spec.token if spec.kind == STATES else spec.token * spec.block


def _equal_pages(specs: Iterable[Spec]) -> list[Spec]:
    """All specs with one page size: attention's block holds the states, smaller rows get longer blocks."""
    specs = list(specs)
    states = max((spec.token for spec in specs if spec.kind == STATES), default=0)
    rows = max((spec.token for spec in specs if spec.kind != STATES), default=1)
    block = max(BLOCK, BLOCK * -(-states // (BLOCK * rows)))
    page = max(block * rows, states)
    return [
        spec._replace(page=page, block=0 if spec.kind == STATES else block * (rows // spec.token)) for spec in specs
    ]  # a row that does not divide the largest wastes the rest of its page


def beside_weights(rank: Rank) -> list[tuple[str, int]]:
    """Cosines and sines of every position, one table for all layers whose heads are of one size; and where weights are quantized,
    latent attention's expansion once more in 16 bits, which its decoding multiplies by (`process_weights_after_loading` in
    vllm/v1/attention/backends/mla/common.py)."""
    pieces, element = rank.stage.pieces, rank.settings.element
    dims = {_rotated(piece) for piece in pieces if getattr(piece.block, "rotary", False) or hasattr(piece.block, "rope_dim")}
    positions = int(rank.architecture.context or rank.settings.context)
    tables = sum(positions * wide * element for wide in dims)
    again = 0
    if rank.settings.scheme.method != "none" and rank.model_type not in WHOLE_LATENT:
        rows = [tensor.row for piece in pieces for tensor in piece.tensors if tensor.row.role == "kv_b_proj" and len(tensor.row.shape) == 2]
        again = sum(row.elements * row.repeat * element for row in rows)
    return [(name, size) for name, size in (("rotary_tables", tables), ("latent_expansion", again)) if size]


def _rotated(piece: Piece) -> int:
    rope = getattr(piece.block, "rope_dim", None)
    if rope:
        return int(rope)
    given, dims = getattr(piece.block, "rotary_dims", None), getattr(piece.block, "dims", None)
    return int(given or (dims(piece.place)[2] if dims else 0))


def activations(rank: Rank) -> Term:
    """The larger of a chunk of a prefill and of sampling for all slots, which the engine does once to see what is left."""
    settings = rank.settings
    chunk = settings.ubatch * settings.element * max((_width(n) for n in rank.networks), default=0)
    head = rank.logits
    sampled = settings.slots * head.width * settings.tp if head else 0
    size = max(chunk, sampled * SAMPLING)
    profile = f"a chunk of {settings.ubatch:,} tokens" if chunk >= sampled * SAMPLING else f"sampling for {settings.slots:,} slots"
    return Term(
        "activations",
        size,
        MODEL,
        "the profiling run: three copies of the stream and the widest network; 39 bytes a logit while it samples, from vLLM's logs",
        profile,
        low=max(chunk * 9 // 10, sampled * SAMPLING_LOW),
        high=max(chunk * 11 // 10, sampled * SAMPLING_HIGH),
    )


def _width(n: Network) -> int:
    routed = n.routed
    # fused_moe: what comes in and what goes out of the experts share memory (cache13)
    experts = max(routed.made, routed.rows) + routed.read
    return STREAMS * n.stream + max(n.made + n.read, experts)
