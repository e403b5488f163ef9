"""The modules of an architecture that an adapter can be attached to: linear layers, tables, and matrices kept as parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from paramcalc.model.architecture import Architecture
from paramcalc.model.parts import Block
from paramcalc.model.rows import Row
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean

LINEAR, TABLE, MATRIX, STACK = "linear", "table", "matrix", "stack"
"""A dense layer; an embedding; one matrix, or the experts' stacked matrices, that a module keeps as a bare parameter."""

_ROUTER_LAYERS = ("classifier", "wg", "layer", "proj")
"""Names of the dense layer inside a router; where none is, the router module itself keeps the matrix as a parameter."""
_INDEXES = ("0", "1", "2", "7", "10", "23", "101")


class Module(NamedTuple):
    """One module of the reference implementation, with all its copies."""

    name: str
    """Full path, `{}` for each index; for a bare parameter that of the parameter."""
    kind: str
    inputs: int
    """For a table: its rows."""
    outputs: int
    copies: int
    role: str
    """Canonical name inside its block: `q_proj`, `down_proj`, `head`, `router`."""
    component: str
    """Without the tower's prefix."""
    part: str
    experts: int = 1

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]


def modules(architecture: Architecture) -> list[Module]:
    """Every such module, in the order of the tree; equal layers come once, with their copies."""
    return [module for placed in architecture.blocks() for row in placed.rows for module in _module(row, placed[0])]


def _module(row: Row, block: Block) -> Iterator[Module]:
    transposed = bool(getattr(block, "transposed", False)) if row.op == "stack" else block.turned
    shape = tuple(int(size) for size in row.shape)
    name = row.name.removesuffix(".weight")
    component = row.component.rpartition(".")[2]
    if row.op == "stack" and len(shape) == 3:
        experts, outputs, inputs = shape
        if transposed:
            inputs, outputs = outputs, inputs
        yield Module(row.name, STACK, inputs, outputs, row.repeat, row.role, component, row.part, experts)
    elif row.op == "linear" and len(shape) == 2 and row.kind != "bias":
        outputs, inputs = reversed(shape) if transposed else shape
        bare = row.role == "router" and name.rpartition(".")[2] not in _ROUTER_LAYERS
        yield Module(row.name if bare else name, MATRIX if bare else LINEAR, inputs, outputs, row.repeat, row.role, component, row.part)
    elif row.op == "embedding" and len(shape) == 2:
        yield Module(name, TABLE, shape[0], shape[1], row.repeat, row.role, component, row.part)


def is_pattern(targets: str) -> bool:
    """Whether targets are a regular expression and not names: names hold letters, digits, `_`, `.`, `-` and commas."""
    return re.fullmatch(r"[\w.\-]+(\s*,\s*[\w.\-]+)*,?", targets.strip()) is None


def names_in(targets: str) -> list[str]:
    """The names of a comma list."""
    return [name.strip() for name in targets.split(",") if name.strip()]


def named(names: list[str]) -> Callable[[str], bool]:
    """A test of paths: equal to one of the names, or ending in one of them after a dot, as PEFT reads a list."""

    def test(path: str) -> bool:
        return any(path == name or path.endswith(f".{name}") for name in names)

    return test


def matching(pattern: str) -> Callable[[str], bool]:
    """A test of paths: the whole path matches the regular expression, as PEFT reads a string.

    Raises UsageError where the pattern is none, or where it takes some copies of a module and not others.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"not a regular expression: {pattern!r:.80} ({error})", place="lora_targets") from error

    def test(path: str) -> bool:
        answers = {compiled.fullmatch(path.replace("{}", index)) is not None for index in _INDEXES}
        if len(answers) > 1:
            raise UsageError(
                f"{pattern!r:.80} takes some copies of {path} and not others; adapters on single layers are not modelled",
                place="lora_targets",
                hint=r"write \d+ for the layer's number",
            )
        return answers.pop()

    return test


def unmatched(names: list[str], found: list[Module], every: list[Module]) -> None:
    """Raise UsageError with the nearest names where nothing was found; PEFT raises then too."""
    if not found:
        known = sorted({module.last for module in every if module.kind == LINEAR})
        near = " ".join(filter(None, (did_you_mean(name, known) for name in names)))
        raise UsageError(
            f"no module of this architecture is called {', '.join(names)[:120]}",
            place="lora_targets",
            hint=near or f"its linear layers: {', '.join(known)[:300]}",
        )
