"""The tree of parts: a part is a block (one piece of a layer) or a group (a layer, a stack, a tower)."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from paramcalc.model.order import Order
from paramcalc.model.rows import CacheRow, Row
from paramcalc.words.sizes import MAX_SIZE, Named, Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value

Count = Annotated[int, Field(ge=1, le=MAX_SIZE)]
"""A size: a whole number from 1 to a bound that no model reaches."""
Share = Annotated[float, Field(ge=0, lt=1)]
"""A probability such as a dropout rate."""


class Place(NamedTuple):
    """Where in the tree a part stands, and what it inherits from there."""

    width: Size
    """Width of the stream that runs through the group."""
    path: str = ""
    """Reference name of the module, `{}` for each index."""
    part: str = ""
    """Path in the tree."""
    tower: str = ""
    """Prefix of the components: `vision.` inside a vision tower."""
    stored: int = 1
    """Copies stored."""
    applied: int = 1
    """Applications in one forward pass."""
    tokens: str | int = "context"
    """The token axis: the `context`, the `source` of an encoder-decoder, or a fixed number of tokens."""
    cached: bool = True
    """Whether decoding keeps a cache here; encoders and towers keep none."""
    trainable: bool = True
    """Whether the reference trains what is here; some modules are frozen when a model is made."""
    image: tuple[int, ...] = ()
    """Height and width of the images that come in, where it reads pixels."""


class Part(BaseModel):
    """What blocks and groups have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str | None = None
    """Name of the module in the reference implementation; the part's own name if left out."""
    names: dict[str, str] = {}
    """Reference names of the modules inside, by the block's own names (`q_proj: self.query`)."""
    component: str | None = None
    """The component its rows are summed under, where it is not the block's usual one."""
    stored: Count | None = None
    """How many copies are stored, where that is not one per application (ALBERT's one layer, Zamba's shared blocks)."""


class Block(Part):
    """One piece of a layer. A module of `paramcalc.model.blocks` holds one; its file name is the block's kind."""

    home: ClassVar[str] = "other"
    """The component its rows are summed under."""
    packages: ClassVar[str] = ""
    """Packages that transformers does not install, and with which it computes the forward pass in another way."""

    @property
    def packaged(self) -> bool:
        """Whether that other way is known here."""
        return False

    @property
    def turned(self) -> bool:
        """Whether its linear layers are stored [inputs, outputs], as GPT-2's are."""
        return bool(getattr(self, "transposed", False))

    @property
    def sized(self) -> Any:
        """This block's integer fields as sizes that carry their names."""
        return Named(self)

    def parameters(self, at: Place) -> Iterator[Row]:
        """What it stores, with names relative to itself."""
        yield from ()

    def inconsistencies(self, at: Place) -> Iterator[str]:
        """What no model that runs has, though the shape of every tensor is clear."""
        yield from ()

    def cache(self, at: Place) -> Iterator[CacheRow]:
        """What decoding remembers for one sequence."""
        yield from ()

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """The forward pass in the reference implementation's operations, from which training memory follows."""
        raise NotImplementedError(kind_of(self))


def kind_of(block: Block) -> str:
    """The name of a block's kind."""
    return type(block).__module__.rpartition(".")[2]


class Group(Part):
    """Named parts in the order in which they are applied, or kinds of layers with the order they stand in."""

    width: Count | None = None
    """Width of the stream inside; that of the group around it if left out."""
    tokens: Annotated[int, Field(ge=1, le=MAX_SIZE)] | str | None = None
    """`context`, `source`, or a fixed number of tokens."""
    cache: bool | None = None
    """Whether decoding keeps a cache inside; false for encoders and towers."""
    trainable: bool | None = None
    """False for what the reference freezes when it makes the model."""
    repeat: Count = 1
    """How many equal copies stand one after another."""
    recomputed: bool = False
    """Whether checkpointing recomputes it as a whole, and not each of its layers by itself (a stage of Swin)."""
    image: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = None
    """Height and width of the images that it reads, in pixels."""
    used: Annotated[int, Field(ge=1, le=MAX_SIZE)] | None = None
    """Of a tower's layers, how many come before what is read of it; the others are computed and let go."""
    sound_rate: Annotated[int, Field(ge=1, le=MAX_SIZE)] | None = None
    """What it reads of each second of sound, of a length that the caller chooses: so many samples, or frames of features."""
    tower: str | None = None
    """Prefix of the components inside, as in `vision.attention`."""
    flow: list[str] = []
    """How the stream runs: one string a residual step, `norm_1 attention +` adds what came before (see `docs/spec.md`);
    left out, the parts are applied one after another."""
    wide: bool = False
    """Whether the sum at the end of each step is fp32 in training, whatever the format of the model (`residual_in_fp32`, Mamba)."""
    parts: dict[str, Any] = {}
    kinds: dict[str, Any] = {}
    order: str | None = None
    sequence: Any = None
    """The parsed order; set by the reader."""

    @property
    def layers(self) -> Order:
        """The order of the kinds; empty for a group of named parts."""
        return self.sequence if self.sequence is not None else Order(())


_BLOCKS: dict[str, type[Block]] = {}


def block_kinds() -> list[str]:
    """The names of all kinds of blocks: the modules of `paramcalc.model.blocks`."""
    folder = Path(__file__).with_name("blocks")
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]))


def block_class(kind: str) -> type[Block] | None:
    """The block of this kind, imported on first use; None where there is none."""
    if kind not in _BLOCKS:
        if not kind.isidentifier() or kind.startswith("_"):
            return None
        name = f"paramcalc.model.blocks.{kind}"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name != name:
                raise
            return None
        classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Block)]
        _BLOCKS[kind] = next(found for found in classes if found.__module__ == name)
    return _BLOCKS[kind]
