"""Linear attention that writes its state by the gated delta rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, conv_state, depthwise, linear, norm, state


class GatedDeltaNet(Block):
    """Gated DeltaNet (Yang et al. 2025, ICLR, §3): each value head keeps a matrix [key_dim, value_dim] that decays and is
    corrected towards the new key's value; queries and keys have `key_heads` heads, which value heads share.

    With keys = key_heads·key_dim and values = value_heads·value_dim: q and k [keys, width], v and the output gate
    [values, width], the step b and the decay a [value_heads, width], one depthwise convolution [2·keys + values, 1,
    kernel], dt_bias and A_log [value_heads], a norm [value_dim] that all heads share, out [width, values].
    State per sequence: (2·keys + values)·kernel in the model's format, value_heads·key_dim·value_dim in fp32.
    """

    home: ClassVar[str] = "linear_attention"

    key_heads: Count
    value_heads: Count
    key_dim: Count
    value_dim: Count
    kernel: Count
    fused: Literal["qkvz", "qkv"] | None = None
    """Which projections are one matrix: `qkvz` (gate too, and b with a; Qwen3-Next), `qkv` (Qwen3.5), or none (OLMo Hybrid)."""
    state_dtype: Literal["fp32", "compute"] = "fp32"

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        values = n.value_heads * n.value_dim
        mixed = 2 * n.key_heads * n.key_dim + values
        yield from self._projections(at)
        yield from depthwise("conv1d", mixed, n.kernel)
        yield Row("dt_bias", (n.value_heads,), BIAS, split=0)
        yield Row("A_log", (n.value_heads,), split=0)
        yield from norm("norm", n.value_dim)
        yield from linear("out_proj", at.width, values, split=1)

    def _projections(self, at: Place) -> Iterator[Row]:
        n = self.sized
        keys, values = n.key_heads * n.key_dim, n.value_heads * n.value_dim
        if self.fused == "qkvz":
            yield from linear("qkvz_proj", 2 * keys + 2 * values, at.width, split=0)
            yield from linear("ba_proj", 2 * n.value_heads, at.width, split=0)
            return
        if self.fused == "qkv":
            yield from linear("qkv_proj", 2 * keys + values, at.width, split=0)
        else:
            yield from linear("q_proj", keys, at.width, split=0)
            yield from linear("k_proj", keys, at.width, split=0)
            yield from linear("v_proj", values, at.width, split=0)
        yield from linear("z_proj", values, at.width, split=0)
        yield from linear("b_proj", n.value_heads, at.width, split=0)
        yield from linear("a_proj", n.value_heads, at.width, split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        mixed = 2 * n.key_heads * n.key_dim + n.value_heads * n.value_dim
        yield conv_state(mixed, n.kernel)
        yield state("recurrent_state", n.value_heads, n.key_dim, n.value_dim, dtype=self.state_dtype)
