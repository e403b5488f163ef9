"""What a network's name stands for: options in timm's own words, over which a config may lay arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from paramcalc.gate.config import Config
from paramcalc.words.nearest import did_you_mean
from paramcalc.words.sizes import MAX_SIZE


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every network takes."""

    in_chans: int = 3
    num_classes: int = 1000
    """0 leaves out the head."""


O = TypeVar("O", bound=Options)  # noqa: E741

INERT = frozenset(
    "act_layer attn_drop attn_drop_rate cache_dir checkpoint_path drop_block_rate drop_path_rate drop_rate exportable no_jit"
    " patch_drop_rate pos_drop_rate pretrained_cfg_overlay proj_drop_rate scriptable strict_img_size weight_init".split()
)
"""Arguments that change no parameter: rates of dropout, how weights are filled, how the network is exported."""


def _size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_SIZE


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6


def _list_of(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and 0 < len(value) <= 100 and all(good(item) for item in value)


CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "float": ("a number", _number),
    "int": ("a whole number", _size),
    "str": ("a word", lambda value: isinstance(value, str)),
    "tuple[bool, ...]": ("a list of true and false", _list_of(lambda value: isinstance(value, bool))),
    "tuple[float, ...]": ("a list of numbers", _list_of(_number)),
    "tuple[int, ...]": ("a list of whole numbers", _list_of(_size)),
    "tuple[int, int]": ("two whole numbers", lambda value: _size(value) or (_list_of(_size)(value) and len(value) == 2)),
    "tuple[str, ...]": ("a list of words", _list_of(lambda value: isinstance(value, str))),
}
"""How an option's type is told to a reader, and what is one. A pair may be given as one number for both."""


def laid_over(c: Config, key: str, options: O, given: Mapping[str, Any]) -> O:
    """Options with a config's arguments for them; what is not known, or is no such value, is a problem under `key`."""
    types = {field.name: str(field.type).removesuffix(" | None") for field in fields(options)}
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if name in INERT or value is None:  # timm leaves out what is null
            continue
        if name not in types:
            c.fail(f"{key}.{name}", "an argument of timm's that is not modelled for this network", did_you_mean(name, types))
            continue
        expected, good = CHECKS[types[name]]
        if not good(value):
            c.fail(f"{key}.{name}", f"expected {expected}, got {value!r:.60}")
        elif types[name] == "tuple[int, int]":
            changes[name] = tuple(value) if isinstance(value, list | tuple) else (value, value)
        else:
            changes[name] = tuple(value) if isinstance(value, list | tuple) else value
    return replace(options, **changes)
