"""One forward and one backward pass: what lives at the fullest moment of each phase, by term.

A kind of layer is looked at once. Its copies differ in what stands before and behind them, by as much each time, so that
the fullest of them is the first or the last; the work does not grow with depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from paramcalc.costs.training.autograd import Kept
from paramcalc.costs.training.liveness import (
    ACTIVATIONS,
    GRADIENTS,
    LOGITS,
    WORKSPACE,
    Backward,
    Bytes,
    Meter,
    Scene,
    forward,
    lasts,
    needed_again,
    plus,
)
from paramcalc.costs.training.segment import Segment
from paramcalc.model.tape import Storage

FORWARD, FORWARD_END, BACKWARD_START, BACKWARD, BACKWARD_END = "forward", "forward_end", "backward_start", "backward", "backward_end"


class Policy(NamedTuple):
    """What is kept, and by whom."""

    checkpointing: bool = False
    loss: frozenset[Storage] = frozenset()
    """Logits and what is made of them."""
    held: frozenset[Storage] = frozenset()
    """Outputs that the caller holds until the step is over."""
    inputs: int = 0
    """Bytes of token ids and labels."""
    accumulated: bool = False
    """Whether gradients of an earlier micro-batch are there already."""
    standing: int = 0
    """Bytes of buffers that gradients are added to, where they are no tensors of their own."""
    gathered: int = 0
    """Parameters that are fetched for a while: those of the layer at work and of the next. The last layer's are still there
    when the loss is taken, and are fetched again as its gradient comes."""
    always: int = 0
    """The same for what stands outside of the layers; it is there through both passes."""
    gradient_ranks: Fraction = Fraction(1)
    """Ranks that a layer's gradients are divided among once it is done."""
    leaves: frozenset[Storage] = frozenset()
    """Looked-up rows that are asked for a gradient though no table trains: they and their gradients stay until the step."""
    late: int = 0
    """Bytes of gradients that arrive when all layers are through: those of keys and values that were handed to them."""
    in_flight: tuple[int, int] = (1, 1)
    """Micro-batches whose activations are held at once, as a fraction."""


class Passes(NamedTuple):
    """A forward and a backward pass."""

    phases: dict[str, Bytes]
    """The fullest moment of each phase, beside what is always there."""
    saved: int
    """Bytes that autograd keeps when the forward pass has ended."""
    kept: list[tuple[Kept, int]]
    """Every kept tensor, and how often it is there."""
    gradients: int
    """Bytes of all gradients."""


class _Left(NamedTuple):
    """What one run of equal segments left behind on the way forward."""

    each: Bytes
    once: Bytes
    staying: Bytes
    """Of what each keeps, what is there until the graph goes."""
    entry: int = 0
    """Bytes of its input, where the operation that made that keeps it too: they stand with what is before the segment."""


