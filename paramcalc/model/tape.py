"""The words in which a block says its forward pass. A tape knows no costs: whoever records it does.

A block's `forward(tape, x, at)` reads like the forward pass of the reference implementation, operation by operation,
because what a framework keeps for the backward pass depends on exactly that. Every tensor is a `Value`: `tokens` rows of
`width` elements, so that an attention score has the width heads × source tokens and a norm's statistic the width 1.
"""

from __future__ import annotations

from abc import abstractmethod

from paramcalc.model.maps import MapTape
from paramcalc.model.parts import Block, Place
from paramcalc.model.recurrences import RecurrentTape

FP32 = "fp32"
TOKENS_FIRST, HEADS_FIRST, STRIDED = "tokens", "heads", "strided"
"""How a value lies in memory: token by token, head by head, or as a slice of a larger one."""


class Storage:
    """One piece of memory. Several values may be views of it; it is kept, or freed, once."""

    __slots__ = ("argument", "bytes", "kind", "name", "where")

    def __init__(self, size: int, name: str = "", where: str = "", kind: str = "activation") -> None:
        self.bytes = size
        self.name = name
        self.where = where
        self.kind = kind
        """`activation`, `parameter`, `buffer` (kept by the model), `input` (given by the caller) or `copy` (a cast weight)."""
        self.argument = where != "model"
        """Whether a layer that did not make it is handed it as an argument, which checkpointing keeps; what the whole model shares
        is named in the call, and is not."""


class Value:
    """A tensor of a forward pass: `tokens` rows of `width` elements in a format."""

    __slots__ = ("dtype", "grid", "layout", "needs_grad", "storage", "tokens", "width")

    def __init__(
        self, tokens: int, width: int, dtype: str, storage: Storage, *, needs_grad: bool = False, layout: str = TOKENS_FIRST
    ) -> None:
        self.tokens = tokens
        self.width = width
        self.dtype = dtype
        self.storage = storage
        self.needs_grad = needs_grad
        self.layout = layout
        self.grid: tuple[int, ...] = ()
        """Height and width of the map that its tokens are, where they are one."""

    @property
    def elements(self) -> int:
        return self.tokens * self.width

    def stored_in(self, storage: Storage) -> Value:
        """An equal tensor, token by token in some memory."""
        made = Value(self.tokens, self.width, self.dtype, storage, needs_grad=self.needs_grad)
        made.grid = self.grid
        return made


