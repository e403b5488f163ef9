"""What the mathematics needs: every cache at this length and no more, one token at a time, nothing around it.

A windowed layer holds min(context, window) tokens, a latent stays a latent, a convolution over k tokens looks back at
k - 1. Keys and values are divided by heads among tensor-parallel ranks.
"""

from __future__ import annotations

from paramcalc.costs.inference.caches import Kept, ideal
from paramcalc.costs.inference.overheads import Weighed
from paramcalc.costs.inference.rank import Rank
from paramcalc.costs.terms import MODEL, Term

CACHE_SOURCE = "entries that a later token looks at, from the blocks' own rows"
OVERHEAD: tuple[Weighed, ...] = ()
NOT_MODELLED = ("any engine: its padding, blocks, workspaces and runtime",)


def kept(rank: Rank) -> list[Kept]:
    return [Kept(row, needed, needed) for row in rank.caches for needed in (ideal(row, rank.settings),)]


def activations(rank: Rank) -> Term:
    """One token of each sequence: the widest layer, or the logits."""
    settings = rank.settings
    widest = max((2 * n.stream + n.made + n.read + sum(n.routed) for n in rank.networks), default=0)
    head = rank.logits
    size = settings.sequences * settings.element * max(widest, head.width if head else 0)
    return Term("activations", size, MODEL, "one token a sequence through the widest layer, or its logits", "one step of decoding")
