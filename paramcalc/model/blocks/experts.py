"""A mixture of experts: a router, routed experts, and experts that every token visits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from paramcalc.model.activations import Activation
from paramcalc.model.parts import Block, Count, Place, Share
from paramcalc.model.rows import BIAS, WEIGHT, Row, linear, norm
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

FP32 = "fp32"


class Expert(BaseModel):
    """The feed-forward network that an expert is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: Count
    gated: bool = True
    bias: bool = False
    activation: Activation = "silu"
    dropout: Share = 0.0
    """Of what enters its last projection."""
    clamped: bool = False
    """Whether gate and up are bounded, and gate · σ(α · gate) · (up + 1) is what enters the last projection (gpt-oss)."""
    fused: bool = False
    """For shared experts: whether gate and up are one matrix."""
    gate: bool = False
    """For shared experts: whether a sigmoid gate [1, width] weighs their output."""


class Router(BaseModel):
    """The linear map [experts, width] whose scores choose the experts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bias: bool = False
    scores: Literal["softmax", "sigmoid", "chosen"] = "softmax"
    """What makes scores of logits: a softmax over all experts, a sigmoid of each, or a softmax over the chosen ones."""
    normalized: bool = True
    """Whether the chosen scores are divided by their sum."""
    floor: bool = False
    """Whether that sum has a lower bound (ERNIE 4.5)."""
    wide: bool = False
    """Whether logits are computed in fp32, from copies of the input and of the weight (DeepSeek-V3)."""
    held_wide: bool = False
    """Whether the router's weight is fp32 in the reference whatever the model's format, so that no copy of it is made."""
    scaled: bool = False
    """Whether it normalises what it reads without a gain and scales it by a vector, and each expert's share by a number (Gemma 4)."""
    upcast: bool = True
    """Whether scores are made in fp32; in the logits' format else (Aria)."""
    jitter: bool = False
    """Whether what it reads is multiplied by noise in fp32 (Fedus et al. 2022, Switch Transformers)."""
    narrow: bool = False
    """Whether the shares are cast to the stream's format before experts' outputs are multiplied by them (Qwen3)."""
    correction: bool = False
    """Whether a correction added to the scores (Wang et al. 2024) is a parameter, which no gradient moves; the references
    that keep it as a buffer have none."""


