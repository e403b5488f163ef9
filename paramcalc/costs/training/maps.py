"""Operations over maps of pixels as torch records them under CUDA: what each keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod

from paramcalc.costs.training.autograd import BYTES, Recorder
from paramcalc.model.tape import FP32, HEADS_FIRST, STRIDED, TOKENS_FIRST, Storage, Value


class MapRecorder(Recorder):
    """A recorder that knows convolutions, their norms and pooling. The kernel library's workspaces are not known."""

    relative: Value | None

    def convolution(self, x: Value, tokens: int, width: int, kernels: Value | None = None) -> Value:
        """Keeps its input and its kernels, whichever gradients are asked for."""
        low, kernels = self.low(x), self.low_weight(kernels or self.weight("weight"))
        saved = (low.storage, kernels.storage)
        return self.emit("convolution", (low, kernels), tokens, width, low.dtype, saved=saved, layout=STRIDED)

    def weight_norm(self, direction: str, length: str) -> Value:
        """Keeps both, and the length of the direction in fp32."""
        v, g = self.weight(direction), self.weight(length)
        saved = (v.storage, g.storage, self.kept(BYTES[FP32] * g.elements, "lengths of directions"))
        return self.emit("weight norm", (v, g), v.tokens, v.width, v.dtype, saved=saved)

    def glu(self, x: Value) -> Value:
        return self.emit("glu", (x,), x.tokens, x.width // 2, x.dtype, saved=(x.storage,))

    def group_norm(self, x: Value, groups: int) -> Value:
        """Keeps its input, and mean and reciprocal deviation of each group of each sequence in its own format."""
        x = self.high(x)
        weights = tuple(self.weight(name) for name in ("weight", "bias") if self.has(name))
        statistics = self.kept(2 * BYTES[x.dtype] * self.batch * groups, "mean and deviation")
        saved = (x.storage, statistics, *(weight.storage for weight in weights))
        return self.emit("group norm", (x, *weights), x.tokens, x.width, x.dtype, saved=saved)

    def rest(self, x: Value) -> Value:
        """A view, of which a dense layer makes a copy unless there is one sequence, or a cast makes one."""
        made = self.emit("slice", (x,), x.tokens - self.batch, x.width, x.dtype, view=True)
        self.ops[-1] = self.ops[-1]._replace(passes=False)
        return self.copy(made) if self.batch > 1 and self.low(x) is x else made

    def square(self, x: Value, side: int) -> Value:
        made = self.emit("square", (x,), x.tokens // side**2, x.width * side**2, x.dtype, layout=TOKENS_FIRST)
        made.grid = ()
        return made

    def insert(self, x: Value, features: Value) -> Value:
        """Keeps which tokens those are."""
        wide = self.cast(features, x.dtype)
        mask = self.kept(x.tokens * BYTES["bool"], "tokens that stand for images")
        return self.emit("insert", (x, wide), x.tokens, x.width, x.dtype, saved=(mask,), layout=TOKENS_FIRST)

    def hide(self, x: Value, instead: Value) -> Value:
        """Keeps which tokens those are."""
        hidden = self.kept(x.tokens * BYTES["bool"], "hidden tokens")
        return self.emit("hide", (x, instead), x.tokens, x.width, x.dtype, saved=(hidden,), view=True)

    def batch_norm(self, x: Value) -> Value:
        """Keeps its input, and mean and reciprocal deviation of each channel in fp32; the running ones are buffers."""
        weights = tuple(self.weight(name) for name in ("weight", "bias") if self.has(name))
        saved = (x.storage, self.kept(8 * x.width, "mean and deviation"), *(weight.storage for weight in weights))
        return self.emit("batch norm", (x, *weights), x.tokens, x.width, x.dtype, saved=saved)

    def pool(self, x: Value, kind: str, grid: Sequence[int]) -> Value:
        """Both kernels keep their input; that of the maximum also the place of each, in int64."""
        tokens = self.batch * prod(grid)
        places = (self.kept(BYTES["int64"] * tokens * x.width, "places of maxima"),) if kind == "max" else ()
        made = self.emit(f"{kind} pooling", (x,), tokens, x.width, x.dtype, saved=(x.storage, *places))
        made.grid = tuple(grid)
        return made

    def pad(self, x: Value, grid: Sequence[int]) -> Value:
        """A copy also where there is nothing to add."""
        made = self.emit("pad", (x,), self.batch * prod(grid), x.width, x.dtype, layout=STRIDED)
        made.grid = tuple(grid)
        return made

    def noise(self, x: Value) -> Value:
        kept = self.kept(x.elements * BYTES[x.dtype], "noise")
        return self.emit("dropout", (x,), x.tokens, x.width, x.dtype, saved=(kept,), layout=TOKENS_FIRST)

    def resize(self, x: Value, grid: Sequence[int]) -> Value:
        x = self.high(x)
        made = self.emit("resize", (x,), self.batch * prod(grid), x.width, x.dtype, layout=STRIDED)
        made.grid = tuple(grid)
        return made

    def average(self, x: Value) -> Value:
        return self.emit("mean", (x,), self.batch, x.width, x.dtype, layout=TOKENS_FIRST)

    def flatten(self, x: Value) -> Value:
        return self.emit("flatten", (x,), self.batch, x.width * (x.tokens // self.batch), x.dtype, view=True, layout=TOKENS_FIRST)

    def first(self, x: Value) -> Value:
        made = self.emit("first token", (x,), self.batch, x.width, x.dtype, view=True, layout=STRIDED)
        self.ops[-1] = self.ops[-1]._replace(passes=False)
        return made

    def end_token(self, x: Value) -> Value:
        """Keeps the number of each text and the place in it, in int64."""
        places = tuple(self.kept(BYTES["int64"] * self.batch, name) for name in ("numbers of texts", "places of ends"))
        return self.emit("index", (x,), self.batch, x.width, x.dtype, saved=places, layout=TOKENS_FIRST)

    def distances(self, table: Value, *, made: bool) -> Value:
        """Indices that are made are made once for the whole model."""
        places = [self.constant(self.length, self.length, "int64", "places of distances")] if made else []
        saved = tuple(value.storage for value in places)
        found = self.emit("index", (table, *places), self.length, self.length * table.width, table.dtype, saved=saved)
        self.relative = self.emit("contiguous", (found,), found.tokens, found.width, found.dtype, layout=HEADS_FIRST)
        self.relative.storage.argument = False  # layers get it by name
        return self.relative

    def keep_apart(self) -> None:
        assert self.relative is not None
        bias, rows = self.relative, self.batch * self.length
        self.relative = self.emit("add", (bias,), rows, bias.width, bias.dtype, layout=HEADS_FIRST)

    def coordinates(self, count: int) -> Value:
        dtype = self.stream_dtype
        return Value(count, 2, dtype, Storage(2 * count * BYTES[dtype], "distances", self.where, "buffer"))

    @contextmanager
    def windows(self, x: Value, side: int, *, shifted: bool) -> Iterator[Value]:
        """A copy, but where one window is the whole map."""
        count = prod(-(-length // side) for length in x.grid)
        above = self.batch, self.length
        made = x
        if count > 1 or shifted:
            made = self.emit("windows", (x,), x.tokens // prod(x.grid) * count * side * side, x.width, x.dtype, layout=TOKENS_FIRST)
        self.batch, self.length = self.batch * count, side * side
        yield made
        self.batch, self.length = above

    def whole_map(self, x: Value, grid: Sequence[int], side: int) -> Value:
        tokens = self.batch * prod(grid)
        made = x if max(grid) == side else self.emit("map", (x,), tokens, x.width, x.dtype, layout=TOKENS_FIRST)
        made.grid = tuple(grid)
        return made

    def neighbours(self, x: Value, side: int) -> Value:
        grid = tuple(-(-length // side) for length in x.grid)
        made = self.emit("join", (x,), self.batch * prod(grid), x.width * side * side, x.dtype, layout=TOKENS_FIRST)
        made.grid = grid
        return made

    def drop_path(self, x: Value) -> Value:
        """x over the share that is kept, times zero or one for each sequence."""
        mask = self.kept(self.batch * BYTES[x.dtype], "dropped sequences")
        return self.emit("drop path", (self.scale(x),), x.tokens, x.width, x.dtype, saved=(mask,))

    def vector_norm(self, x: Value, *, parts: int = 1, whole: bool = False) -> Value:
        """Keeps what it is the length of, and the length."""
        dtype = FP32 if self.autocast else x.dtype
        tokens, width = (self.batch, x.width) if whole else (x.tokens, parts)
        return self.emit("vector norm", (x,), tokens, width, dtype, saved=(x.storage,), keeps_result=True)

    def times(self, x: Value, number: Value) -> Value:
        """A number without an axis does not widen what it is multiplied with."""
        saved = ((number.storage,) if x.needs_grad else ()) + ((x.storage,) if number.needs_grad else ())
        return self.emit("multiply", (x, number), x.tokens, x.width, x.dtype, saved=saved)

    def part(self, x: Value, tokens: int) -> Value:
        return self.emit("slice", (x,), tokens, x.width, x.dtype, view=True)

    def for_each(self, x: Value) -> Value:
        return self.emit("repeat", (x,), self.batch * x.tokens, x.width, x.dtype, layout=TOKENS_FIRST)

    def place_first(self, x: Value) -> Value:
        return x if self.batch == 1 else self.emit("reshape", (x,), x.tokens, x.width, x.dtype, layout=TOKENS_FIRST)
