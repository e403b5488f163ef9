"""The state space of Mamba-2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.recurrences import Made
from paramcalc.model.rows import BIAS, CacheRow, Row, conv_state, depthwise, linear, norm, state

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

FP32 = "fp32"


class Mamba2(Block):
    """Mamba-2's mixer (Dao & Gu 2024, §7): `heads` heads of `head_dim` channels, each with one decay, and input and output
    maps of `state` numbers shared by the heads of a group.

    With inner = heads·head_dim and mixed = inner + 2·groups·state: in [inner + mixed + heads, width] (gate, what is
    convolved, steps), conv [mixed, 1, kernel], dt_bias, A_log and D [heads], a gated norm [inner], out [width, inner].
    State per sequence: mixed·kernel in the model's format, inner·state in fp32. Nothing grows with the context.
    """

    home: ClassVar[str] = "state_space"
    packages: ClassVar[str] = "mamba-ssm and causal-conv1d"

    heads: Count
    head_dim: Count
    state: Count
    groups: Count = 1
    kernel: Count
    bias: bool | list[Literal["in", "out"]] = False
    conv_bias: bool = True
    norm: bool = True
    """Whether the output passes a gated norm."""
    norm_first: bool = False
    """Whether the gate is applied behind that norm (Falcon-H1)."""
    scaled: bool = False
    """Whether what the first projection reads and makes is multiplied by constants (Falcon-H1's µP)."""
    activation: Activation = "silu"
    chunk: Count = 256
    """Tokens that are computed at once in training, by products between all pairs of them (§6)."""

    def has_bias(self, projection: str) -> bool:
        return self.bias if isinstance(self.bias, bool) else projection in self.bias

    def parameters(self, at: Place) -> Iterator[Row]:
        n = self.sized
        inner = n.heads * n.head_dim
        mixed = inner + 2 * n.groups * n.state
        yield from linear("in_proj", inner + mixed + n.heads, at.width, bias=self.has_bias("in"), split=0)
        yield from depthwise("conv1d", mixed, n.kernel, bias=self.conv_bias)
        yield Row("dt_bias", (n.heads,), BIAS, split=0)
        yield Row("A_log", (n.heads,), split=0)
        yield Row("D", (n.heads,), split=0)
        if self.norm:
            yield from norm("norm", inner)
        yield from linear("out_proj", at.width, inner, bias=self.has_bias("out"), split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        n = self.sized
        yield conv_state(n.heads * n.head_dim + 2 * n.groups * n.state, n.kernel)
        yield state("recurrent_state", n.heads, n.head_dim, n.state)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """As transformers computes it without the kernels of mamba-ssm (`Mamba2Mixer`)."""
        inner, maps = self.heads * self.head_dim, self.groups * self.state
        whole = tape.linear("in_proj", tape.scale(x) if self.scaled else x)
        if self.scaled:  # by a table of the weights' format
            whole = tape.cast(tape.scale(whole), tape.stream_dtype)
        decay = tape.scale(tape.unary("exp", tape.cast(tape.weight("A_log"), FP32)))
        if tape.packages:
            return self._by_kernel(tape, whole, decay, x.width)
        gate, mixed, step = (tape.slice(whole, width) for width in (inner, inner + 2 * maps, self.heads))
        mixed = tape.causal_convolution("conv1d", mixed, self.kernel, self.activation)
        values, keys, queries = (tape.slice(mixed, width) for width in (inner, maps, maps))
        made = self._scan(tape, values, keys, queries, self._step(tape, step), decay)
        return tape.linear("out_proj", tape.cast(self._gated(tape, made, gate), x.dtype))

    @property
    def packaged(self) -> bool:
        return True

    def _by_kernel(self, tape: Tape, whole: Value, decay: Value, width: int) -> Value:
        """`MambaSplitConv1dScanCombinedFn` (mamba-ssm 2.3, ssd_combined.py), which ends with the output matrix. Beside its inputs
        it keeps what the scan makes and the norm's statistic, and makes the rest again on the way back."""
        tokens, inner, maps = whole.tokens, self.heads * self.head_dim, self.groups * self.state
        chunks = tape.batch * -(-tokens // tape.batch // self.chunk)
        rows = chunks * self.chunk
        names = [name for name in tape.names() if not name.startswith(("in_proj.", "A_log", "out_proj."))]
        last = [tape.for_product(tape.weight(name)) for name in tape.names() if name.startswith("out_proj.")]
        keeps = [Made("scan", tokens * inner, whole.dtype)]
        if self.norm:
            keeps.append(Made("reciprocal deviation", tokens * self.groups, FP32))
        ahead = [
            Made("convolution", tokens * (inner + 2 * maps), whole.dtype),
            Made("steps and their sums", 2 * rows * self.heads, FP32),
            Made("states", chunks * inner * self.state, FP32),
            Made("scores", rows * self.groups * self.chunk, FP32),
            Made("output", tokens * inner, whole.dtype),
        ]
        back = [*ahead, Made("gradients of states", chunks * inner * self.state, FP32), *ahead[:1]]
        return tape.kernel("mamba-ssm", (whole, decay, *map(tape.weight, names), *last), width, keeps=keeps, ahead=ahead, back=back)

    def _gated(self, tape: Tape, x: Value, gate: Value) -> Value:
        """x · silu(gate), and its norm: of all of it, of x alone, or none, for which the gate stays in its format."""
        if not self.norm:
            return tape.multiply(x, tape.unary("silu", gate))
        gate = tape.cast(gate, FP32)
        if self.norm_first:
            return tape.multiply(tape.rms_norm(x, "late", "norm.weight", self.groups), tape.unary("silu", gate))
        return tape.rms_norm(tape.multiply(x, tape.unary("silu", gate)), "late", "norm.weight", self.groups)

    def _step(self, tape: Tape, step: Value) -> Value:
        """Step sizes: softplus of what the token asks for and of a bias, within bounds."""
        shifted = tape.add(step, tape.cast(tape.weight("dt_bias"), step.dtype))
        return tape.unary("clamp", tape.unary("softplus", shifted))

    def _scan(self, tape: Tape, values: Value, keys: Value, queries: Value, step: Value, decay: Value) -> Value:
        """The chunked scan (§6, listing 1; `mamba2_chunk_scan`), all in fp32: within a chunk each token reads those before it,
        and a chunk hands its state to those after it."""
        length = values.tokens // tape.batch
        rows = tape.batch * -(-length // self.chunk) * self.chunk
        values, keys, queries = (tape.cast(value, FP32) for value in (values, keys, queries))
        keys, queries = (tape.copy(value, self.heads * self.state) for value in (keys, queries))
        skipped = tape.multiply(tape.weight("D"), tape.padded(values, rows))
        values = tape.multiply(values, tape.cast(step, FP32))
        steps = tape.multiply(decay, tape.cast(step, FP32))
        values, steps, keys, queries = (tape.chunks(tape.padded(value, rows), self.chunk) for value in (values, steps, keys, queries))
        sums = tape.cumulative(steps)
        within = self._within(tape, values, keys, queries, steps)
        carried = self._carried(tape, values, keys, sums)
        fading = tape.unary("exp", sums)
        read = tape.contract(queries, carried[-1], rows, self.heads * self.head_dim, sequences=rows // self.chunk)
        between = tape.multiply(read, fading)
        made = tape.add(tape.copy(tape.add(within[-1], between)), skipped)
        tape.hold(values, steps, keys, queries, sums, *within, *carried, fading, read, between, made)
        return tape.view(made, tape.batch * length, made.width)

    def _within(self, tape: Tape, values: Value, keys: Value, queries: Value, steps: Value) -> list[Value]:
        """What the tokens of a chunk give to those after them in it, and on the way there their decays, scores and weights."""
        rows, sequences = values.tokens, values.tokens // self.chunk
        decays = decay_between(tape, steps, self.chunk)
        scores = tape.contract(queries, keys, rows, self.heads * self.chunk, sequences=sequences)
        weights = tape.multiply(scores, decays)
        return [decays, scores, weights, tape.contract(weights, values, rows, values.width, sequences=sequences)]

    def _carried(self, tape: Tape, values: Value, keys: Value, sums: Value) -> list[Value]:
        """The state with which each chunk begins, a matrix for each head: what each chunk makes, decayed over those between; and
        what it is made of."""
        chunks = values.tokens // self.chunk
        size = self.heads * self.head_dim * self.state
        fading = tape.unary("exp", tape.subtract(sums, sums))
        kept = tape.multiply(keys, fading)
        made = tape.contract(kept, values, chunks, size, sequences=chunks)
        marks = chunks + tape.batch
        states = tape.prepend(made, tape.fresh(1, size, FP32, "zeros"))
        decays = decay_between(tape, tape.padded(tape.view(sums, chunks, sums.width), marks), marks // tape.batch)
        states = tape.contract(decays, states, marks, size, sequences=tape.batch)
        return [fading, kept, decays, tape.chunks(tape.view(states, chunks, size), 1)]


def decay_between(tape: Tape, x: Value, size: int) -> Value:
    """exp of the sums of x between each two of `size` positions, -∞ where the second is the earlier (§6: `segsum`): repeated,
    masked, summed, and masked again."""
    sums = tape.cumulative(tape.masked(tape.spread(x, size), tape.fresh(size, size, "bool", "mask of pairs")))
    return tape.unary("exp", tape.masked(sums, tape.fresh(size, size, "bool", "mask of pairs")))
