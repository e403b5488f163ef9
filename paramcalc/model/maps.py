"""The words of a forward pass over maps of pixels, and over tokens that come from them: see `paramcalc.model.tape`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paramcalc.model.tape import Value

Axis = tuple[int, int, int]
"""Kernel, stride and padding along an axis."""


class MapTape(ABC):
    """Operations on maps. A map is a value whose tokens are the positions of a `grid`, batch by batch."""

    batch: int
    length: int
    """Tokens of one sequence of the stream."""

    @abstractmethod
    def convolution(self, x: Value, tokens: int, width: int, kernels: Value | None = None) -> Value:
        """The block's convolution, which makes so many positions of so many channels; with its own `weight`, or kernels made of that."""

    @abstractmethod
    def weight_norm(self, direction: str, length: str) -> Value:
        """A weight made of its direction and its length."""

    @abstractmethod
    def glu(self, x: Value) -> Value:
        """Half of each row times a sigmoid of the other half."""

    @abstractmethod
    def group_norm(self, x: Value, groups: int) -> Value:
        """The framework's own group norm with a `weight` and a `bias`."""

    @abstractmethod
    def rest(self, x: Value) -> Value:
        """All tokens of each sequence but the first."""

    @abstractmethod
    def square(self, x: Value, side: int) -> Value:
        """Squares of so many tokens on each side, those of a square in one row, in new memory."""

    @abstractmethod
    def insert(self, x: Value, features: Value) -> Value:
        """The stream with features in the place of the tokens that stand for them."""

    @abstractmethod
    def hide(self, x: Value, instead: Value) -> Value:
        """Some tokens of the stream written over, in its own memory."""

    @abstractmethod
    def batch_norm(self, x: Value) -> Value:
        """The framework's own batch norm with a `weight` and a `bias`."""

    @abstractmethod
    def pool(self, x: Value, kind: str, grid: Sequence[int]) -> Value:
        """The `max` or `average` of windows, at so many positions."""

    @abstractmethod
    def pad(self, x: Value, grid: Sequence[int]) -> Value:
        """A map with zeros around it, in new memory."""

    @abstractmethod
    def noise(self, x: Value) -> Value:
        """Dropout in place, which multiplies with noise of the same format."""

    @abstractmethod
    def resize(self, x: Value, grid: Sequence[int]) -> Value:
        """A map interpolated to another grid."""

    @abstractmethod
    def average(self, x: Value) -> Value:
        """The mean of all tokens of each sequence."""

    @abstractmethod
    def flatten(self, x: Value) -> Value:
        """A view of all tokens of a sequence as one row."""

    @abstractmethod
    def end_token(self, x: Value) -> Value:
        """The token at which each text ends, looked up by where its id stands."""

    @abstractmethod
    def vector_norm(self, x: Value, *, parts: int = 1, whole: bool = False) -> Value:
        """The framework's own Euclidean length of each of `parts` parts of a row, or of each channel over the `whole` of a sequence."""

    @abstractmethod
    def times(self, x: Value, number: Value) -> Value:
        """x times one learned number."""

    @abstractmethod
    def part(self, x: Value, tokens: int) -> Value:
        """A view of so many of the rows."""

    @abstractmethod
    def for_each(self, x: Value) -> Value:
        """The same tokens for each sequence, in new memory."""

    @abstractmethod
    def place_first(self, x: Value) -> Value:
        """The tokens of all sequences as rows that follow each other, where they lie otherwise: a copy unless there is one sequence."""

    @abstractmethod
    def distances(self, table: Value, *, made: bool) -> Value:
        """What the attention that follows adds to its scores: an entry of a table [distances, heads] for each pair of tokens, at indices
        that were `made` on the way."""

    @abstractmethod
    def keep_apart(self) -> None:
        """Adds a mask for each window of a shifted map, within which not all positions are neighbours."""

    @abstractmethod
    def coordinates(self, count: int) -> Value:
        """So many distances in two dimensions, which the model keeps."""

    @abstractmethod
    def windows(self, x: Value, side: int, *, shifted: bool) -> AbstractContextManager[Value]:
        """A map cut into windows of a side, each of which is a sequence as long as this lasts."""

    @abstractmethod
    def whole_map(self, x: Value, grid: Sequence[int], side: int) -> Value:
        """Windows put together again, without what filled up the last of them."""

    @abstractmethod
    def neighbours(self, x: Value, side: int) -> Value:
        """Each square of positions as one, their channels side by side."""

    @abstractmethod
    def drop_path(self, x: Value) -> Value:
        """Some sequences set to zero, and the others scaled up."""


def reduced(grid: Sequence[int], axes: Sequence[Axis]) -> tuple[int, ...]:
    """The grid that windows of a kernel, a stride and a padding make of a grid (Dumoulin & Visin 2016, relationship 6)."""
    return tuple((side + 2 * padding - kernel) // stride + 1 for side, (kernel, stride, padding) in zip(grid, axes, strict=True))
