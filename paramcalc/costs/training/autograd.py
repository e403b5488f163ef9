"""What torch autograd keeps of a forward pass: a tape that records operations, not numbers.

Each operation states, as torch 2.13 does under CUDA, which tensors it needs again in its backward pass (`derivatives.yaml`
and the autograd functions of its kernels), by storage: a tensor that two operations keep is kept once, and a view of it is
the same memory. Autocast's casts are recorded as the operations they are (`autocast_mode.h`: which run in the low format,
which in fp32, and that copies of weights are cached).
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from paramcalc.model.rows import Row
from paramcalc.model.tape import FP32, HEADS_FIRST, STRIDED, TOKENS_FIRST, Storage, Tape, Value

BYTES = {"fp64": 8, "int64": 8, "fp32": 4, "int32": 4, "bf16": 2, "fp16": 2, "int8": 1, "bool": 1}
"""Bytes of an element."""

LOW = ("bf16", "fp16")

KEPT_KINDS = ("activation", "copy")
"""Kinds of memory that are counted as saved; parameters, buffers and inputs are not."""

_KEEPS_RESULT = frozenset(["relu", "tanh", "sigmoid", "exp", "expm1", "rsqrt", "sqrt", "reciprocal", "softmax"])
"""Functions whose derivative is written in their result; the others' is written in their input."""
_FP32_UNDER_AUTOCAST = frozenset(["power", "rsqrt", "exp", "expm1", "log", "log1p", "reciprocal", "softplus"])
"""Elementwise functions that autocast runs in fp32 (AT_FORALL_FP32)."""
_NO_GRADIENT = frozenset(["sign", "floor"])


class Op(NamedTuple):
    """One operation of the forward pass."""

    name: str
    inputs: tuple[Value, ...]
    output: Value
    saved: tuple[Storage, ...] = ()
    passes: bool = False
    """Whether the backward pass hands the gradient on as it is: views, additions."""
    temporary: int = 0
    """Bytes that it needs for itself while it runs."""
    backward: int = 0
    """The same for its backward."""
    where: str = ""
    stays: bool = False
    """Whether what it keeps hangs on the node itself, not on autograd's list of saved tensors: checkpointing does not see it, and it
    goes when the graph goes."""
    ahead: bool = False
    """Whether its gradients were made on the way forward, and are what it keeps."""
    beside: tuple[Value, ...] = ()
    """What the caller still refers to while it runs; it gets no gradient."""
    graph: tuple[Value, ...] = ()
    """The same for what autograd keeps for a result that nobody uses; not so where nothing is kept."""
    until: str = ""
    """How long the caller holds its result: to the end of the forward `pass`, or of the `step`; else as long as it is read."""


class Kept(NamedTuple):
    """A tensor that is kept for the backward pass."""

    name: str
    where: str
    bytes: int
    kind: str


class Ops(tuple[Op, ...]):
    """Operations in a row. What memory they make and keep is asked for in every phase, and found once."""

    @cached_property
    def saved(self) -> dict[Storage, Kept]:
        """Every piece of memory that is kept, once, with the operation that keeps it first."""
        found: dict[Storage, Kept] = {}
        for op in self:
            for storage in op.saved:
                if storage not in found and storage.kind in KEPT_KINDS:
                    found[storage] = Kept(storage.name, op.where, storage.bytes, storage.kind)
        return found

    @cached_property
    def staying(self) -> frozenset[Storage]:
        """Of what is kept, what no checkpointing lets go."""
        return frozenset(storage for op in self if op.stays for storage in op.saved if storage in self.saved)

    @cached_property
    def made(self) -> frozenset[Storage]:
        """Memory that these operations allocate themselves; a view of what they are given is not theirs."""
        given: set[Storage] = set()
        own: set[Storage] = set()
        for op in self:
            given.update(value.storage for value in op.inputs if value.storage not in own)
            own.update(storage for storage in (op.output.storage, *op.saved) if storage not in given)
        return frozenset(own)


