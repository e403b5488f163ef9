"""What is within a layer: blocks and groups along its flow, recorded as one piece."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.costs.training import flow
from paramcalc.costs.training.model_tape import ModelTape
from paramcalc.model.architecture import joined
from paramcalc.model.blocks.embedding import Embedding
from paramcalc.model.blocks.tensor import Tensor
from paramcalc.model.parts import Block, Group, Place
from paramcalc.model.tape import FP32, Value
from paramcalc.words.errors import UsageError
from paramcalc.words.sizes import Size


class Within:
    """Records parts of layers on a tape, and lists those that the stream does not pass."""

    def __init__(self, tape: ModelTape, skipped: list[str]) -> None:
        self.tape = tape
        self.skipped = skipped

    def part(self, part: Block | Group, x: Value, at: Place) -> Value:
        """A layer, or a part of one: everything within is one segment."""
        if isinstance(part, Block):
            return forward(self.tape, part, x, at)
        if part.kinds:
            raise UsageError(f"layers within the layer {at.part} are not modelled in training", place="model")
        steps = flow.steps(part)
        used = set().union(*(flow.names(step) for step in steps))
        for name in part.parts:
            if name not in used:
                self._aside(part.parts[name], placed(part.parts[name], name, at))
        for _ in range(part.repeat):
            for step in steps:
                x = flow.run(step, x, self._applier(part, at), self._wide_sum if part.wide else self.tape.add)
        return x

    def _wide_sum(self, x: Value, y: Value) -> Value:
        return self.tape.add(self.tape.cast(x, FP32), y)

    def _aside(self, part: Block | Group, at: Place) -> None:
        """A part of a layer that the stream does not pass."""
        if isinstance(part, Embedding) and part.index == "relative":
            self.tape.beside(part, at)
        elif isinstance(part, Tensor) and part.relative:
            forward(self.tape, part, None, at)
        else:
            self.skipped.append(f"{at.part}, which stands beside the stream")

    def _applier(self, group: Group, at: Place) -> Callable[[str, Value], Value]:
        return lambda name, x: self.part(group.parts[name], x, placed(group.parts[name], name, at))


def forward(tape: ModelTape, block: Block, x: Value | None, place: Place) -> Value:
    """A block's forward pass. Refuses what is not known."""
    tape.enter(block, place)
    try:
        return tape.after(block, place, tape.block(block, x, place))  # type: ignore[arg-type]
    except NotImplementedError as error:
        raise UsageError(
            f"the activations of {place.part} are not known: {error}",
            place="model",
            hint="count and infer know this architecture; train does not yet",
        ) from error


def placed(part: Block | Group, name: str, at: Place, *, layer: bool = False) -> Place:
    """Where a part stands, without the counting of copies."""
    path = joined(at.path, part.path if part.path is not None else "" if layer else name)
    place = at._replace(path=path, part=f"{at.part}.{name}" if at.part else name)
    if isinstance(part, Block):
        return place
    return place._replace(
        width=Size(part.width, f"{name}.width") if part.width else at.width,
        tokens=at.tokens if part.tokens is None else part.tokens,
        cached=at.cached if part.cache is None else part.cache,
        tower=part.tower or at.tower,
        image=at.image if part.image is None else tuple(part.image),
    )