class Experts(Block):
    """Sparsely gated experts (Shazeer et al. 2017): `visited` of `count` experts per token, beside `shared` ones.

    Routed weights are stacked as the reference stores them: gate_up [count, 2·size, width] and down
    [count, width, size], or up alone where the experts are not gated. Router [count, width].
    """

    home: ClassVar[str] = "experts"

    count: Count
    visited: Count | None
    """Experts per token; null where the description does not fix it (then `active` is unknown)."""
    expert: Expert
    inputs: Count | None = None
    """Width of the latent that routed experts read and write, where it is not the stream's (Nemotron 3)."""
    idle: Count | None = None
    """Experts that compute nothing (LongCat): the router scores them too, and so large is the reference's stack of gate
    and up."""
    shared: Expert | None = None
    """Experts that every token visits, as one network of their joint size."""
    router: Router | None = Router()
    stacked: bool = True
    """Whether all experts' weights are one tensor; else each has its own."""
    transposed: bool = False
    """Whether stacked weights are [count, inputs, outputs]."""
    norm: Literal["power"] | None = None
    """Style of a norm that is theirs and not the router's, where there is one (Gemma 4)."""
    loop: bool = False
    """Whether the reference computes one expert after another, each on its own rows (DBRX, Switch Transformers). What is kept does
    not depend on how many rows each has, as long as none is dropped for want of capacity."""
    output_bias: bool = False
    """Whether a bias [width] is added to what all experts make together (JetMoE)."""
    every: bool = False
    """Whether every expert computes every token, scaled first by its score, which is 0 where it was not chosen (Llama 4)."""
    flat: bool = False
    """Whether stacked weights are matrices [count · size, width]: gate, up and down (DBRX)."""

    def inconsistencies(self, at: Place) -> Iterator[str]:
        if self.visited and self.visited > self.count:
            yield f"visited ({self.visited}) is more than count ({self.count}) experts"

    def parameters(self, at: Place) -> Iterator[Row]:
        count: Size = self.sized.count
        if self.router:
            yield from linear("router", self._scored, at.width, bias=self.router.bias, component="router")
            if self.router.scaled:
                yield Row("router_scale", (at.width,), WEIGHT, "", "router", "router_scale")
                yield Row("expert_scale", (self._scored,), WEIGHT, "", "router", "expert_scale")
            if self.router.correction:
                yield Row("router.e_score_correction_bias", (self._scored,), BIAS, "", "router", "router", trainable=False)
        if self.norm:
            yield from norm("norm", at.width)
        width = Size(self.inputs, "inputs") if self.inputs else at.width
        visited = self.visited if not any(self.inconsistencies(at)) else None
        routed = self._stacked(count, width) if self.stacked else self._separate(count, width)
        yield from (row._replace(experts=(self.count, visited)) for row in routed)
        if self.output_bias:
            yield Row("bias", (at.width,), BIAS, role="bias")
        if self.shared:
            yield from _network("shared_expert", self.shared, at.width, "shared_experts")
            if self.shared.gate:
                yield from linear("shared_expert_gate", 1, at.width, component="shared_experts")

    @property
    def turned(self) -> bool:
        """Of transposed stacks; the router and shared experts are stored as ever."""
        return False

    @property
    def _scored(self) -> Size:
        """Experts that the router tells apart."""
        count: Size = self.sized.count
        return count + Size(self.idle, "idle") if self.idle else count

    def _stacked(self, count: Size, width: Size) -> Iterator[Row]:
        size = Size(self.expert.size, "expert.size")
        if self.flat:
            for name in ("gate_proj", "up_proj", "down_proj") if self.expert.gated else ("up_proj", "down_proj"):
                yield Row(f"experts.{name}", (count * size, width), WEIGHT, "stack", role=f"experts.{name}", split=0)
            return
        first, outputs = ("gate_up_proj", 2 * size) if self.expert.gated else ("up_proj", size)
        shapes = ((first, outputs, width, 0), ("down_proj", width, size, 1))
        for name, rows, columns, split in shapes:
            held = self._scored if name == first else count
            shape = (held, columns, rows) if self.transposed else (held, rows, columns)
            axis = 1 + (1 - split if self.transposed else split)
            yield Row(f"experts.{name}", shape, WEIGHT, "stack", role=f"experts.{name}", split=axis)
            if self.expert.bias:
                axis_of_bias = 1 if split == 0 else None
                yield Row(f"experts.{name}_bias", (count, rows), BIAS, "stack", role=f"experts.{name}", split=axis_of_bias)

    def _separate(self, count: Size, width: Size) -> Iterator[Row]:
        for row in _network("experts.{}", self.expert, width, ""):
            yield row._replace(repeat=count)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """The router's scores, the chosen experts on their tokens (one grouped product a matrix), shared ones on all."""
        apart = self.flat or not self.stacked
        if not self.visited or self.inputs or not self.router or (apart and not self.loop):
            raise NotImplementedError("experts of this form")
        if self.loop and not apart:
            routed = self._in_pieces(tape, x, self.router)
        elif self.loop:
            routed = self._one_by_one(tape, x, self.router)
        elif self.every:
            routed = self._all_rows(tape, x)
        else:
            shares = self._shares(tape, x, self.router)
            read = tape.rms_norm(x, self.norm, "norm.weight") if self.norm else x
            rows, weights = tape.route(read, shares, self.visited)
            routed = tape.gather(self._network(tape, rows), weights, self.visited)
        if self.output_bias:
            routed = tape.add(routed, tape.weight("bias"))
        return tape.add(routed, self._shared(tape, x)) if self.shared else routed

    def _in_pieces(self, tape: Tape, x: Value, router: Router) -> Value:
        """Sorted rows, cut into those of each expert, and what they make joined again (JetMoE)."""
        assert self.visited
        size = self.expert.size
        rows, weights = tape.route(x, self._shares(tape, x, router), self.visited)
        both = tape.join(tape.grouped("experts.gate_up_proj", rows, 2 * size, routed=False))
        gate, up = tape.slice(both, size), tape.slice(both, size)
        inner = tape.multiply(tape.activation(self.expert.activation, gate), up)
        made = tape.join(tape.grouped("experts.down_proj", inner, x.width, routed=False))
        return tape.collect(made, weights, self.visited)

    def _network(self, tape: Tape, rows: Value) -> Value:
        """Every row through its expert's network."""
        size, routed = self.expert.size, not self.every
        if self.expert.gated:
            both = tape.grouped("experts.gate_up_proj", rows, 2 * size, routed=routed)
            gate, up = tape.slice(both, size), tape.slice(both, size)
            inner = tape.clamped_gate(gate, up) if self.expert.clamped else tape.multiply(tape.activation(self.expert.activation, gate), up)
        else:
            inner = tape.activation(self.expert.activation, tape.grouped("experts.up_proj", rows, size, routed=routed))
        return tape.grouped("experts.down_proj", inner, rows.width, routed=routed)

    def _one_by_one(self, tape: Tape, x: Value, router: Router) -> Value:
        assert self.visited
        if router.jitter:
            wide = tape.cast(x, FP32)
            wide = tape.multiply(wide, tape.fresh(x.tokens, x.width, FP32, "noise"))
            shares = tape.cast(self._shares(tape, wide, router), x.dtype)
        else:
            shares = self._shares(tape, x, router)
        rows, weights = tape.dispatch(x, shares, self.visited)
        return tape.collect(self._apart(tape, rows), weights, self.visited)

    def _apart(self, tape: Tape, rows: Value) -> Value:
        """Every row through its expert's own matrices."""
        expert = self.expert

        def through(name: str, x: Value, width: int) -> Value:
            if self.flat:
                return tape.product(x, tape.weight(f"experts.{name}"), width)
            return tape.linear(f"experts.{{}}.{name}", x)

        if expert.gated:
            gate, up = through("gate_proj", rows, expert.size), through("up_proj", rows, expert.size)
            inner = tape.multiply(tape.activation(expert.activation, gate), up)
        else:
            inner = tape.activation(expert.activation, through("up_proj", rows, expert.size))
        return through("down_proj", tape.dropout(inner, expert.dropout), rows.width)

    def _all_rows(self, tape: Tape, x: Value) -> Value:
        assert self.visited
        logits = tape.linear("router", x)
        chosen = tape.scatter(tape.top(logits, self.visited), self.count)
        scores = tape.cast(tape.unary("sigmoid", tape.cast(chosen, FP32)), chosen.dtype)
        by_expert = tape.view(tape.by_head(scores), scores.elements, 1)
        rows = tape.multiply(tape.repeat_rows(x, self.count), by_expert)
        return tape.sum_rows(self._network(tape, rows), self.count)

    def _shares(self, tape: Tape, x: Value, router: Router) -> Value:
        """How much each token gives to the experts that it visits."""
        assert self.visited
        if router.wide:
            weight = tape.weight("router.weight")
            logits = tape.product(tape.cast(x, FP32), weight if router.held_wide else tape.cast(weight, FP32), int(self._scored))
        elif router.scaled:
            normal = tape.rms_norm(x, "power", gain=False)
            logits = tape.linear("router", tape.scale(tape.multiply(normal, tape.weight("router_scale"))))
        else:
            logits = tape.linear("router", x)
        shares = tape.chosen(logits, self.visited, router.scores, normalized=router.normalized, floor=router.floor, upcast=router.upcast)
        if router.scaled:
            shares = tape.multiply(shares, tape.of_each("expert_scale", shares))
        return tape.cast(shares, x.dtype) if router.narrow else shares

    def _shared(self, tape: Tape, x: Value) -> Value:
        assert self.shared is not None
        inner = tape.feed_forward(
            x,
            self.shared.activation,
            gated=self.shared.gated,
            fused=self.shared.fused,
            clamped=self.shared.clamped,
            prefix="shared_expert.",
        )
        made = tape.linear("shared_expert.down_proj", inner)
        return tape.multiply(tape.unary("sigmoid", tape.linear("shared_expert_gate", x)), made) if self.shared.gate else made


def _network(prefix: str, expert: Expert, width: Size, component: str) -> Iterator[Row]:
    size = Size(expert.size, "size")
    if expert.gated and expert.fused:
        yield from linear(f"{prefix}.gate_up_proj", 2 * size, width, bias=expert.bias, split=0, component=component)
    else:
        for name in ("gate_proj", "up_proj") if expert.gated else ("up_proj",):
            yield from linear(f"{prefix}.{name}", size, width, bias=expert.bias, split=0, component=component)
    yield from linear(f"{prefix}.down_proj", width, size, bias=expert.bias, split=1, component=component)