class Recorder(Tape):
    """The operations of a framework, recorded. Knows tensors; which parameters there are, its subclass knows."""

    def __init__(self, batch: int, length: int, *, autocast: str | None = None) -> None:
        self.batch = batch
        self.length = length
        self.source = None
        self.autocast = autocast
        self.ops: list[Op] = []
        self.where = ""
        self.module = ""
        self.shared: dict[str, Value] = {}
        self.aside: dict[str, Value] = {}

    @property
    def stream_dtype(self) -> str:
        return FP32

    def emit(
        self,
        name: str,
        inputs: tuple[Value, ...],
        tokens: int,
        width: int,
        dtype: str,
        *,
        saved: tuple[Storage, ...] = (),
        keeps_result: bool = False,
        view: bool = False,
        passes: bool = False,
        temporary: int = 0,
        backward: int = 0,
        layout: str | None = None,
        differentiable: bool = True,
        kind: str = "activation",
    ) -> Value:
        """Record an operation and return what it makes. Nothing is kept where no input needs a gradient."""
        needs_grad = differentiable and any(value.needs_grad for value in inputs)
        storage = inputs[0].storage if view else Storage(tokens * width * BYTES[dtype], name, self.where, kind)
        made = Value(tokens, width, dtype, storage, needs_grad=needs_grad, layout=layout or inputs[0].layout)
        made.grid = next((value.grid for value in inputs if value.grid and value.tokens == tokens), ())
        kept = (*saved, storage) if keeps_result else saved
        self.ops.append(Op(name, inputs, made, kept if needs_grad else (), passes or view, temporary, backward, self.where))
        return made

    def kept(self, size: int, name: str) -> Storage:
        """A new piece of memory that an operation makes only to keep it: a mask, a statistic."""
        return Storage(size, name, self.where)

    # casts

    def cast(self, x: Value, dtype: str) -> Value:
        if x.dtype == dtype:
            return x
        kind = "copy" if x.storage.kind == "parameter" else "activation"
        return self.emit("cast", (x,), x.tokens, x.width, dtype, kind=kind)

    def low(self, x: Value) -> Value:
        """The input of an operation that autocast runs in the low format."""
        if self.autocast is None or x.dtype != FP32:
            return x
        return self.cast(x, self.autocast)

    def high(self, x: Value) -> Value:
        """The input of an operation that autocast runs in fp32."""
        return x if self.autocast is None or x.dtype not in LOW else self.cast(x, FP32)

    # elementwise

    def add(self, x: Value, y: Value) -> Value:
        big = _bigger(x, y)
        return self.emit("add", (x, y), big.tokens, big.width, promoted(x, y), passes=True, layout=_layout(x, y))

    def multiply(self, x: Value, y: Value) -> Value:
        return self._product("multiply", x, y)

    def divide(self, x: Value, y: Value) -> Value:
        big = _bigger(x, y)
        saved = ((y.storage,) if x.needs_grad or y.needs_grad else ()) + ((x.storage,) if y.needs_grad else ())
        return self.emit("divide", (x, y), big.tokens, big.width, promoted(x, y), saved=saved)

    def _product(self, name: str, x: Value, y: Value) -> Value:
        big, dtype = _bigger(x, y), promoted(x, y)
        saved = ((y.storage,) if x.needs_grad else ()) + ((x.storage,) if y.needs_grad else ())
        # a gradient is first made in the result's format and size, then summed and cast to its operand's
        spare = [v for v in (x, y) if v.needs_grad and (v.elements < big.elements or v.dtype != dtype)]
        backward = big.elements * BYTES[dtype] if spare else 0
        layout = x.layout if x.elements == big.elements else y.layout
        return self.emit(name, (x, y), big.tokens, big.width, dtype, saved=saved, backward=backward, layout=layout)

    def scale(self, x: Value) -> Value:
        return self.emit("scale", (x,), x.tokens, x.width, x.dtype)

    def unary(self, function: str, x: Value) -> Value:
        if function in _FP32_UNDER_AUTOCAST:
            x = self.high(x)
        keeps_result = function in _KEEPS_RESULT
        saved = () if keeps_result else (x.storage,)
        backward = x.elements * BYTES[x.dtype] if function == "power" else 0
        return self.emit(
            function,
            (x,),
            x.tokens,
            x.width,
            x.dtype,
            saved=saved,
            keeps_result=keeps_result,
            backward=backward,
            layout=dense(x.layout),
            differentiable=function not in _NO_GRADIENT,
        )

    def mean(self, x: Value, width: int = 1) -> Value:
        return self.emit("mean", (x,), x.tokens, width, x.dtype, layout=TOKENS_FIRST)

    def softmax(self, x: Value, dtype: str | None = None) -> Value:
        x = self.cast(x, dtype) if dtype else self.high(x)
        return self.emit("softmax", (x,), x.tokens, x.width, x.dtype, keeps_result=True)

    def dropout(self, x: Value, rate: float) -> Value:
        if not rate:
            return x
        return self.emit(
            "dropout", (x,), x.tokens, x.width, x.dtype, saved=(self.kept(x.elements, "dropout mask"),), layout=dense(x.layout)
        )

    # memory

    def slice(self, x: Value, width: int) -> Value:
        made = self.emit("slice", (x,), x.tokens, width, x.dtype, view=True, layout=STRIDED if x.layout == TOKENS_FIRST else x.layout)
        # its gradient is one of the whole, zero elsewhere
        self.ops[-1] = self.ops[-1]._replace(passes=False)
        return made

    def join(self, *parts: Value) -> Value:
        width = sum(part.width for part in parts)
        return self.emit("join", parts, parts[0].tokens, width, promoted(*parts), layout=HEADS_FIRST)

    def copy(self, x: Value, width: int | None = None) -> Value:
        return self.emit("copy", (x,), x.tokens, width or x.width, x.dtype, layout=TOKENS_FIRST)

    def repeat(self, x: Value, times: int) -> Value:
        """Key or value heads repeated for each query head of their group, head by head."""
        if times == 1:
            return x
        return self.emit("repeat", (x,), x.tokens, x.width * times, x.dtype, layout=HEADS_FIRST)

    def prepend(self, x: Value, front: Value) -> Value:
        rows = x.tokens + self.batch * (front.elements // x.width)
        return self.emit("join", (front, x), rows, x.width, promoted(front, x), layout=TOKENS_FIRST)

    def pick(self, x: Value, width: int) -> Value:
        places = self.kept(BYTES["int64"], "index")
        return self.emit("index", (x,), x.tokens, width, x.dtype, saved=(places,), layout=TOKENS_FIRST)

    def fresh(self, tokens: int, width: int, dtype: str, name: str) -> Value:
        return self.emit(name, (), tokens, width, dtype, layout=TOKENS_FIRST)

    def fourier(self, x: Value) -> Value:
        made = self.emit("fourier transform", (x,), x.tokens, 2 * x.width, x.dtype, layout=TOKENS_FIRST)
        return self.slice(made, x.width)

    def number(self, of: Value, dtype: str) -> Value:
        return Value(1, 1, of.dtype, self.emit("number", (), 1, 1, dtype, layout=TOKENS_FIRST).storage)

    def set_aside(self, name: str, x: Value, *, argument: bool = False) -> None:
        self.aside[name] = x
        if x.storage.kind == "activation":
            x.storage.argument = argument

    def take(self, x: Value, index: Value, tokens: int, width: int) -> Value:
        return self.emit("gather", (x, index), tokens, width, x.dtype, saved=(x.storage, index.storage), layout=HEADS_FIRST)

    def masked(self, x: Value, mask: Value) -> Value:
        return self.emit("masked", (x, mask), x.tokens, x.width, x.dtype, saved=(mask.storage,))

    def scatter(self, x: Value, width: int) -> Value:
        return self.emit("scatter", (x,), x.tokens, width, x.dtype, saved=self.ops[-1].saved[:1])

    def repeat_rows(self, x: Value, times: int) -> Value:
        return self.emit("repeat", (x,), x.tokens * times, x.width, x.dtype, layout=TOKENS_FIRST)

    def sum_rows(self, x: Value, times: int) -> Value:
        return self.emit("sum", (x,), x.tokens // times, x.width, x.dtype, layout=TOKENS_FIRST)

    def view(self, x: Value, tokens: int, width: int) -> Value:
        made = self.emit("view", (x,), tokens, width, x.dtype, view=True)
        self.ops[-1] = self.ops[-1]._replace(passes=made.elements == x.elements)
        return made

    def over_batch(self, x: Value, *, always: bool = False) -> Value:
        if self.batch == 1 and not always:
            return x
        return self.emit("repeat", (x,), x.tokens * self.batch, x.width, x.dtype, layout=HEADS_FIRST)

    def spread(self, x: Value, times: int) -> Value:
        made = self.emit("spread", (x,), x.tokens, x.width * times, x.dtype, view=True, layout=STRIDED)
        self.ops[-1] = self.ops[-1]._replace(passes=False)
        return made

    def constant(self, tokens: int, width: int, dtype: str, name: str, *, argument: bool = False) -> Value:
        if name not in self.shared:
            storage = Storage(tokens * width * BYTES[dtype], name.rpartition(" ")[0] or name, "model")
            storage.argument = argument
            self.shared[name] = Value(tokens, width, dtype, storage)
        return self.shared[name]

    # products

    def product(self, x: Value, weight: Value, width: int, bias: Value | None = None) -> Value:
        """x Wᵀ + b. Keeps x for the weight's gradient and the weight for x's; nothing for the bias's."""
        x, weight = self.low(x), self.low_weight(weight)
        if weight.needs_grad:  # `should_fold` in LinearAlgebra.cpp
            x = self.in_rows(x)
        saved = ((x.storage,) if weight.needs_grad else ()) + ((weight.storage,) if x.needs_grad else ())
        added = () if bias is None else (self.low_weight(bias),)
        return self.emit("linear", (x, weight, *added), x.tokens, width, x.dtype, saved=saved, layout=TOKENS_FIRST)

    def low_weight(self, weight: Value) -> Value:
        return self.low(weight)

    def matmul(self, x: Value, y: Value, width: int) -> Value:
        x, y = self.batched(self.low(x)), self.batched(self.low(y))
        saved = ((y.storage,) if x.needs_grad else ()) + ((x.storage,) if y.needs_grad else ())
        return self.emit("matmul", (x, y), x.tokens, width, x.dtype, saved=saved, layout=HEADS_FIRST)

    def batched(self, x: Value, sequences: int | None = None) -> Value:
        """An operand of a batched product [sequences × heads, rows, columns]: a copy where sequences and heads do not lie side
        by side. As many sequences as the batch has if left out."""
        if x.layout == HEADS_FIRST or (sequences or self.batch) == 1:
            return x
        return self.emit("reshape", (x,), x.tokens, x.width, x.dtype, layout=HEADS_FIRST)

    def in_rows(self, x: Value) -> Value:
        return self.copy(x) if x.layout == HEADS_FIRST and self.batch > 1 else x

    def by_head(self, x: Value) -> Value:
        return self.emit("copy", (x,), x.tokens, x.width, x.dtype, layout=HEADS_FIRST)

    def by_token(self, x: Value) -> Value:
        """Heads put back beside each other for a token: a copy unless they lie so."""
        return self.copy(x) if x.layout == HEADS_FIRST else x


def promoted(*values: Value) -> str:
    """The format of a result: the wider one, as torch promotes."""
    return max((value.dtype for value in values), key=lambda dtype: BYTES[dtype])


def _bigger(x: Value, y: Value) -> Value:
    """The operand that has the result's shape. A smaller one is repeated over rows, over columns, or over the batch."""
    return x if x.elements >= y.elements else y


def _layout(x: Value, y: Value) -> str:
    return dense((x if x.elements >= y.elements else y).layout)


def dense(layout: str) -> str:
    return TOKENS_FIRST if layout == STRIDED else layout


class NamedRow(NamedTuple):
    """A parameter of the block that is being recorded."""

    row: Row
    key: str
    trains: bool
