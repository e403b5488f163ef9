"""A model's forward pass, recorded in segments: what stands before, between and after the layers, and each kind of layer once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from paramcalc.costs.training import checked, flow
from paramcalc.costs.training.adapters import begun
from paramcalc.costs.training.autograd import BYTES, Op, Ops
from paramcalc.costs.training.given import given, no_input
from paramcalc.costs.training.loss import CONTRASTS, Loss, alignments
from paramcalc.costs.training.model_tape import ModelTape
from paramcalc.costs.training.runs import runs_of
from paramcalc.costs.training.segment import Segment
from paramcalc.costs.training.within import Within, forward, placed
from paramcalc.model.architecture import Architecture
from paramcalc.model.blocks.attention import Attention
from paramcalc.model.blocks.contrast import Contrast
from paramcalc.model.blocks.embedding import Embedding
from paramcalc.model.blocks.head import Head
from paramcalc.model.parts import Block, Group, Place
from paramcalc.model.tape import Storage, Value
from paramcalc.words.errors import UsageError
from paramcalc.words.sizes import Size


class Walk:
    """Records an architecture on a tape."""

    def __init__(
        self,
        architecture: Architecture,
        tape: ModelTape,
        *,
        loss: str = "plain",
        inputs_need_grad: bool = False,
        last_n: int = 0,
        image: tuple[int, ...] = (),
        images: int = 0,
        checkpointing: bool = False,
    ) -> None:
        self.architecture = architecture
        self.tape = tape
        self.loss = loss
        self.inputs_need_grad = inputs_need_grad
        self.last_n = last_n
        self.image = image
        self.images = images
        tape.pictured = images > 0
        """Of a sequence of text."""
        self.features: Value | None = None
        """What the images have become, until it takes the place of tokens."""
        self.checkpointing = checkpointing
        self.at_once = False
        """Whether what is recorded now is one segment, layers and all."""
        self.segments: list[Segment] = []
        self.skipped: list[str] = []
        self.idle: list[str] = []
        """Towers of which nothing runs on text alone, in models that were compared so."""
        self.left_out: list[str] = []
        """Layers that the reference leaves out for such an input."""
        self.stream: Value | None = None
        self.entry: Value | None = None
        self.name = ""
        self.decodes = False
        """Whether the last layers see earlier tokens only."""
        self.pending: tuple[Block, Place] | None = None
        self.logits: Value | None = None
        self.leaves: list[Storage] = []
        """Where looked-up rows lie that are asked for a gradient though no table trains."""
        self.head_ops: tuple[Op, ...] = ()
        """The operations of the output matrix and the loss."""
        self.sources = {block.source_tokens for block, _ in architecture.blocks() if isinstance(block, Attention)} - {None}
        """Fixed numbers of tokens that cross attention reads: an encoder is what makes so many."""
        self.contrasts = any(isinstance(block, Contrast) for block, _ in architecture.blocks())
        """Whether two towers end in vectors that are compared."""
        self.reads = any(isinstance(block, Embedding) and not place.tower for block, place in architecture.blocks())
        """Whether it looks tokens up; a tower beside that is left out, unless its end is compared with the other's."""
        self.within = Within(tape, self.skipped)
        self.traced: dict[tuple[str, bool, bool, str], Segment] = {}

    def record(self) -> list[Segment]:
        """All segments in the order of the forward pass, the loss last."""
        root = self.architecture.root
        tokens = "context" if root.tokens is None else root.tokens
        place = Place(width=Size(root.width or 0, "hidden_size"), tokens=tokens, cached=root.cache is not False, image=self.image)
        self._parts(root, place)
        if self.stream is None:
            self.stream = self.tape.source  # an encoder on its own (T5EncoderModel)
        if self.stream is None:
            raise UsageError(f"{self.architecture.name} has no layers that a stream runs through", place="model")
        self._close()
        if self.logits is None:
            self.skipped.append("the loss")
        return self.segments

    def loss_storages(self) -> frozenset[Storage]:
        """Logits and what is made of them."""
        read = {value.storage for op in self.head_ops[:1] for value in op.inputs}
        made = {storage for op in self.head_ops for storage in (op.output.storage, *op.saved)}
        return frozenset(storage for storage in made - read if storage.kind == "activation")

    def _parts(self, group: Group, at: Place) -> None:
        for step in flow.steps(group):
            if self.stream is None:
                self._begin(group, step, at)
            self.stream = flow.run(step, self.stream, lambda name, x: self._one(group, name, at, x), self._sum)

    def _sum(self, x: Value | None, y: Value | None) -> Value | None:
        """x + y; before the model has begun there is nothing to add."""
        return self.tape.add(x, y) if x is not None and y is not None else x or y

    def _begin(self, group: Group, step: flow.Chain, at: Place) -> None:
        """Where the first thing is no table of tokens, the model reads features: the same ones in every branch."""
        name = flow.first(step)
        if name is None:
            return
        part = group.parts[name]
        if isinstance(part, Block) and not isinstance(part, Embedding):
            self.stream = given(self.tape, part, placed(part, name, at), group)

    def _one(self, group: Group, name: str, at: Place, x: Value | None) -> Value | None:
        part = group.parts[name]
        place = placed(part, name, at)
        self.stream = x
        if isinstance(part, Block):
            self._block(part, name, place)
        elif part.tower and self.reads and not self.contrasts:
            if self.images:
                self._sees(part, name, place)
            else:
                compared = self.architecture.model_type in checked.EXACT
                (self.idle if compared else self.skipped).append(f"{name} (a {part.tower} tower)")
        else:
            self._group(part, name, place)
        return self.stream

    def _block(self, block: Block, name: str, place: Place) -> None:
        if self.entry is None and not self.tape.ops:
            self.entry, self.name = self.stream, name
        stream = self.stream
        if isinstance(block, Embedding) and block.index == "relative":
            self.pending = (block, place)  # the first layer makes the bias
            return
        before = len(self.tape.ops)
        made = forward(self.tape, block, stream, place)
        if stream is None:
            made = self._begun(made)
        elif self.inputs_need_grad and stream.storage.kind == "input" and self.tape.adapted.added:
            made.needs_grad = True  # PEFT asks what makes features of images or sounds for a gradient
        self.stream = made
        if self.features is not None and isinstance(block, Embedding) and stream is None:
            self.stream, self.features = self._inserted(made, self.features), None
        if isinstance(block, Contrast):
            self.logits = made
            self.stream = CONTRASTS[block.loss](self.tape, made, self.loss)
            self.head_ops = tuple(self.tape.ops[before:])
        elif isinstance(block, Head) and block.ctc:
            self.logits = made
            self.tape.given += BYTES["int64"] * self.tape.batch * self.tape.length
            self.stream = alignments(self.tape, made, self.loss, mean=block.ctc == "mean", bounded=block.bounded)
            self.head_ops = tuple(self.tape.ops[before:])
        elif isinstance(block, Head) or (name == "head" and not place.tower and not self.contrasts):
            self.logits = made
            self.tape.ops[:before] = [op._replace(until="pass") if op.output is stream else op for op in self.tape.ops[:before]]
            self.tape.given += BYTES["int64"] * made.tokens if made.grid else 0  # a label for each pixel
            stated = block.next_token if isinstance(block, Head) else None
            causal = self.decodes and self.tape.source is None if stated is None else stated
            wide, chosen = (block.wide, block.chosen) if isinstance(block, Head) else (False, False)
            made_by = tuple(self.tape.ops[before:])
            self.stream = self.tape.loss(self.loss, Loss(made, causal, self.tape.batch, self.tape.length, made_by, wide, chosen))
            self.head_ops = tuple(self.tape.ops[before:])

    def _begun(self, made: Value) -> Value:
        """The rows looked up for the token ids, where they are asked for a gradient, and with virtual tokens before them."""
        if self.inputs_need_grad and not made.needs_grad:
            made.needs_grad = True
            self.leaves.append(made.storage)
        return begun(self.tape, made)

    def _group(self, group: Group, name: str, place: Place) -> None:
        compared = self.contrasts and place.part == name
        encodes = (group.tokens == "source" or group.tokens in self.sources or compared) and self.tape.source is None
        length = self.tape.length
        if isinstance(group.tokens, int) and (encodes or group.tower):
            self.tape.length = group.tokens
        self._parts_of_stack(group, place)
        self.tape.length = length
        if encodes:
            self._close()
            self.tape.source, self.tape.relative = self.stream, None
            self.stream = self.entry = None

    def _sees(self, group: Group, name: str, place: Place) -> None:
        """An encoder of images, or what stands between it and the text: a batch of all images of all sequences runs through."""
        self._close()
        text, batch, given = self.stream, self.tape.batch, self.tape.given
        self.tape.batch, self.tape.given = batch * self.images, 0
        self.stream = self.entry = self.features
        self._group(group, name, place)
        self._close()
        self.features, self.stream, self.entry = self.stream, text, text
        self.tape.batch, self.tape.given = batch, given + self.tape.given

    def _inserted(self, text: Value, features: Value) -> Value:
        """Embedded tokens, some of which stand for images."""
        if features.tokens > text.tokens:
            each = features.tokens // (self.tape.batch * self.images)
            raise UsageError(
                f"{self.images:,} images of {each:,} tokens do not fit into {self.tape.length:,}",
                place="images",
                hint=f"--seq-len {each * self.images + self.tape.length:,}".replace(",", ""),
            )
        if features.width != text.width:
            raise no_input(Place(width=Size(features.width), part="the images"))
        return self.tape.insert(text, features)

    def _parts_of_stack(self, group: Group, place: Place) -> None:
        """A group's own parts, then its layers; all of it again where the group is repeated."""
        if group.repeat > 1:
            self._close()
        start = len(self.segments)
        with self._at_once(place) if group.recomputed and self.checkpointing else nullcontext():
            self._parts(group, place)
            if group.kinds:
                self._stack(group, place)
        if group.repeat > 1:
            self._close()
            self._again(start, group)

    @contextmanager
    def _at_once(self, place: Place) -> Iterator[None]:
        """All that is recorded meanwhile is one segment, as if it were one layer."""
        if self.stream is None:
            raise no_input(place)
        self._close()
        entry = self.stream = self.stream.stored_in(self._entry(self.stream, place))
        self.at_once = True
        yield
        self.at_once = False
        self.segments.append(Segment(place.part, Ops(self.tape.ops), entry, self.stream, 1, True))
        self.tape.ops = []
        self.entry = self.stream = self.stream.stored_in(self.stream.storage)

    def _entry(self, stream: Value, place: Place) -> Storage:
        return Storage(stream.elements * BYTES[stream.dtype], "layer input", place.path)

    def _again(self, start: int, group: Group) -> None:
        """The segments since `start` as often as the group is repeated; with weights of their own unless it is stored once."""
        if group.stored == 1 and self.tape.autocast is not None:
            raise UsageError(
                "autocast's copies of weights that several layers share are not modelled", place="precision", hint="bf16 or fp32"
            )
        once, self.segments = self.segments[start:], self.segments[:start]
        once = [segment._replace(layer=True, stored_once=segment.stored_once or group.stored == 1) for segment in once]
        if len(once) == 1:
            self.segments.append(once[0]._replace(times=once[0].times * group.repeat))
        else:
            self.segments += once * group.repeat

    def _stack(self, group: Group, place: Place) -> None:
        if self.stream is None:
            self._begin_stack(group, place)
        if self.at_once:
            self._stack_at_once(group, place)
            return
        self._close()
        self.decodes = place.cached
        for kind, count, frozen in runs_of(group, self.last_n):
            layer = group.kinds[kind]
            at = placed(layer, kind, place, layer=True)
            if self.tape.source is None and optional(layer):
                self.left_out.append(at.part)
                continue
            while count:
                assert self.stream is not None
                alone = self.pending is not None
                done = self._layer(layer, kind, at, frozen=frozen)
                # the first layer may read a stream that needs no gradient or has another format than what it makes
                same = done.exit.needs_grad == self.stream.needs_grad and done.exit.dtype == self.stream.dtype
                times = count if same and not alone else 1
                self.segments.append(done._replace(times=times))
                count -= times
                self.stream = done.exit.stored_in(done.exit.storage)
        self.entry = self.stream

    def _begin_stack(self, group: Group, place: Place) -> None:
        """A model of images or sound that begins with a layer: its first block reads what the caller hands in."""
        kind = next((kind for kind, _ in group.layers.runs()), "")
        layer = group.kinds.get(kind)
        name = next(iter(layer.parts), "") if isinstance(layer, Group) else ""
        if not place.image or not isinstance(layer, Group) or not isinstance(layer.parts.get(name), Block):
            raise no_input(place)
        first = layer.parts[name]
        self.stream = given(self.tape, first, placed(first, name, placed(layer, kind, place, layer=True)), layer)

    def _stack_at_once(self, group: Group, place: Place) -> None:
        """Every layer of a stack by itself, with weights and copies of its own."""
        for kind, count in group.layers.runs():
            at = placed(group.kinds[kind], kind, place, layer=True)
            for _ in range(count):
                storages, self.tape.storages = self.tape.storages, {}
                copies, self.tape.copies = self.tape.copies, {}
                assert self.stream is not None
                self.stream = self.within.part(group.kinds[kind], self.stream, at)
                self.tape.storages, self.tape.copies = storages, copies

    def _layer(self, layer: Block | Group, kind: str, at: Place, *, frozen: bool) -> Segment:
        assert self.stream is not None
        stream = self.stream
        key = (at.part, stream.needs_grad, frozen, f"{stream.dtype} {self.pending is not None}")
        if key in self.traced:
            return self.traced[key]
        handed = stream.storage.kind == "input"
        entry = stream.stored_in(stream.storage if handed else self._entry(stream, at))
        ops, self.tape.ops, self.tape.frozen = self.tape.ops, [], frozen
        copies, self.tape.copies = self.tape.copies, {}
        if self.pending:
            self.tape.beside(*self.pending)
            self.pending = None
        made = self.within.part(layer, entry, at)
        done = Segment(at.part, Ops(self.tape.ops), entry, made, 1, True, frozen, layer.stored == 1)
        self.tape.ops, self.tape.frozen, self.tape.copies = ops, False, copies
        self.traced[key] = done
        return done

    def _close(self) -> None:
        """End the segment that is being recorded, if there is one."""
        if self.tape.ops and self.stream is not None:
            self.segments.append(Segment(self.name or "model", Ops(self.tape.ops), self.entry, self.stream))
        self.tape.ops = []
        self.entry = self.stream


def optional(layer: Block | Group) -> bool:
    """Whether a layer is left out where its cross attention has nothing to read."""
    return isinstance(layer, Group) and any(isinstance(part, Attention) and part.optional for part in layer.parts.values())
