"""The selective state space of Mamba."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.recurrences import Made
from paramcalc.model.rows import BIAS, CacheRow, Row, conv_state, depthwise, linear, norm, state

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

FP32 = "fp32"
KERNEL_CHUNK = 2048
"""Tokens between two states that mamba-ssm's scan keeps (selective_scan.cpp)."""


class Mamba(Block):
    """Mamba's mixer (Gu & Dao 2023, §3): `inner` channels with `state` numbers each, whose step, input and output maps
    depend on the token; a gate and a short causal convolution before it.

    Weights: in [2·inner, width], conv [inner, 1, kernel], x [rank + 2·state, inner], dt [inner, rank] with a bias, A_log
    [inner, state], D [inner], out [width, inner]. With `heads` (Zamba) x, dt, A_log and D come per head: x [heads,
    rank + 2·state, inner/heads] and so on. `inner_norms` (Jamba) adds a norm each for dt [rank], B and C [state].
    State per sequence: inner·kernel in the model's format, inner·state in fp32. Nothing grows with the context.
    """

    home: ClassVar[str] = "state_space"
    packages: ClassVar[str] = "mamba-ssm and causal-conv1d"

    inner: Count
    state: Count
    kernel: Count
    rank: Count
    """Width of the step's low-rank projection (`dt_rank`)."""
    heads: Count | None = None
    """Heads with maps of their own, each over inner / heads channels."""
    bias: bool = False
    """Biases of the projections in and out."""
    conv_bias: bool = True
    inner_norms: bool = False
    plain_norms: bool = False
    """Whether dt, B and C are normalised without gains (Falcon Mamba, Zuo et al. 2024)."""
    activation: Activation = "silu"

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.heads and self.inner % self.heads:
            raise ValueError(f"heads ({self.heads}) does not divide inner ({self.inner})")
        return self

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        yield from linear("in_proj", 2 * n.inner, at.width, bias=self.bias, split=0)
        yield from depthwise("conv1d", n.inner, n.kernel, bias=self.conv_bias)
        if self.heads:
            yield from self._per_head()
        else:
            yield from linear("x_proj", n.rank + 2 * n.state, n.inner, split=1)
            yield from linear("dt_proj", n.inner, n.rank, bias=True, split=0)
            yield Row("A_log", (n.inner, n.state), split=0)
            yield Row("D", (n.inner,), split=0)
        yield from linear("out_proj", at.width, n.inner, bias=self.bias, split=1)
        if self.inner_norms:
            yield from norm("dt_norm", n.rank)
            yield from norm("b_norm", n.state)
            yield from norm("c_norm", n.state)

    def _per_head(self) -> Iterator[Row]:
        n = self.sized
        channels = n.inner // n.heads
        yield Row("x_proj_weight", (n.heads, n.rank + 2 * n.state, channels), split=0)
        yield Row("dt_proj_weight", (n.heads, channels, n.rank), split=0)
        yield Row("dt_proj_bias", (n.heads, channels), BIAS, split=0)
        yield Row("A_log", (n.heads, channels, n.state), split=0)
        yield Row("D", (n.heads, channels), split=0)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        yield conv_state(n.inner, n.kernel)
        yield state("recurrent_state", n.inner, n.state)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """As transformers computes it without the kernels of mamba-ssm (`MambaMixer`)."""
        if self.heads:
            raise NotImplementedError("mamba with heads")
        whole = tape.linear("in_proj", x)
        decay = tape.scale(tape.unary("exp", tape.cast(tape.weight("A_log"), FP32)))
        if tape.packages and self.packaged:
            return self._by_kernel(tape, whole, decay, x.width)
        mixed, gate = tape.slice(whole, self.inner), tape.slice(whole, self.inner)
        mixed = tape.causal_convolution("conv1d", mixed, self.kernel, self.activation)
        maps = tape.linear("x_proj", mixed)
        step, keys, queries = (tape.slice(maps, width) for width in (self.rank, self.state, self.state))
        step, keys, queries = (
            self._normed(tape, name, value) for name, value in (("dt_norm", step), ("b_norm", keys), ("c_norm", queries))
        )
        step = tape.product(step, tape.weight("dt_proj.weight"), self.inner)
        step = tape.unary("softplus", tape.add(step, tape.cast(tape.weight("dt_proj.bias"), step.dtype)))
        made = self._scan(tape, mixed, step, decay, keys, queries)
        return tape.linear("out_proj", tape.cast(tape.multiply(made, tape.unary("silu", gate)), x.dtype))

    @property
    def packaged(self) -> bool:
        """Jamba takes other functions of that package, for its norms."""
        return not self.heads and not self.inner_norms

    def _by_kernel(self, tape: Tape, whole: Value, decay: Value, width: int) -> Value:
        """`MambaInnerFn` (mamba-ssm 2.3, selective_scan_interface.py), which ends with the output matrix. It keeps what it reads
        channel by channel, and makes the convolution and the steps again on the way back."""
        tokens, low = whole.tokens, tape.for_product(whole).dtype
        names = [name for name in tape.names() if name.startswith("conv1d.")]
        products = [tape.for_product(tape.weight(name)) for name in ("x_proj.weight", "dt_proj.weight", "out_proj.weight")]
        wide = [tape.cast(tape.weight(name), FP32) for name in ("D", "dt_proj.bias")]
        keeps = [
            Made("step, B and C", tokens * (self.rank + 2 * self.state), low),
            Made("B and C by number", 2 * tokens * self.state, low),
            Made("states", tape.batch * self.inner * -(-tokens // tape.batch // KERNEL_CHUNK) * 2 * self.state, FP32),
            Made("scan", tokens * self.inner, low),
        ]
        ahead = [Made(name, tokens * self.inner, low) for name in ("convolution", "steps", "gated output")]
        inputs = (decay, *map(tape.weight, names), *products, *wide)
        read = tape.copy(whole)
        return tape.kernel("mamba-ssm", (read, *inputs), width, keeps=keeps, ahead=ahead, back=ahead)

    def _normed(self, tape: Tape, name: str, x: Value) -> Value:
        if self.plain_norms:
            return tape.rms_norm(x, gain=False)
        return tape.rms_norm(x, name=f"{name}.weight") if self.inner_norms else x

    def _scan(self, tape: Tape, mixed: Value, step: Value, decay: Value, keys: Value, queries: Value) -> Value:
        """The selective scan (§3.2; `mamba_selective_scan`), token by token: a state of `state` numbers for each channel."""
        step = tape.spread(step, self.state)
        decays = tape.unary("exp", tape.multiply(decay, step))
        gains = tape.multiply(step, tape.spread(tape.cast(keys, FP32), self.inner))
        update = tape.multiply(gains, tape.spread(tape.cast(mixed, FP32), self.state))
        states = tape.recurrence(decays, update, mixed.dtype)
        made = tape.read(states, queries, mixed.dtype)
        tape.hold(decays, gains, update)
        return tape.add(made, tape.multiply(mixed, tape.cast(tape.weight("D"), FP32)))