class Tape(MapTape, RecurrentTape):
    """Operations on values. The abstract ones are a framework's; the others are put together as the reference does it."""

    pictured: bool = False
    """Whether there are images among the tokens."""
    source: Value | None
    """What cross attention reads, where there is an encoder."""
    aside: dict[str, Value]
    """What stands beside the stream for later blocks to read, by name."""

    @abstractmethod
    def enter(self, block: Block, at: Place) -> None:
        """Names that follow are those of this block's parameters."""

    @abstractmethod
    def weight(self, name: str) -> Value:
        """A parameter as a value."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether the block has such a parameter."""

    @abstractmethod
    def names(self) -> list[str]:
        """The block's parameters."""

    @abstractmethod
    def linear(self, name: str, x: Value) -> Value:
        """x Wᵀ + b of the layer `name`, with whatever adapter stands on it."""

    @abstractmethod
    def product(self, x: Value, weight: Value, width: int) -> Value:
        """x Wᵀ with a bare parameter, or one derived from it."""

    @abstractmethod
    def prepend(self, x: Value, front: Value) -> Value:
        """The stream with the same tokens in front of each sequence."""

    @abstractmethod
    def first(self, x: Value) -> Value:
        """A view of the first token of each sequence."""

    @abstractmethod
    def lookup(self, name: str, index: str = "given", columns: int = 1) -> Value:
        """Rows of a table for each token. `index`: `given` by the caller, `made` on the way, one row of them for the whole
        batch (`shared`), `kept` by the model, or one of so many `columns` that are made together."""

    @abstractmethod
    def grouped(self, name: str, x: Value, width: int, *, routed: bool = True) -> Value:
        """Each row of x times the matrix of its own expert; `routed` by places that are kept, or as many rows for each expert."""

    @abstractmethod
    def cast(self, x: Value, dtype: str) -> Value:
        """The value in another format; itself where it has that format."""

    @abstractmethod
    def add(self, x: Value, y: Value) -> Value: ...

    @abstractmethod
    def multiply(self, x: Value, y: Value) -> Value: ...

    @abstractmethod
    def divide(self, x: Value, y: Value) -> Value: ...

    @abstractmethod
    def scale(self, x: Value) -> Value:
        """x times, or plus, a constant: a new tensor for which nothing is kept."""

    @abstractmethod
    def unary(self, function: str, x: Value) -> Value:
        """An elementwise function of the framework: `silu`, `gelu`, `relu`, `tanh`, `sigmoid`, `exp`, `power`, `rsqrt`, ..."""

    @abstractmethod
    def mean(self, x: Value, width: int = 1) -> Value:
        """A statistic of each row (`mean`, `sum`), or of each of `width` parts of a row."""

    @abstractmethod
    def softmax(self, x: Value, dtype: str | None = None) -> Value: ...

    @abstractmethod
    def dropout(self, x: Value, rate: float) -> Value: ...

    @abstractmethod
    def slice(self, x: Value, width: int) -> Value:
        """A view of part of each row."""

    @abstractmethod
    def join(self, *parts: Value) -> Value:
        """The parts of each row one after another, in new memory."""

    @abstractmethod
    def copy(self, x: Value, width: int | None = None) -> Value:
        """The same, or repeated to `width`, in new memory that lies token by token."""

    @abstractmethod
    def by_head(self, x: Value) -> Value:
        """A copy that lies head by head."""

    @abstractmethod
    def in_rows(self, x: Value) -> Value:
        """The tokens of all sequences one after another, as rows of a matrix: a copy where they lie head by head."""

    @abstractmethod
    def matmul(self, x: Value, y: Value, width: int) -> Value:
        """A batched product of two activations."""

    @abstractmethod
    def constant(self, tokens: int, width: int, dtype: str, name: str, *, argument: bool = False) -> Value:
        """A tensor without a gradient that the whole model shares (rotary tables, masks): made once, kept once. `argument`: whether
        layers are handed it so that checkpointing keeps it."""

    def buffer(self, width: int, name: str) -> Value:
        """What the model keeps in its format beside its parameters."""
        return Value(1, width, self.stream_dtype, Storage(0, name, "model", "buffer"))

    @abstractmethod
    def layer_norm(self, x: Value, name: str = "", parts: int = 1, *, unit: bool = False) -> Value:
        """The framework's own layer norm with a `weight` (`unit`: 1 plus that) and a `bias`, of each of `parts` parts of a row."""

    @abstractmethod
    def fused_rms_norm(self, x: Value, name: str = "weight", parts: int = 1) -> Value:
        """The framework's own RMS norm."""

    @abstractmethod
    def attention(
        self,
        query: Value,
        key: Value,
        value: Value,
        *,
        heads: int,
        kv_heads: int,
        causal: bool,
        window: int | None = None,
        blocks: bool = False,
        softcap: bool = False,
        dropout: float = 0.0,
        relative: str = "",
        sinks: Value | None = None,
        upcast: bool = True,
        wide_scores: bool = False,
        ungrouped: bool = False,
        chosen: bool = False,
        handed: bool = False,
        plain: bool = False,
        floored: bool = False,
        sink_scale: bool = False,
        padding: bool = False,
    ) -> Value:
        """Attention by whatever kernel is chosen; the result lies token by token, ready for a projection.

        `relative` adds a position bias to the scores: that of the layers' `table`, or `zeros`.
        """

    @abstractmethod
    def route(self, x: Value, scores: Value, visited: int) -> tuple[Value, Value]:
        """Rows of x sorted by expert, `visited` times each, and the weight of each such row."""

    @abstractmethod
    def gather(self, rows: Value, weights: Value, visited: int) -> Value:
        """The weighted rows added up for each token again."""

    @abstractmethod
    def top(self, scores: Value, visited: int) -> Value:
        """The largest scores of each row."""

    @abstractmethod
    def dispatch(self, x: Value, weights: Value, visited: int) -> tuple[Value, Value]:
        """The rows that experts read one after another, and the weight of each; where they are from is kept."""

    @abstractmethod
    def collect(self, rows: Value, weights: Value, visited: int) -> Value:
        """The weighted rows of all experts, each kept, added to what they are from."""

    @abstractmethod
    def unsorted(self, rows: Value, visited: int) -> Value:
        """Rows of experts, which are kept, put back beside each other for each token."""

    @abstractmethod
    def sorted_again(self, x: Value, visited: int) -> Value:
        """What stands side by side for each token, as rows in the order of experts."""

    @abstractmethod
    def scatter(self, x: Value, width: int) -> Value:
        """What `top` has found, put back into rows of the width they are from; places are kept once for both."""

    @abstractmethod
    def repeat_rows(self, x: Value, times: int) -> Value:
        """All rows again and again, in new memory."""

    @abstractmethod
    def sum_rows(self, x: Value, times: int) -> Value:
        """Rows that lie `times` over, added up."""

    @abstractmethod
    def of_each(self, name: str, chosen: Value) -> Value:
        """The numbers of a parameter at the places that were `chosen` and kept."""

    @abstractmethod
    def pick(self, x: Value, width: int) -> Value:
        """Part of each row, picked out by an index into new memory."""

    @abstractmethod
    def fresh(self, tokens: int, width: int, dtype: str, name: str) -> Value:
        """A tensor without a gradient that is made on the spot: a mask, an index, a number."""

    @abstractmethod
    def fourier(self, x: Value) -> Value:
        """The real half of a transform over tokens and width."""

    @abstractmethod
    def number(self, of: Value, dtype: str) -> Value:
        """A number by which a value is divided: kept in a format of its own, it does not change the value's."""

    @abstractmethod
    def set_aside(self, name: str, x: Value, *, argument: bool = False) -> None:
        """Let later layers find x under this name; `argument`: handed to them as one, so that checkpointing keeps it."""

    @abstractmethod
    def take(self, x: Value, index: Value, tokens: int, width: int) -> Value:
        """Elements of x by an index for each of them (`gather`); both are kept."""

    @abstractmethod
    def masked(self, x: Value, mask: Value) -> Value:
        """x with a constant wherever the mask says so; the mask is kept."""

    @abstractmethod
    def view(self, x: Value, tokens: int, width: int) -> Value:
        """The same memory, or part of it, as other rows."""

    @abstractmethod
    def over_batch(self, x: Value, *, always: bool = False) -> Value:
        """A copy of x for each sequence; x itself for a single one, unless it is copied `always`."""

    @abstractmethod
    def spread(self, x: Value, times: int) -> Value:
        """A view of each row that shows it so many times."""

    def chosen(self, logits: Value, visited: int, scores: str, *, normalized: bool, floor: bool = False, upcast: bool = True) -> Value:
        """How much each token gives to the experts that it visits, in fp32 unless it is not `upcast`."""
        wide = self.cast(logits, FP32) if upcast else logits
        if scores == "chosen":
            return self.softmax(self.top(wide, visited))
        best = self.top(self.unary("sigmoid", wide) if scores == "sigmoid" else self.softmax(wide), visited)
        if not normalized:
            return best
        total = self.mean(best)
        return self.divide(best, self.unary("clamp", total) if floor else total)

    def feed_forward(
        self,
        x: Value,
        activation: str,
        *,
        gated: bool,
        fused: bool = False,
        clamped: bool = False,
        prefix: str = "",
        scaled: bool = False,
    ) -> Value:
        """What enters a feed-forward network's last projection. `scaled`: its gate is multiplied by a constant first."""
        if not gated:
            return self.activation(activation, self.linear(f"{prefix}up_proj", x))
        if fused:
            both = self.linear(f"{prefix}gate_up_proj", x)
            gate, up = self.slice(both, both.width // 2), self.slice(both, both.width // 2)
            return self.clamped_gate(gate, up) if clamped else self.multiply(up, self.activation(activation, gate))
        gate = self.linear(f"{prefix}gate_proj", x)
        gate = self.activation(activation, self.scale(gate) if scaled else gate)
        return self.multiply(gate, self.linear(f"{prefix}up_proj", x))

    def clamped_gate(self, gate: Value, up: Value) -> Value:
        """(up + 1) · gate · σ(α · gate), with both bounded first (gpt-oss)."""
        bounded, other = self.unary("clamp", gate), self.unary("clamp", up)
        gated = self.multiply(bounded, self.unary("sigmoid", self.scale(bounded)))
        return self.multiply(self.scale(other), gated)

    def written_layer_norm(self, x: Value) -> Value:
        """A layer norm written out: centred, squared, averaged, in fp32 (Cohere)."""
        wide = self.cast(x, FP32)
        mean = self.mean(wide)
        statistic = self.unary("rsqrt", self.scale(self.mean(self.unary("power", self.subtract(wide, mean)))))
        normal = self.multiply(self.subtract(wide, mean), statistic)
        return self.cast(self.multiply(self.cast(self.weight("weight"), FP32), normal), x.dtype)

    def divided_layer_norm(self, x: Value) -> Value:
        """A layer norm written out in fp32, with a division by the root, and the gain after the cast (DeBERTa)."""
        wide = self.cast(x, FP32)
        mean = self.mean(wide)
        root = self.unary("sqrt", self.scale(self.mean(self.unary("power", self.subtract(wide, mean)))))
        normal = self.cast(self.divide(self.subtract(wide, mean), root), x.dtype)
        return self.add(self.multiply(self.weight("weight"), normal), self.weight("bias"))

    def subtract(self, x: Value, y: Value) -> Value:
        return self.add(x, y)

    def activation(self, name: str, x: Value) -> Value:
        """An activation function as `ACT2FN` of transformers has it: the framework's own, or written out in Python."""
        if name in ("gelu_new", "gelu_fast", "gelu_python_tanh"):
            return self._gelu_written_out(x)
        if name == "gelu_python":
            return self.multiply(self.scale(x), self.scale(self.unary("erf", self.scale(x))))
        if name == "xielu":
            return self._xielu(x)
        if name in ("quick_gelu", "gelu_quick"):
            return self.multiply(x, self.unary("sigmoid", self.scale(x)))
        if name in ("relu2", "relu_squared"):
            return self.unary("power", self.unary("relu", x))
        if name in ("linear", "none", "identity"):
            return x
        return self.unary(KERNELS.get(name, name), x)

    def _xielu(self, x: Value) -> Value:
        """xIELU (Huang & Schlag 2024): α_p x² + β x above 0, (eˣ - 1 - x) α_n + β x below, both computed for every x."""
        above, below = (self.unary("softplus", self.weight(f"alpha_{sign}")) for sign in "pn")
        beta = self.scale(x)
        positive = self.add(self.multiply(self.multiply(above, x), x), beta)
        bounded = self.unary("minimum", x)
        negative = self.add(self.multiply(self.subtract(self.unary("expm1", bounded), x), self.scale(below)), self.scale(x))
        return self.masked(self.add(positive, negative), self.fresh(x.tokens, x.width, "bool", "sign"))

    def _gelu_written_out(self, x: Value) -> Value:
        """0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), operation by operation (`NewGELUActivation`)."""
        half = self.scale(x)
        inner = self.scale(self.add(x, self.scale(self.unary("power", x))))
        return self.multiply(half, self.scale(self.unary("tanh", inner)))

    def rms_norm(self, x: Value, style: str = "cast", name: str = "weight", parts: int = 1, gain: bool = True) -> Value:
        """RMS norm as the references write it: `cast` (Llama: normalised in fp32, cast back, then the gain), `promote` (T5: the
        input times an fp32 statistic), `unit` (Gemma: gain 1 + w in fp32), `late` (OLMo 2: the gain in fp32, then cast back)."""
        if style == "fused":
            return self.fused_rms_norm(x, name, parts)
        wide = self.cast(x, FP32)
        squared = self.scale(self.mean(self.unary("power", wide), parts))
        statistic = self.unary("power" if style == "power" else "rsqrt", squared)
        if style == "promote":
            normal = self.multiply(x, statistic)
            weight = self.weight(name)
            return self.multiply(weight, self.cast(normal, weight.dtype) if weight.dtype != FP32 else normal)
        normal = self.multiply(wide, statistic)
        if not gain:
            return self.cast(normal, x.dtype)
        if style == "unit":
            return self.cast(self.multiply(normal, self.scale(self.cast(self.weight(name), FP32))), x.dtype)
        if style in ("wide", "power"):
            return self.cast(self.multiply(self.cast(self.weight(name), FP32), normal), x.dtype)
        if style == "late":
            return self.cast(self.multiply(self.weight(name), normal), x.dtype)
        return self.multiply(self.weight(name), self.cast(normal, x.dtype))

    def rotary(self, dims: int, style: str = "halves", dtype: str = "", *, local: bool = False, rows: int = 0) -> tuple[Value, Value]:
        """Cosines and sines for each position: made once for the model, or repeated for pairs in every layer. `rows` of them, one
        for each token of a sequence where nothing is said."""
        if style.startswith("own"):
            cosine, sine = (self.fresh(rows or self.length, dims, dtype, name) for name in ("rotary cosine", "rotary sine"))
            return cosine, sine
        dtype = FP32 if style.endswith("wide") else dtype if style == "each" else self.stream_dtype
        if style == "complex":
            return (self.constant(self.length, dims, FP32, f"rotary complex {dims}"),) * 2
        names = (f"rotary {name}{' local' if local else ''} {dims}" for name in ("cosine", "sine"))
        cosine, sine = (self.constant(rows or self.length, dims, dtype, name) for name in names)
        return (self.copy(cosine), self.copy(sine)) if style.startswith(("repeated", "each")) else (cosine, sine)

    def rotate(self, x: Value, heads: int, head_dim: int, tables: tuple[Value, Value], style: str = "halves") -> Value:
        """Rotary positions on the first dims of each head (Su et al. 2021), as many as the tables have."""
        if style == "complex":
            return self.cast(self.multiply(self.cast(x, FP32), tables[0]), x.dtype)
        dims = tables[0].width
        turned, rest = (x, None) if dims >= head_dim else (self.slice(x, heads * dims), self.slice(x, heads * (head_dim - dims)))
        half = heads * dims // 2
        other = self.join(self.scale(self.slice(turned, half)), self.slice(turned, half))
        if style == "repeated_wide":
            turned, other = self.cast(turned, FP32), self.cast(other, FP32)
        done = self.add(self.multiply(turned, tables[0]), self.multiply(other, tables[1]))
        if style in ("wide", "repeated_wide"):
            done = self.cast(done, x.dtype)
        if rest is not None:
            return self.join(done, rest)
        return self.join(done) if style.endswith("joined") else done

    @property
    @abstractmethod
    def stream_dtype(self) -> str:
        """The format of what the model's first layer reads."""


KERNELS = {"swish": "silu", "gelu_pytorch_tanh": "gelu", "gelu_accurate": "gelu", "leaky_relu": "relu"}
"""Activation functions that are one kernel under another name."""
