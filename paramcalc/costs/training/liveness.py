"""From recorded operations to bytes: what is kept, and how much lives at once on the way forward and on the way back."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from paramcalc.costs.training.autograd import BYTES, KEPT_KINDS, Op, Ops
from paramcalc.model.tape import Storage, Value

ACTIVATIONS, LOGITS, GRADIENTS, WORKSPACE = "activations", "logits", "gradients", "workspace"

Bytes = dict[str, int]
"""Bytes by term."""


def plus(*parts: Bytes) -> Bytes:
    """Term by term."""
    found: Bytes = {}
    for part in parts:
        for term, size in part.items():
            found[term] = found.get(term, 0) + size
    return found


class Meter:
    """Bytes that live now, by term, and the moment when they were most."""

    def __init__(self) -> None:
        self.live: Bytes = {}
        self.total = 0
        self.peak = 0
        self.at_peak: Bytes = {}

    def add(self, term: str, size: int) -> None:
        self.begin(term, size)
        self.touch()

    def begin(self, term: str, size: int) -> None:
        """Something that is there before the first moment."""
        self.live[term] = self.live.get(term, 0) + size
        self.total += size

    def drop(self, term: str, size: int) -> None:
        self.live[term] -= size
        self.total -= size

    def touch(self, more: int = 0) -> None:
        """Remember this moment if it is the fullest yet; `more` bytes of workspace live only now."""
        if self.total + more > self.peak:
            self.peak = self.total + more
            self.at_peak = {**self.live, WORKSPACE: self.live.get(WORKSPACE, 0) + more}


class Scene(NamedTuple):
    """A run of operations: what it reads, what it hands on, and what of it belongs to the loss."""

    ops: Ops
    entry: Value | None
    exit: Value
    loss: frozenset[Storage] = frozenset()
    """Logits and what is made of them."""
    held: frozenset[Storage] = frozenset()
    """What the caller keeps (the model's outputs)."""
    keeps: bool = True
    """Whether tensors are kept for the backward pass; not so in the first pass of a checkpointed layer."""
    holds_entry: bool = False
    """Whether the entry is kept by a checkpoint."""

    def term(self, storage: Storage, kept: Set[Storage]) -> str:
        if storage in self.loss:
            return LOGITS
        return ACTIVATIONS if storage in kept or storage is (self.entry.storage if self.entry else None) else WORKSPACE


def forward(scene: Scene, count: int | None = None) -> Meter:
    """Run the operations, or so many of them. A tensor lives from the operation that makes it to the last that reads it, or on if
    it is kept."""
    meter, own = Meter(), scene.ops.made
    kept: Set[Storage] = own & scene.ops.saved.keys() if scene.keeps else frozenset()
    last = _last_uses(scene)
    alive: set[Storage] = set()
    if scene.entry is not None:
        alive.add(scene.entry.storage)
        meter.add(ACTIVATIONS, scene.entry.storage.bytes)
    for number, op in enumerate(scene.ops[:count]):
        saved = op.saved if scene.keeps or op.inputs else ()  # what an operation without operands keeps, nothing makes
        for storage in (op.output.storage, *saved):
            if storage in own and storage not in alive and storage.kind in KEPT_KINDS:
                alive.add(storage)
                meter.add(scene.term(storage, kept), storage.bytes)
        meter.touch(op.temporary)
        for storage in {op.output.storage, *op.saved, *(value.storage for value in read(op, keeps=scene.keeps))} & alive:
            if last.get(storage, -1) <= number and storage not in kept and storage not in scene.held:
                alive.discard(storage)
                meter.drop(scene.term(storage, kept), storage.bytes)
    return meter


def needed_again(ops: Ops) -> int:
    """How many operations a checkpoint runs again: up to the one that keeps the last of all kept tensors."""
    last = max((number for number, op in enumerate(ops) if op.saved), default=-1)
    return last + (last >= 0 and ops[last].output.storage in ops[last].saved)


def read(op: Op, *, keeps: bool) -> tuple[Value, ...]:
    """What has to be there while an operation runs."""
    return (*op.inputs, *op.beside, *op.graph) if keeps else (*op.inputs, *op.beside)


def lasts(op: Op) -> bool:
    """Whether something holds its result until the pass has ended: autocast does so with its copies of trained weights."""
    return bool(op.until) or (op.output.storage.kind == "copy" and op.output.needs_grad)


def _last_uses(scene: Scene) -> dict[Storage, int]:
    """Number of the operation after which a tensor is not read any more."""
    last: dict[Storage, int] = {}
    for number, op in enumerate(scene.ops):
        for value in read(op, keeps=scene.keeps):
            last[value.storage] = number
    never = len(scene.ops)
    last[scene.exit.storage] = never
    if scene.entry is not None:
        kept_by_caller = scene.entry.storage
        last[kept_by_caller] = never if scene.holds_entry else last.get(kept_by_caller, -1)
    for op in scene.ops:
        if lasts(op):
            last[op.output.storage] = never
    return last


class _Gradient:
    """Memory of a gradient; several values may share one that was handed on."""

    __slots__ = ("bytes", "term", "users")

    def __init__(self, size: int, term: str) -> None:
        self.bytes = size
        self.term = term
        self.users = 0


class Backward:
    """Runs the operations backwards: kept tensors go, gradients come and go, those of parameters stay."""

    def __init__(
        self,
        scene: Scene,
        *,
        known: frozenset[Storage] = frozenset(),
        added_to: frozenset[Storage] = frozenset(),
    ) -> None:
        self.scene = scene
        self.known = known | added_to
        """Parameters whose gradients are there already: to them a new one is added, and goes."""
        self.added_to = added_to
        """Those of them that have theirs from an earlier micro-batch."""
        self.meter = Meter()
        self.kept = scene.ops.saved.keys()
        self.uses: dict[Storage, int] = {}
        self.gradients: dict[Value, _Gradient] = {}
        self.parameters: dict[Storage, int] = {}
        """Bytes of the gradients of parameters, each once."""
        own = scene.ops.made | ({scene.entry.storage} if scene.entry else set())
        for op in scene.ops:
            for storage in set(op.saved):
                if storage in own and storage.kind in KEPT_KINDS:
                    self.uses[storage] = self.uses.get(storage, 0) + 1
        if scene.holds_entry and scene.entry is not None:
            self.uses[scene.entry.storage] = self.uses.get(scene.entry.storage, 0) + 1
        for storage in {*self.uses, *scene.held}:
            self.meter.begin(scene.term(storage, self.kept), storage.bytes)
        self.meter.touch()
        self.waiting = -1
        """Bytes of gradients that are there when a kept tensor is first asked for: a checkpoint then runs its layer again."""
        if scene.exit.needs_grad:
            self._give(scene.exit, self._new(scene.exit))

    def run(self) -> Backward:
        for op in reversed(self.scene.ops):
            gradient = self.gradients.pop(op.output, None)
            if op.output.needs_grad and op.ahead:
                self._forget(op)
            if op.output.needs_grad and gradient is not None:
                if op.saved and self.waiting < 0:
                    self.waiting = sum(each.bytes for each in {gradient, *self.gradients.values()}) + sum(self.parameters.values())
                self._step(op, gradient)
                self._release(gradient)
            if op.output.needs_grad and not op.ahead:
                self._forget(op)
        return self

    def _step(self, op: Op, gradient: _Gradient) -> None:
        receivers = [value for value in dict.fromkeys(op.inputs) if value.needs_grad]
        coming = []
        for value in receivers:
            size = value.elements * BYTES[value.dtype]
            shares = op.passes and size == gradient.bytes and value.storage.kind != "parameter"
            coming.append(gradient if shares else self._new(value))
        self.meter.touch(op.backward)
        for value, new in zip(receivers, coming, strict=True):
            self._give(value, new)

    def _new(self, value: Value) -> _Gradient:
        term = GRADIENTS if value.storage.kind == "parameter" else LOGITS if value.storage in self.scene.loss else WORKSPACE
        gradient = _Gradient(value.elements * BYTES[value.dtype], term)
        self.meter.add(term, gradient.bytes)
        return gradient

    def _give(self, value: Value, new: _Gradient) -> None:
        """Hand a gradient to a value; a second one is added to the first, in place where nobody shares it."""
        if value.storage.kind == "parameter":
            if value.storage in self.parameters or value.storage in self.known:
                # two uses in one pass are summed into new memory before they reach the parameter; an older sum is added to in place
                if value.storage not in self.added_to:
                    self.meter.touch(new.bytes)
                self.meter.drop(GRADIENTS, new.bytes)
            else:
                self.parameters[value.storage] = new.bytes
            return
        new.users += 1
        old = self.gradients.get(value)
        if old is None:
            self.gradients[value] = new
            return
        target, spent = (old, new) if old.users == 1 else (new, old)
        if target.users > 1:
            target = self._new(value)
            target.users = 1
            self._release(old)
            self._release(new)
        else:
            self._release(spent)
        self.gradients[value] = target

    def _release(self, gradient: _Gradient) -> None:
        gradient.users -= 1
        if gradient.users == 0:
            self.meter.drop(gradient.term, gradient.bytes)

    def _forget(self, op: Op) -> None:
        """What this operation kept is not needed any more."""
        for storage in set(op.saved):
            if storage in self.uses:
                self.uses[storage] -= 1
                if self.uses[storage] == 0 and storage not in self.scene.held and storage not in self.scene.ops.staying:
                    self.meter.drop(self.scene.term(storage, self.kept), storage.bytes)
