"""What a process takes beside its tensors: constants that somebody weighed, each with what was weighed, where, and its spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from paramcalc.costs.terms import MEASURED, Term
from paramcalc.words.units import GIB, MIB


class Weighed(NamedTuple):
    """One constant with the least and the most that was seen."""

    name: str
    bytes: int
    low: int
    high: int
    source: str


CONTEXT = Weighed(
    "cuda_context",
    450 * MIB,
    300 * 10**6,
    749 * MIB,
    "pytorch/pytorch#107667 (about 300 MB since CUDA 11.7 loads kernels lazily); ggml-org/llama.cpp#27953 (749 MiB on an RTX PRO 6000)",
)
"""Driver state and loaded kernels of one process on one device. Older stacks, which load every kernel, took over 1 GB."""

WORKSPACE = Weighed(
    "cublas_workspace",
    32 * MIB,
    8_519_680,
    64 * MIB,
    "8,519,680 bytes before Hopper, 32 MiB since (pytorch/pytorch#120925), once more for cuBLASLt",
)
"""What torch allocates for it. Qwen3's own figures (speed_benchmark.md, H20, 33 runs of 0.6B to 8B) exceed weights and cache by
34.6 to 38.5 MB, whatever the model: this, and little else."""

GRAPHS = Weighed(
    "cuda_graphs",
    int(0.36 * GIB),
    int(0.13 * GIB),
    int(1.62 * GIB),
    "vLLM's own logs: 0.13 GiB (generative-computing/mellea#416, 0.5B), 0.21 (vllm#11349, 1B), 0.36 (gpustack/runner#251), "
    "1.62 (vllm#39559, 86 graphs)",
)
"""CUDA graphs of vLLM, which grow with how many batch sizes are captured."""

NON_TORCH = Weighed(
    "runtime",
    int(0.16 * GIB),
    int(0.05 * GIB),
    int(0.73 * GIB),
    "`non_torch_memory` in vLLM's logs of one GPU: 0.05 GiB (L4), 0.12 (H100), 0.16 (vllm#12126), 0.35 (RTX 3090, vllm#10517), 0.73 (H200)",
)

COMMUNICATION = Weighed(
    "communication",
    1_060_000_000,
    300 * MIB,
    int(1.79 * GIB),
    "NCCL on 8 H100: 1.06 GB before the first all-to-all (NVIDIA/nccl#1685); 1.79 GiB more on 2 than on 1 (vllm#10511)",
)
"""NCCL's buffers and channels, where there is more than one device."""


def overhead(parts: Sequence[Weighed]) -> Term:
    """All of them as one term; its further figures are the parts."""
    return Term(
        "overhead",
        sum(part.bytes for part in parts),
        MEASURED,
        "; ".join(part.source for part in parts),
        "per process and device, whatever the model: " + ", ".join(part.name.replace("_", " ") for part in parts),
        low=sum(part.low for part in parts),
        high=sum(part.high for part in parts),
        extra=tuple((part.name, part.bytes) for part in parts),
    )
