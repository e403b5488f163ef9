"""What a network's name stands for: options in timm's own words, over which a config may lay arguments."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from paramcalc.gate.config import Config
from paramcalc.words.nearest import did_you_mean
from paramcalc.words.sizes import MAX_SIZE


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every network takes."""

    in_chans: int = 3
    num_classes: int = 1000
    """0 leaves out the head."""


Pool = Literal["", "avg", "avgmax", "fast", "fastavg", "fastavgmax", "fastmax", "max"]
"""How a map is pooled without changing its width."""
Some = TypeVar("Some", bound=Options)

INERT = frozenset(
    "attn_drop attn_drop_rate cache_dir checkpoint_path drop_block_rate drop_path_rate drop_rate dynamic_img_pad dynamic_img_size"
    " exportable fix_init lkc_use_act no_jit norm_eps out_indices patch_drop_rate pos_drop_rate pretrained_cfg_overlay proj_drop_rate"
    " scriptable strict_img_size weight_init zero_init_last".split()
)
"""Arguments that change no parameter: rates of dropout, how weights are filled, how the network is exported or fed."""
MOST_ITEMS = 1_000


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a config is one of a type: a size is no flag, a list stands for a tuple."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in inner and type(value) in map(type, inner)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is tuple:
        listed = isinstance(value, list | tuple) and 0 < len(value) <= MOST_ITEMS
        return listed and (inner[-1] is ... or len(value) == len(inner)) and all(fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(isinstance(key, str) and fits(item, inner[1]) for key, item in value.items())
    if hint is int:
        return type(value) is int and 0 <= value <= MAX_SIZE
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6
    return value is None if hint is type(None) else isinstance(value, hint)


WORDS = {bool: "true or false", float: "a number", int: "a whole number", str: "a word", type(None): "null"}


def told(hint: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(told(one) for one in inner)
    if origin is tuple:
        return "a list, each " + told(inner[0])
    return WORDS.get(hint, "a mapping")


def tupled(value: Any) -> Any:
    """Lists as tuples, so that options can be compared and kept."""
    return tuple(tupled(item) for item in value) if isinstance(value, list | tuple) else value


def laid_over(c: Config, key: str, options: Some, given: Mapping[str, Any]) -> Some:
    """Options with a config's arguments for them; what is not known, or is no such value, is a problem under `key`."""
    hints = get_type_hints(type(options))
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if name in INERT or value is None:  # timm leaves out what is null
            continue
        if name not in hints:
            c.fail(f"{key}.{name}", "an argument of timm's that is not modelled for this network", did_you_mean(name, hints))
        elif not fits(value, hints[name]):
            c.fail(f"{key}.{name}", f"expected {told(hints[name])}, got {value!r:.60}")
        else:
            changes[name] = tupled(value)
    return replace(options, **changes)
