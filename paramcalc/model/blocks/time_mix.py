"""RWKV's time mixing: attention as a recurrence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import CacheRow, Row, linear, state
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

FP32 = "fp32"


class TimeMix(Block):
    """The time mixing of RWKV-4 (Peng et al. 2023, §3.1): a weighted average over the past, one decay per channel.

    With inner channels: key, value and receptance [inner, width], output [width, inner], decay and bonus for the current
    token [inner] each, and for key, value and receptance how much of the previous token is mixed in [1, 1, width].
    State per sequence: the previous token [width] in the model's format; numerator, denominator and maximum [inner] in fp32.
    """

    home: ClassVar[str] = "linear_attention"
    packages: ClassVar[str] = "ninja and a CUDA compiler"

    inner: Count | None = None
    """Channels inside; the stream's width if left out."""

    def parameters(self, at: Place) -> Iterator[Row]:
        inner = Size(self.inner, "inner") if self.inner else at.width
        yield Row("time_decay", (inner,), split=0)
        yield Row("time_first", (inner,), split=0)
        for name in ("key", "value", "receptance"):
            yield Row(f"time_mix_{name}", (1, 1, at.width))
        for name in ("key", "value", "receptance"):
            yield from linear(name, inner, at.width, split=0)
        yield from linear("output", at.width, inner, split=1)

    def cache(self, at: Place) -> Iterator[CacheRow]:
        inner = Size(self.inner, "inner") if self.inner else at.width
        yield state("token_state", at.width, dtype="compute", split=None)
        for name in ("numerator_state", "denominator_state", "max_state"):
            yield state(name, inner)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """As transformers computes it where it cannot compile its kernel (`rwkv_linear_attention_cpu`): one token after another.
        The first begins with constants, and the state that the last leaves behind nobody reads; those between are alike."""
        before = tape.padded(x, x.tokens)
        key, value, receptance = (
            tape.linear(name, mixed_in(tape, x, before, f"time_mix_{name}")) for name in ("key", "value", "receptance")
        )
        opened = tape.unary("sigmoid", receptance)
        state = tuple(tape.fresh(tape.batch, key.width, FP32, name) for name in ("numerator", "denominator", "maximum"))
        decay = tape.scale(tape.unary("exp", tape.weight("time_decay")))
        made = tape.fresh(key.tokens, key.width, key.dtype, "weighted average")
        length = key.tokens // tape.batch
        for times, last in ((1, length == 1), (length - 2, False), (1, True)) if length > 1 else ((1, True),):
            if times > 0:
                with tape.repeated(times, *state) as held:
                    made, state = self._turn(tape, (key, value, decay), made, held, last=last)
        return tape.linear("output", tape.multiply(opened, made))

    def _turn(
        self, tape: Tape, read: tuple[Value, Value, Value], made: Value, state: tuple[Value, ...], *, last: bool
    ) -> tuple[Value, tuple[Value, ...]]:
        """A token's average over those before it and itself, with a bonus (§3.1.2), and the state behind it; exponents are held
        below their maximum."""
        key, value = tape.cast(tape.view(read[0], tape.batch, read[0].width), FP32), tape.view(read[1], tape.batch, read[1].width)
        numerator, denominator, maximum = state
        most = tape.maximum(maximum, tape.add(key, tape.weight("time_first")))
        old = tape.unary("exp", tape.subtract(maximum, most))
        new = tape.unary("exp", tape.subtract(tape.add(key, tape.weight("time_first")), most))
        above = tape.add(tape.multiply(old, numerator), tape.multiply(new, value))
        below = tape.add(tape.multiply(old, denominator), new)
        made = tape.write(made, tape.divide(above, below))
        if last:
            return made, state
        most = tape.maximum(tape.add(maximum, read[2]), key)
        old = tape.unary("exp", tape.subtract(tape.add(maximum, read[2]), most))
        new = tape.unary("exp", tape.subtract(key, most))
        numerator = tape.add(tape.multiply(old, numerator), tape.multiply(new, value))
        return made, (numerator, tape.add(tape.multiply(old, denominator), new), most)


def mixed_in(tape: Tape, x: Value, before: Value, name: str) -> Value:
    """Each token with a share of the one before it, by the parameter `name`."""
    share = tape.weight(name)
    return tape.add(tape.multiply(x, share), tape.multiply(before, tape.scale(share)))