class _Run:
    def __init__(self, segments: Sequence[Segment], policy: Policy) -> None:
        self.segments = segments
        self.policy = policy
        self.phases: dict[str, Bytes] = {}
        self.kept: list[tuple[Kept, int]] = []
        self.shared: set[Storage] = set()
        """Memory made outside of the layers that read it, as far as it has been met, and what of it is kept."""
        self.kept_outside: set[Storage] = set()
        self.simulated: dict[tuple[Any, ...], Any] = {}
        """What equal layers do, run once: kinds that alternate come back again and again."""
        self.live: Bytes = {ACTIVATIONS: policy.inputs, LOGITS: 0, GRADIENTS: 0, WORKSPACE: policy.always}

    def scene(self, segment: Segment, *, keeps: bool = True) -> Scene:
        held = self.policy.held & segment.ops.made
        return Scene(segment.ops, segment.entry, segment.exit, self.policy.loss, held, keeps, self.redone(segment))

    def redone(self, segment: Segment) -> bool:
        """Whether a segment keeps its input alone and is computed again on the way back."""
        return self.policy.checkpointing and segment.layer and segment.exit.needs_grad

    def passes(self) -> Passes:
        total = self.shard(self.gradients())
        self.live[ACTIVATIONS] += self.other_micro_batches()
        if self.policy.accumulated:
            self.live[GRADIENTS] = self.policy.standing or total
        left, cached = [], 0
        for segment, before in zip(self.segments, (None, *self.segments), strict=False):
            left.append(self.left(segment, before))
            cached = self.ahead(segment, left[-1], cached)
        unsaved = self.policy.held - {storage for segment in self.segments for storage in segment.ops.saved}
        self.note(FORWARD_END, plus(self.live, {LOGITS: sum(storage.bytes for storage in unsaved)}))
        known: set[Storage] = set()
        for segment, behind in zip(reversed(self.segments), reversed(left), strict=True):
            self.back(segment, behind, known)
        leaves = sum(leaf.bytes for leaf in self.policy.leaves)
        read = leaves - sum(self.standing_leaves(segment) for segment in self.segments)
        late = {ACTIVATIONS: read + leaves, GRADIENTS: self.policy.late, WORKSPACE: -self.policy.always}
        self.note(BACKWARD_END, plus(self.live, late))
        return Passes(self.phases, sum(kept.bytes * times for kept, times in self.kept), self.kept, total)

    def closes(self, segment: Segment | None) -> bool:
        """Whether a segment's last operation keeps what it made, which the next segment reads (a ReLU between two convolutions)."""
        if segment is None or self.redone(segment) or (segment.entry is not None and segment.exit.storage is segment.entry.storage):
            return False
        return segment.exit.storage in segment.ops.made and segment.exit.storage in segment.ops.saved

    def left(self, segment: Segment, before: Segment | None) -> _Left:
        """What a segment keeps for the way back: each copy of it, and once for all of them."""
        own = segment.ops.made
        entry = segment.entry.storage if segment.entry is not None else None
        kept, redone = segment.ops.saved, self.redone(segment)
        each: Bytes = {ACTIVATIONS: 0, LOGITS: 0}
        stays = {storage for storage in segment.ops.staying if storage in own or (storage is entry and not redone)}
        for storage, row in kept.items():
            if storage is not entry and storage in (stays if redone else own):
                each[LOGITS if storage in self.policy.loss else ACTIVATIONS] += storage.bytes
                self.kept.append((row, segment.times))
                self.shared.add(storage)
                self.kept_outside.add(storage)
        closes, once = self.closes(segment), 0
        if entry is not None and entry.kind == "activation" and (redone or entry in kept):
            row = Kept("layer input", segment.name, entry.bytes, "activation") if redone else kept[entry]
            times = (1 if closes else segment.times) - self.closes(before)
            self.kept.append((row, times))
            self.shared.add(entry)
            self.kept_outside.add(entry)
            each[ACTIVATIONS] += 0 if closes else entry.bytes
            once += entry.bytes * (times - (0 if closes else segment.times))
        for storage in dict.fromkeys(value.storage for op in segment.ops for value in op.inputs):
            if storage in own or storage is entry or storage.kind != "activation":
                continue
            if storage not in self.shared:
                self.shared.add(storage)
                once += storage.bytes
            if storage not in self.kept_outside and (storage.argument if redone else storage in kept):
                self.kept_outside.add(storage)
                self.kept.append((Kept(storage.name, storage.where, storage.bytes, storage.kind), 1))
        handed = entry.bytes if entry is not None and closes and entry in kept else 0
        return _Left(each, {ACTIVATIONS: once}, {ACTIVATIONS: sum(storage.bytes for storage in stays)}, handed)

    def ahead(self, segment: Segment, left: _Left, cached: int) -> int:
        """A run of equal segments on the way forward. Returns the bytes of what is held until the pass ends, and not kept."""
        redone = self.redone(segment)
        meter = self.forward(segment, keeps=not redone)
        kept = frozenset() if redone else segment.ops.saved
        held = [op for op in segment.ops if lasts(op) and op.output.storage not in kept]
        copies = sum(op.output.storage.bytes for op in held)
        longer = sum(op.output.storage.bytes for op in held if op.until == "step")
        before = {WORKSPACE: cached + copies * (segment.times - 1) + self.policy.gathered}
        there = {ACTIVATIONS: -left.entry}
        self.note(FORWARD, plus(self.live, left.once, _times(left.each, segment.times - 1), before, meter.at_peak, there))
        self.live = plus(self.live, left.once, _times(left.each, segment.times))
        self.live[ACTIVATIONS] += self.standing_leaves(segment) + longer * segment.times
        return cached + (copies - longer) * segment.times

    def standing_leaves(self, segment: Segment) -> int:
        """Bytes of looked-up rows that are made here and are not themselves what the layers read, and so keep."""
        return sum(leaf.bytes for leaf in self.policy.leaves & segment.ops.made if leaf is not segment.exit.storage)

    def back(self, segment: Segment, left: _Left, known: set[Storage]) -> None:
        """A run of equal segments on the way back: the last copy first, with the gradients of those behind it."""
        redone, last = self.redone(segment), segment is self.segments[-1]
        own_parameters = frozenset(self.parameters(segment))
        older = own_parameters if self.policy.accumulated else frozenset()
        run = self.backward(segment, own_parameters & known, older)
        there = known | older
        moments = [run.meter.at_peak]
        if redone:
            moments.append(plus(self.again(segment).at_peak, {WORKSPACE: max(run.waiting, 0)}))
        new = {storage: size for storage, size in run.parameters.items() if storage not in there}
        grown = sum(new.values())
        own = self.shard(grown)
        more = 0 if segment.stored_once else own
        for moment in moments:
            for behind in {0, segment.times - 1}:
                gone = plus(_times(left.each, -behind - 1), _times(left.staying, behind + redone), {ACTIVATIONS: -left.entry})
                offset = plus(self.live, gone, {GRADIENTS: more * behind, WORKSPACE: self.policy.gathered})
                if last:
                    self.note(BACKWARD_START, plus(offset, moment))
                self.note(BACKWARD, plus(offset, moment))
        self.live = plus(self.live, _times(left.each, -segment.times), _times(left.staying, segment.times), _times(left.once, -1))
        self.live[GRADIENTS] += own + more * (segment.times - 1)
        if not segment.layer or segment.stored_once:
            known |= set(new)
        if last:
            self.live[LOGITS] += sum(storage.bytes for storage in self.policy.held)

    def shard(self, gradients: int) -> int:
        """This rank's share of gradients that are divided among ranks."""
        return -(-gradients // self.policy.gradient_ranks)

    def other_micro_batches(self) -> int:
        """What micro-batches that are in flight beside this one keep."""
        chunks, of = self.policy.in_flight
        if chunks == of:
            return 0
        one = sum(sum(self.left(segment, None).each.values()) * segment.times for segment in self.segments)
        self.kept.clear()
        self.shared.clear()
        self.kept_outside.clear()
        return one * (chunks - of) // of

    def forward(self, segment: Segment, *, keeps: bool = True) -> Meter:
        key = ("forward", *_identity(segment), keeps)
        if key not in self.simulated:
            self.simulated[key] = forward(self.scene(segment, keeps=keeps))
        made: Meter = self.simulated[key]
        return made

    def again(self, segment: Segment) -> Meter:
        """A checkpointed layer on the way forward once more, as far as that goes."""
        key = ("again", *_identity(segment))
        if key not in self.simulated:
            self.simulated[key] = forward(self.scene(segment), needed_again(segment.ops))
        made: Meter = self.simulated[key]
        return made

    def backward(self, segment: Segment, known: frozenset[Storage] = frozenset(), older: frozenset[Storage] = frozenset()) -> Backward:
        """`known` and `older` name parameters of this segment alone."""
        key = ("backward", *_identity(segment), known, older)
        if key not in self.simulated:
            self.simulated[key] = Backward(self.scene(segment), known=known, added_to=older).run()
        made: Backward = self.simulated[key]
        return made

    def parameters(self, segment: Segment) -> dict[Storage, int]:
        return self.backward(segment).parameters

    def gradients(self) -> int:
        """Bytes of all gradients, those of a shared parameter once."""
        seen: set[Storage] = set()
        total = 0
        for segment in self.segments:
            found = self.parameters(segment)
            if segment.layer and not segment.stored_once:
                total += sum(found.values()) * segment.times
            else:
                total += sum(size for storage, size in found.items() if storage not in seen)
                seen |= set(found)
        return total

    def note(self, phase: str, moment: Bytes) -> None:
        if phase not in self.phases or sum(moment.values()) > sum(self.phases[phase].values()):
            self.phases[phase] = dict(moment)


def _identity(segment: Segment) -> tuple[int, int, int]:
    """Equal layers hold the very same operations."""
    return id(segment.ops), id(segment.entry), id(segment.exit)


def run_passes(segments: Sequence[Segment], policy: Policy) -> Passes:
    """Run the segments forwards and backwards."""
    return _Run(segments, policy).passes()


def _times(part: Bytes, number: int) -> Bytes:
    return {term: size * number for term, size in part.items()}
