"""Layers that carry a state, as torch computes them without kernels of their own, and what each step keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from paramcalc.costs.training.autograd import BYTES, Op, Recorder, dense, promoted
from paramcalc.model.delta_rule import gated_delta_rule, kimi_delta_rule
from paramcalc.model.recurrences import Made
from paramcalc.model.tape import FP32, HEADS_FIRST, STRIDED, TOKENS_FIRST, Storage, Value


class RecurrenceRecorder(Recorder):
    """A recorder that knows scans and loops over tokens. A loop is one operation: its work does not grow with its steps."""

    packages = False

    def causal_convolution(self, name: str, x: Value, kernel: int, activation: str | None = None, *, module: bool = False) -> Value:
        """As `convolution`. The function is handed a view of the filters, of which autocast keeps no copy for another use."""
        filters = self.weight(f"{name}.weight")
        if module:
            low, kernels = self.low(x), self.low_weight(filters)
        else:
            low, kernels = self.low(self.cast(x, filters.dtype)), filters
            if self.autocast is not None and filters.dtype == FP32:
                kernels = self.emit("cast", (filters,), filters.tokens, filters.width, self.autocast)
        saved = (low.storage, kernels.storage)
        rows = x.tokens + self.batch * (kernel - 1)
        made = self.emit("convolution", (low, kernels), rows, x.width, low.dtype, saved=saved, layout=HEADS_FIRST)
        made = self.view(made, x.tokens, x.width)
        made = self.activation(activation, made) if activation else made
        return made if module else self.cast(made, x.dtype)

    def padded(self, x: Value, tokens: int) -> Value:
        return self.emit("pad", (x,), tokens, x.width, x.dtype, layout=dense(x.layout))

    def chunks(self, x: Value, size: int) -> Value:
        whole = x.tokens == self.batch * size
        return self.emit("view", (x,), x.tokens, x.width, x.dtype, view=True, layout=x.layout if whole else STRIDED)

    def cumulative(self, x: Value) -> Value:
        return self.emit("cumulative sum", (x,), x.tokens, x.width, x.dtype, layout=HEADS_FIRST)

    def write(self, into: Value, x: Value) -> Value:
        """The gradient of what is written to is a copy of the whole, with zeros in that part (`CopySlices`)."""
        made = self.emit("write", (into, x), into.tokens, into.width, into.dtype, view=True)
        self.ops[-1] = self.ops[-1]._replace(passes=False)
        return made

    @contextmanager
    def repeated(self, times: int, *states: Value) -> Iterator[tuple[Value, ...]]:
        """The turn that is recorded is the last, in whose backward pass what all others keep is there still: an operation before
        it keeps that."""
        start = len(self.ops)
        yield tuple(self.emit("state", (state,), state.tokens, state.width, state.dtype) for state in states)
        turn = self.ops[start:]
        made = {op.output.storage for op in turn if all(value.storage is not op.output.storage for value in op.inputs)}
        kept = [storage for storage in dict.fromkeys(storage for op in turn for storage in op.saved) if storage in made]
        if times > 1:
            others = tuple(Storage((times - 1) * each.bytes, each.name, each.where, each.kind) for each in kept)
            nothing = Value(0, 0, FP32, Storage(0), needs_grad=True)
            self.ops.insert(start, Op("other turns", (), nothing, others, where=self.where))

    def solve(self, system: Value, x: Value) -> Value:
        """Keeps the systems and the solutions (`linalg_solve_triangular`)."""
        made = self.emit("solve", (system, x), x.tokens, x.width, x.dtype, saved=(system.storage,), keeps_result=True)
        made.layout = HEADS_FIRST
        return made

    def substituted(self, x: Value, size: int) -> Value:
        """Each row keeps copies of itself and of the square before it, which are multiplied."""
        systems = x.elements // (size * size)
        rows = self.kept(BYTES[x.dtype] * systems * size * (size - 1) // 2, "rows")
        squares = self.kept(BYTES[x.dtype] * systems * size * (size - 1) * (2 * size - 1) // 6, "squares")
        whole, saved = x.elements * BYTES[x.dtype], (rows, squares)
        made = self.emit("substitution", (x,), x.tokens, x.width, x.dtype, saved=saved, view=True, temporary=whole, backward=whole)
        self.ops[-1] = self.ops[-1]._replace(passes=False)
        return made

    def either(self, x: Value, y: Value) -> Value:
        condition = self.fresh(x.tokens, x.width, "bool", "condition")
        made = self.emit("where", (condition, x, y), x.tokens, x.width, promoted(x, y), saved=(condition.storage,))
        made.layout = dense(x.layout)
        return made

    def delta_rule(
        self, query: Value, key: Value, value: Value, decay: Value, beta: Value, *, heads: int, key_heads: int, channels: bool = False
    ) -> Value:
        if channels:
            return kimi_delta_rule(self, query, key, value, decay, beta, heads)
        return gated_delta_rule(self, query, key, value, decay, beta, heads, key_heads)

    def contract(self, x: Value, y: Value, tokens: int, width: int, *, sequences: int) -> Value:
        x, y = (self.low(self.batched(value, sequences)) for value in (x, y))
        saved = ((y.storage,) if x.needs_grad else ()) + ((x.storage,) if y.needs_grad else ())
        return self.emit("einsum", (x, y), tokens, width, x.dtype, saved=saved, layout=HEADS_FIRST)

    def recurrence(self, decay: Value, update: Value, start: str) -> Value:
        """A step reads the state before it: the zeros, and all states but the last, are kept for the decay's gradient, and for
        theirs the decays, where they are cast those of all steps but the first. A step's slices hand back gradients of the whole."""
        step = self.batch * update.width
        zeros = self.kept(step * BYTES[start], "first state")
        dtype = max(decay.dtype, update.dtype, start, key=BYTES.__getitem__)
        decays = decay.storage if decay.dtype == dtype else self.kept((decay.elements - step) * BYTES[dtype], "decays")
        made = self.emit(
            "recurrence",
            (decay, update),
            update.tokens,
            update.width,
            dtype,
            saved=(decays, zeros),
            keeps_result=True,
            backward=update.elements * BYTES[dtype],
            layout=TOKENS_FIRST,
        )
        made.storage.bytes -= step * BYTES[dtype]
        return made

    def read(self, states: Value, by: Value, dtype: str) -> Value:
        """Done in the turns of the loop that makes the states: on the way back what it keeps is there until the loop is."""
        loop = next(number for number, op in enumerate(self.ops) if op.output is states)
        narrow, by = self.low(self.cast(states, dtype)), self.low(by)
        saved: tuple[Storage, ...] = (narrow.storage, by.storage)
        if narrow is not states:
            self.ops[loop] = self.ops[loop]._replace(backward=self.ops[loop].backward + narrow.storage.bytes)
        else:
            saved = (*saved, self.kept(states.elements * BYTES[states.dtype] - states.storage.bytes, "last state"))
        return self.emit("read", (narrow, by), states.tokens, states.width // by.width, narrow.dtype, saved=saved, layout=HEADS_FIRST)

    def by_heads(self, name: str, x: Value) -> Value:
        x, weight = self.low(x), self.low_weight(self.weight(name))
        saved = ((x.storage,) if weight.needs_grad else ()) + ((weight.storage,) if x.needs_grad else ())
        return self.emit("product by head", (x, weight), x.tokens, x.width, x.dtype, saved=saved, layout=HEADS_FIRST)

    def maximum(self, x: Value, y: Value) -> Value:
        big = x if x.elements >= y.elements else y
        return self.emit("maximum", (x, y), big.tokens, big.width, promoted(x, y), saved=(x.storage, y.storage))

    def cells(self, x: Value, width: int, state: int, reserve: int) -> Value:
        """`_cudnn_rnn`. Autocast casts all weights into one new buffer for each call (`AutocastRNN.cpp`)."""
        weights = [self.weight(name) for name in self.names()]
        if self.autocast is not None:
            weights = [self.emit("cast", (weight,), weight.tokens, weight.width, self.autocast) for weight in weights]
        x = self.low(x)
        begins = self.kept(self.batch * state * BYTES[x.dtype], "state at the beginning")
        aside = self.kept(x.tokens * reserve * BYTES[x.dtype], "reserve space")
        saved = (x.storage, begins, aside, *(weight.storage for weight in weights))
        return self.emit("recurrent cells", (x, *weights), x.tokens, width, x.dtype, saved=saved, keeps_result=True, layout=TOKENS_FIRST)

    def hold(self, *values: Value) -> None:
        self.ops.append(Op("hold", values, Value(0, 0, values[0].dtype, Storage(0)), where=self.where))

    def kernel(
        self, name: str, inputs: Sequence[Value], width: int, *, keeps: Sequence[Made], ahead: Sequence[Made], back: Sequence[Made]
    ) -> Value:
        aside = [self.kept(made.elements * BYTES[made.dtype], made.name) for made in keeps]
        spare = [sum(made.elements * BYTES[made.dtype] for made in way) for way in (ahead, back)]
        dtype = self.autocast or inputs[0].dtype
        saved = (*(value.storage for value in inputs), *aside)
        tokens = inputs[0].tokens
        return self.emit(name, tuple(inputs), tokens, width, dtype, saved=saved, temporary=spare[0], backward=spare[1], layout=TOKENS_FIRST)

    def for_product(self, x: Value) -> Value:
        return self.low(x)
