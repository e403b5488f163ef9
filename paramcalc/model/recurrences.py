"""The words of a tape for layers that carry a state from token to token: convolutions, scans by chunks, loops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from paramcalc.model.tape import Value


class Made(NamedTuple):
    """A tensor that a kernel makes for itself."""

    name: str
    elements: int
    dtype: str


class RecurrentTape(ABC):
    """Operations along the tokens of a sequence."""

    packages: bool
    """Whether the packages that a block names are installed, so that their kernels do what it does."""

    @abstractmethod
    def causal_convolution(self, name: str, x: Value, kernel: int, activation: str | None = None, *, module: bool = False) -> Value:
        """A depthwise convolution `name` of each token with the `kernel` - 1 before it: padded on both sides, and what is made
        past the last token cut off. The result lies channel by channel. `module`: whether the reference calls it as one, or else
        by a function that casts to the filters' format and back."""

    @abstractmethod
    def padded(self, x: Value, tokens: int) -> Value:
        """So many rows, zeros behind those of each sequence, in new memory."""

    @abstractmethod
    def chunks(self, x: Value, size: int) -> Value:
        """A view in which each `size` rows of a sequence are a sequence of their own."""

    @abstractmethod
    def cumulative(self, x: Value) -> Value:
        """Sums of all elements up to each, along one axis."""

    @abstractmethod
    def write(self, into: Value, x: Value) -> Value:
        """`into`, part of which x was written to in place."""

    @abstractmethod
    @contextmanager
    def repeated(self, times: int, *states: Value) -> Iterator[tuple[Value, ...]]:
        """What is recorded inside is one of so many turns of a loop. Yields the states that a turn begins with; what a turn keeps
        for the backward pass, each keeps, and the rest goes before the next."""

    @abstractmethod
    def delta_rule(
        self, query: Value, key: Value, value: Value, decay: Value, beta: Value, *, heads: int, key_heads: int, channels: bool = False
    ) -> Value:
        """The gated delta rule, with a decay for each head, or for each of the key's `channels`."""

    @abstractmethod
    def contract(self, x: Value, y: Value, tokens: int, width: int, *, sequences: int) -> Value:
        """A sum of products over a common axis (`einsum` of two operands): a batched product for each head of each of so many
        `sequences`, which chunks of one count as."""

    @abstractmethod
    def substituted(self, x: Value, size: int) -> Value:
        """Triangular systems of `size` rows, each row in its place reduced by those before it, one after another."""

    @abstractmethod
    def either(self, x: Value, y: Value) -> Value:
        """x or y, element by element, as a condition says that is made on the way."""

    @abstractmethod
    def solve(self, system: Value, x: Value) -> Value:
        """The solution of triangular systems, one for each head and chunk."""

    @abstractmethod
    def recurrence(self, decay: Value, update: Value, start: str) -> Value:
        """hₜ = aₜ hₜ₋₁ + uₜ, token by token, from zeros of the format `start`, and in the widest format of the three: the states
        after all tokens, as rows."""

    @abstractmethod
    def read(self, states: Value, by: Value, dtype: str) -> Value:
        """Each state, cast to a format, times the row of its token: a product for each of them."""

    @abstractmethod
    def by_heads(self, name: str, x: Value) -> Value:
        """Each head's part of a row times a matrix of its own, of the parameter `name` (`baddbmm`). The result lies head by head."""

    @abstractmethod
    def maximum(self, x: Value, y: Value) -> Value:
        """The larger of two elements; both are kept."""

    @abstractmethod
    def cells(self, x: Value, width: int, state: int, reserve: int) -> Value:
        """All of the block's recurrent cells in one kernel. Kept are what it reads and makes, the `state` that a sequence begins
        with, and for each token what the kernel sets aside: both in elements."""

    @abstractmethod
    def hold(self, *values: Value) -> None:
        """The reference still has names for these values here, so that they live until now even where nobody reads them again."""

    @abstractmethod
    def kernel(
        self, name: str, inputs: Sequence[Value], width: int, *, keeps: Sequence[Made], ahead: Sequence[Made], back: Sequence[Made]
    ) -> Value:
        """A kernel of a package. It saves all its inputs and what it `keeps`; while it runs there is what it makes `ahead`, and
        `back` on the way back. The result has the format in which products are taken."""

    @abstractmethod
    def for_product(self, x: Value) -> Value:
        """x in the format in which products are taken: under autocast a copy."""
