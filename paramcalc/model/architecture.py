"""An architecture: a tree of parts with its name, its source and how it came to be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from paramcalc.model.parts import Block, Count, Group, Place
from paramcalc.model.rows import Row
from paramcalc.words.errors import InputError, Problem
from paramcalc.words.sizes import Size

Reports = Annotated[int, Field(ge=1, le=10**18)]
"""A size that somebody reported."""


class Reported(BaseModel):
    """A model whose makers publish no architecture: what somebody said about its size, as a number or a range."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    low: Reports
    high: Reports | None
    """None where what is reported is only a lower bound ("over 10T")."""
    active_low: Reports | None = None
    active_high: Reports | None = None
    by: str
    """Who reported it, and where."""
    confidence: str
    """How sure that is, in words."""

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.high is not None and self.high < self.low:
            raise ValueError(f"high ({self.high:,}) is below low ({self.low:,})")
        return self


class Origin(NamedTuple):
    """Where an architecture was read from, and what had to be decided on the way."""

    source: str = ""
    """The file, bundled name or hub id, as the user would write it."""
    form: str = "full"
    """`simple`, `full`, `config`, `reported`, `safetensors` or `gguf`."""
    given: Mapping[str, Any] = {}
    """What the input states, by canonical key; empty for a full form."""
    defaults: tuple[tuple[str, Any], ...] = ()
    """(key, value) of every default that was taken because the input is silent."""
    unread: tuple[str, ...] = ()
    """Keys that were not understood."""
    warnings: tuple[str, ...] = ()
    stored: Mapping[str, int] = {}
    """Bytes that a weight file holds in each number format; empty where no weights were read."""


class Placed(tuple[Block, Place]):
    """A block and its place. Its rows are asked for by every count and plan, and made once."""

    @cached_property
    def named(self) -> tuple[tuple[str, Row], ...]:
        """The block's own name of each row, and the row with the name, component and copies of its place."""
        block, place = self
        return tuple(
            (
                row.name,
                row._replace(
                    name=joined(place.path, _renamed(row.name, block.names)),
                    component=place.tower + (block.component or row.component or block.home),
                    part=place.part,
                    role=row.role or place.part.rpartition(".")[2],
                    repeat=row.repeat * place.stored,
                    applied=row.repeat * place.applied,
                    trainable=row.trainable and place.trainable,
                ),
            )
            for row in block.parameters(place)
        )

    @property
    def rows(self) -> Iterator[Row]:
        return (row for _, row in self.named)


class Architecture(BaseModel):
    """What a model is. Frozen; read from a document by `paramcalc.model.tree.architecture_from`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    name: str
    source: str | None = None
    """Who published these numbers, and where."""
    model_type: str | None = None
    """The name that the reference implementation knows the architecture by."""
    context: Count | None = None
    """Tokens it was made for."""
    dtype: str | None = None
    """Format of the published weights."""
    quantization: dict[str, Any] | None = None
    """A config's own `quantization_config`."""
    conventions: dict[str, str] = {}
    """What its makers state, by the convention that they count by (see `paramcalc.holdings.conventions`)."""
    reported: Reported | None = None
    inconsistent: list[str] = []
    """What does not fit together in it, though the reference builds it: it can be counted, and not run."""
    root: Group = Group()
    document: dict[str, Any] = {}
    """The full form that it was read from."""
    origin: Origin = Origin()
    _placed: tuple[Group, tuple[Placed, ...]] | None = PrivateAttr(None)

    def must_run(self) -> None:
        """Refuse to say what running a model takes that cannot run."""
        if self.inconsistent:
            place, why = self.origin.source, "such a model cannot run, only be counted"
            raise InputError([Problem(f"{text}: {why}", place) for text in self.inconsistent])

    def blocks(self) -> tuple[Placed, ...]:
        """Every distinct block with its place, in the order of the tree; equal layers come once."""
        known = self._placed
        if known is None or known[0] is not self.root:  # a copy with another root has its original's
            width = Size(self.root.width or 0, "hidden_size")
            known = self._placed = self.root, tuple(_walk(self.root, Place(width=width)))
        return known[1]


def _walk(group: Group, at: Place) -> Iterator[Placed]:
    for name, part in group.parts.items():
        yield from _part(part, name, at)
    counts = group.layers.counts()
    for name, part in group.kinds.items():
        number = counts.get(name, 0)
        place = at._replace(stored=at.stored * number, applied=at.applied * number)
        if number:
            yield from _part(part, name, place, layer=True)


def _part(part: Block | Group, name: str, at: Place, *, layer: bool = False) -> Iterator[Placed]:
    place = at._replace(
        path=joined(at.path, part.path if part.path is not None else "" if layer else name),
        part=f"{at.part}.{name}" if at.part else name,
        stored=at.stored if part.stored is None else part.stored,
    )
    if isinstance(part, Block):
        yield Placed((part, place))
        return
    yield from _walk(
        part,
        place._replace(
            width=Size(part.width, f"{name}.width") if part.width else at.width,
            tower=f"{part.tower}." if part.tower else at.tower,
            tokens=at.tokens if part.tokens is None else part.tokens,
            cached=at.cached if part.cache is None else part.cache,
            trainable=at.trainable if part.trainable is None else part.trainable,
            stored=place.stored * (part.repeat if part.stored is None else 1),
            applied=place.applied * part.repeat,
        ),
    )


def _renamed(name: str, names: dict[str, str]) -> str:
    """The reference's name: the whole name if it is listed, else its longest listed prefix."""
    if not names:
        return name
    head, tail = name, ""
    while head:
        if head in names:
            return names[head] + tail
        head, _, last = head.rpartition(".")
        tail = f".{last}{tail}"
    return name


def joined(path: str, name: str) -> str:
    """A module's name under that of its parent; one that starts with `/` stands at the root."""
    if name.startswith("/"):
        return name[1:]
    return ".".join(filter(None, (path, name)))
