"""What no tensor accounts for: constants that somebody weighed, each with its spread."""

from __future__ import annotations

from paramcalc.costs.terms import MEASURED, Term
from paramcalc.words.units import MIB

CONTEXT = (300 * MIB, 500 * MIB, 700 * MIB)
"""CUDA context and loaded kernels of one process: 0.3 to 0.7 GB on datacenter cards, by driver and card."""
LIBRARIES = (8 * MIB, 32 * MIB, 64 * MIB)
"""Workspaces of cuBLAS and cuDNN: 8 to 32 MiB each."""
FRAGMENTATION = 0.23
"""nvidia-smi over the allocator's own peak: 1.01 to 1.9, median 1.23 above 20 GB (pairs of fms-acceleration's benchmark tables,
A100 80GB). It widens the band and is in no term: the allocator returns what it caches when memory runs short."""


def overhead(allocated: int) -> Term:
    """The overhead of one process that has allocated so much."""
    low, usual, high = (a + b for a, b in zip(CONTEXT, LIBRARIES, strict=True))
    return Term(
        "overhead",
        usual,
        MEASURED,
        "CUDA contexts of 0.3 to 0.7 GB, library workspaces of 8 to 32 MiB; nvidia-smi against allocator, fms-acceleration benchmarks",
        f"CUDA context and library workspaces; the band's upper end adds {FRAGMENTATION:.0%} of cached and fragmented memory",
        low=low,
        high=high + int(FRAGMENTATION * allocated),
    )
