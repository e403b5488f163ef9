"""What other tools and papers compute for the same run, restated from their sources: to compare with, not to plan by.

They count model states and, Megatron's aside, no activations; none counts the loss, the optimizer's temporaries, or what a
layer needs while it is computed.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

MIXED_ADAM = 12
"""Bytes of optimizer state for a parameter under mixed-precision Adam: fp32 weight and two moments (Rajbhandari et al. 2020, §3.1)."""


def zero_paper(parameters: int, ranks: int, stage: int) -> float:
    """Bytes of model states on one rank (Rajbhandari et al. 2020, table 1): fp16 weights and gradients of 2 bytes, and K = 12.

    >>> zero_paper(7_500_000_000, 64, 1) / 1e9
    31.40625
    """
    weights, gradients, state = 2 * parameters, 2 * parameters, MIXED_ADAM * parameters
    return weights / (ranks if stage >= 3 else 1) + gradients / (ranks if stage >= 2 else 1) + state / (ranks if stage >= 1 else 1)


class Estimate(NamedTuple):
    """Bytes on one GPU, and in the memory of one node's host."""

    gpu: int
    host: int


BUFFER = 1.5
"""Factor that DeepSpeed's estimators put on the host's memory ("additional_buffer_factor")."""


def deepspeed_zero2(parameters: int, gpus_per_node: int, nodes: int, *, offload: bool) -> Estimate:
    """`deepspeed.runtime.zero.stage_1_and_2.estimate_zero2_model_states_mem_needs`: weights of 2 bytes on every GPU, and 18 bytes
    shared (2 + 4 of gradients, 12 of states)."""
    gpus = gpus_per_node * nodes
    if offload:
        return Estimate(2 * parameters, int(parameters * max(4 * gpus, 16) * BUFFER))
    return Estimate(int(2 * parameters + 18 * parameters / gpus), int(parameters * 4 * gpus_per_node * BUFFER))


def deepspeed_zero3(
    parameters: int, largest_layer: int, gpus_per_node: int, nodes: int, *, offload: bool, offload_params: bool, zero_init: bool
) -> Estimate:
    """`deepspeed.runtime.zero.stage3.estimate_zero3_model_states_mem_needs`: the largest layer in 4 bytes beside this rank's share."""
    gpus, layer = gpus_per_node * nodes, 4 * largest_layer
    if not offload:
        host = largest_layer if zero_init else parameters
        return Estimate(layer + int(18 * parameters / gpus), int(host * 4 * gpus_per_node * BUFFER))
    state = 18 if offload_params else 16
    gpu = layer if offload_params else layer + int(2 * parameters / gpus)
    share = state / nodes if zero_init else max(4 * gpus_per_node, state / nodes)
    return Estimate(gpu, int(parameters * share * BUFFER))


class Layer(NamedTuple):
    """A transformer layer with one micro-batch."""

    tokens: int
    """Sequence length × micro-batch."""
    length: int
    width: int
    heads: int


def korthikanti(layer: Layer, tp: int = 1, *, sequence_parallel: bool = False, selective: bool = False, full: bool = False) -> float:
    """Bytes of activations of one GPT layer with dropout in 16 bits (Korthikanti et al. 2022, table 2).

    s·b·h·(34 + 5·a·s/h): 11 for attention, 19 for the feed-forward network of 4h, 4 for two layer norms, and 5·a·s² for the
    scores. Megatron's own kernels; transformers keeps more (its GELU alone five tensors of 4h).
    """
    size = layer.tokens * layer.width
    if full:
        return 2.0 * size
    scores = 0 if selective else 5 * layer.heads * layer.length / layer.width / tp
    rest = 34 / tp if sequence_parallel else 10 + 24 / tp
    return size * (rest + scores)


class Megatron(NamedTuple):
    """What Megatron-LM's report is computed from (`megatron/training/theoretical_memory_usage.py`, at d98e8a64)."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    length: int
    micro_batch: int = 1
    gated: bool = False
    untied: bool = False
    layer_norm: bool = False
    """Layer norms have a bias too, RMS norms have not. Biases of projections are not counted."""
    experts: int = 0
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    virtual: int | None = None
    micro_batches: int | None = None
    distributed_optimizer: bool = False

    def per_parameter(self, ranks: float) -> float:
        """bf16 weights, fp32 main gradients, fp32 weights and two moments; the optimizer's part over data-parallel ranks."""
        return 6 + MIXED_ADAM / ranks if self.distributed_optimizer else 6 + MIXED_ADAM


def megatron_states(m: Megatron) -> float:
    """Bytes of weights, gradients and optimizer on the fullest rank: 18 for a parameter, or 6 + 12 / dp.

    Norms and routers are on every tensor-parallel rank; experts are divided among expert-parallel ranks instead of those.
    """
    attention = 2 * m.width * m.width * (1 + m.kv_heads / m.heads)
    network = 2 * m.width * m.ffn * (1.5 if m.gated else 1)
    norms = (2 * m.layers + 1) * m.width * (2 if m.layer_norm else 1)
    divided = m.layers * (attention + (0 if m.experts else network))
    whole = norms + m.layers * m.width * m.experts
    tables = m.width * m.vocabulary * (2 if m.untied and m.pp == 1 else 1)
    dense = (divided / m.pp + tables) / m.tp + whole / m.pp
    experts = m.layers * network * m.experts / m.pp / (m.ep if m.ep > 1 else m.tp)
    expert_ranks = m.dp * m.tp / m.ep if m.ep > 1 else m.dp
    return dense * m.per_parameter(m.dp) + experts * m.per_parameter(expert_ranks)


def megatron_activations(m: Megatron, *, sequence_parallel: bool = True) -> float:
    """Bytes of activations on the first pipeline stage, with selective recomputation (or flash attention): s·b·h·(18 + 4·ffn/h) a
    layer with sequence parallelism; s·b·h·(10 + 24/t) without, and 5 % more. As many micro-batches as the schedule holds."""
    size = m.length * m.micro_batch * m.width
    one = size * (18 + 4 * m.ffn / m.width) if sequence_parallel else size * (10 + 24 / m.tp)
    total = one * m.layers + 8 * m.length * m.micro_batch * m.pp + size * m.pp
    if m.virtual is not None:
        total *= 1 + (m.pp - 1) / (m.pp * m.virtual)
    elif m.pp > 1 and m.micro_batches is not None:
        total *= min(m.micro_batches, m.pp) / m.pp
    if sequence_parallel:
        return (total + (size * 4 * (1 + m.vocabulary / m.width) if m.pp == 1 else 0)) / m.tp
    return 1.05 * (total + (size * 2 * (1 + m.vocabulary / m.width / m.tp) if m.pp == 1 else 0))


def in_flight_layers(layers: int, stages: int, virtual: int) -> int:
    """Layers whose activations the first stage of an interleaved pipeline holds (Korthikanti et al. 2022, §4.2.3)."""
    return ceil(layers * (1 + (stages - 1) / (stages * virtual)))
