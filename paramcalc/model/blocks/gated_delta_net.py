"""Linear attention that writes its state by the gated delta rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, CacheRow, Row, conv_state, depthwise, linear, norm, state
from paramcalc.model.tape import FP32

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class GatedDeltaNet(Block):
    """Gated DeltaNet (Yang et al. 2025, ICLR, §3): each value head keeps a matrix [key_dim, value_dim] that decays and is
    corrected towards the new key's value; queries and keys have `key_heads` heads, which value heads share.

    With keys = key_heads·key_dim and values = value_heads·value_dim: q and k [keys, width], v and the output gate
    [values, width], the step b and the decay a [value_heads, width], one depthwise convolution [2·keys + values, 1,
    kernel], dt_bias and A_log [value_heads], a norm [value_dim] that all heads share, out [width, values].
    State per sequence: (2·keys + values)·kernel in the model's format, value_heads·key_dim·value_dim in fp32.
    """

    home: ClassVar[str] = "linear_attention"
    packages: ClassVar[str] = "flash-linear-attention and causal-conv1d"

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

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """As transformers computes it (`Qwen3NextGatedDeltaNet`, `OlmoHybridGatedDeltaNet`)."""
        keys, values = self.key_heads * self.key_dim, self.value_heads * self.value_dim
        mixed, gate, step, decay = self._read(tape, x, keys, values)
        mixed = tape.causal_convolution("conv1d", mixed, self.kernel, "silu")
        query, key, value = (tape.slice(mixed, width) for width in (keys, keys, values))
        beta = tape.unary("sigmoid", step)
        rate = tape.scale(tape.unary("exp", tape.cast(tape.weight("A_log"), FP32)))
        shifted = tape.add(tape.cast(decay, FP32), tape.weight("dt_bias"))
        rates = tape.multiply(rate, tape.unary("softplus", shifted))
        made = tape.delta_rule(query, key, value, rates, beta, heads=self.value_heads, key_heads=self.key_heads)
        normal = tape.rms_norm(made, name="norm.weight", parts=self.value_heads)
        made = tape.cast(tape.multiply(normal, tape.unary("silu", tape.cast(gate, FP32))), made.dtype)
        return tape.linear("out_proj", made)

    def _read(self, tape: Tape, x: Value, keys: int, values: int) -> tuple[Value, Value, Value, Value]:
        """What the convolution reads, the output gate, the step b and the decay a."""
        if self.fused == "qkvz":
            return self._divided(tape, x, keys, values)
        if self.fused == "qkv":
            mixed = tape.linear("qkv_proj", x)
        else:
            mixed = tape.join(*(tape.linear(name, x) for name in ("q_proj", "k_proj", "v_proj")))
        return mixed, tape.linear("z_proj", x), tape.linear("b_proj", x), tape.linear("a_proj", x)

    def _divided(self, tape: Tape, x: Value, keys: int, values: int) -> tuple[Value, Value, Value, Value]:
        """Slices of the fused projections. They lie key head by key head, so that parts of several value heads are copied."""
        whole, both = tape.linear("qkvz_proj", x), tape.linear("ba_proj", x)
        query, key, value, gate = (tape.slice(whole, width) for width in (keys, keys, values, values))
        step, decay = tape.slice(both, self.value_heads), tape.slice(both, self.value_heads)
        if self.key_heads != self.value_heads:
            value, gate, step, decay = (tape.copy(part) for part in (value, gate, step, decay))
        return tape.join(query, key, value), gate, step, decay
