"""Gemma: token embeddings scaled by the width, norms before and after each block, local and global layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import GEMMA, PLAIN, Layout, attention, decoder, ends
from paramcalc.gate.families.recipes import PRE_NORM, Tree

gemma = partial(decoder, feed=PLAIN, tie=True)


def capped(c: Config, word: str, **fields: Any) -> Tree:
    """Attention whose logits may be bounded."""
    return attention(c, word, softcap=c.number("attn_logit_softcapping") or None, **fields)


def gemma3_attention(c: Config, word: str) -> Tree:
    """Gemma 3: queries and keys are normed; an attention that looks both ways halves the window."""
    attend = capped(c, word, qk_norm="head")
    if "window" in attend and c.flag("use_bidirectional_attention"):
        attend["window"] = attend["window"] // 2 + 1
    return attend


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "gemma": gemma,
    "gemma2": partial(gemma, attend=capped, sees=partial(ends, period=2), layout=GEMMA),
    "gemma3_text": partial(gemma, attend=gemma3_attention, sees=partial(ends, period=6, key="sliding_window_pattern"), layout=GEMMA),
    "vaultgemma": partial(
        gemma, attend=capped, sees=partial(ends, period=2), layout=Layout(("input_layernorm", "pre_feedforward_layernorm"), PRE_NORM)
    ),
}
