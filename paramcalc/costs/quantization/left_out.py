"""Modules that a config names as not quantized, in the ways in which such lists are written.

- transformers (`modules_to_not_convert`): the start of a module's name, a regular expression for it, or its end.
- compressed-tensors (`ignore`): a whole name, or `re:` and a regular expression.
- modelopt (`ignore`, `exclude_modules`): a name with `*` for anything.
Source: `should_convert_module` of transformers 5.23, `is_match` of compressed-tensors, `is_layer_excluded` of vLLM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from paramcalc.words.errors import InputError

MAX_PATTERN, MAX_PATTERNS, MAX_REPEATS = 500, 100_000, 4


class LeftOut(NamedTuple):
    """Patterns, sorted by how they are matched."""

    exact: frozenset[str] = frozenset()
    """Names; what is below them is left out too."""
    ends: tuple[str, ...] = ()
    """What a name may end in."""
    expressions: tuple[str, ...] = ()
    """Regular expressions that match from the start to a module's boundary."""

    def __bool__(self) -> bool:
        return bool(self.exact or self.ends or self.expressions)

    @property
    def numbered(self) -> bool:
        """Whether some pattern names single layers, so that copies of one tensor may differ."""
        return any(re.search(r"\d", text) for text in (*self.exact, *self.ends, *self.expressions))

    def matches(self, module: str) -> bool:
        """Whether the module of that name, or one above it, is left out."""
        if module.endswith(self.ends) if self.ends else False:
            return True
        if self.exact and not self.exact.isdisjoint(_above(module)):
            return True
        return any(_compiled(text).match(module) for text in self.expressions)

    def copies(self, module: str, layers: Sequence[int], copies: int) -> int:
        """How many copies of a tensor are left out; `module` has `{}` for its layer and further indices."""
        if not self:
            return 0
        if not self.numbered or "{}" not in module or not layers:
            return copies if self.matches(module.replace("{}", "0")) else 0
        before, _, rest = module.partition("{}")
        rest = rest.replace("{}", "0")
        found = sum(self.matches(f"{before}{layer}{rest}") for layer in layers)
        return found * copies // len(layers)


def transformers_list(names: Iterable[str]) -> LeftOut:
    """Read `modules_to_not_convert`."""
    texts = _checked(names)
    literal = [text for text in texts if re.fullmatch(r"[\w.\-]+", text)]
    rest = [text for text in texts if text not in set(literal)]
    return LeftOut(frozenset(literal), tuple(literal), tuple(rf"(?:{_expression(text)})(?:(?<=\.)|(?=\.|$))" for text in rest))


def compressed_list(names: Iterable[str]) -> LeftOut:
    """Read the `ignore` of compressed-tensors."""
    texts = _checked(names)
    expressions = [_expression(text.removeprefix("re:")) for text in texts if text.startswith("re:")]
    return LeftOut(frozenset(text for text in texts if not text.startswith("re:")), (), tuple(expressions))


def wildcard_list(names: Iterable[str]) -> LeftOut:
    """Read the `ignore` or `exclude_modules` of modelopt."""
    texts = _checked(names)
    plain = frozenset(text for text in texts if "*" not in text)
    return LeftOut(plain, (), tuple(_wildcard(text) for text in texts if "*" in text))


def _wildcard(text: str) -> str:
    """A pattern with `*` for anything as an expression; what lies below a matching module matches too."""
    return re.escape(_expression(text)).replace(r"\*", ".*") + r"(?:\.|$)"


def _checked(names: Iterable[str]) -> list[str]:
    texts = list(names)
    if len(texts) > MAX_PATTERNS:
        raise InputError(f"more than {MAX_PATTERNS:,} names of modules that are not quantized")
    for text in texts:
        if not isinstance(text, str) or len(text) > MAX_PATTERN:
            raise InputError(f"expected the name of a module that is not quantized, got {text!r:.60}")
    return [text for text in texts if text]


def _expression(text: str) -> str:
    """A regular expression from a file, if it cannot run away: few repetitions, and none of a group."""
    repeats = len(re.findall(r"(?<!\\)[*+{]", text))
    if repeats > MAX_REPEATS or re.search(r"\)[*+{]", text):
        raise InputError(f"a pattern of modules with more repetitions than paramcalc follows: {text!r:.80}")
    return text


def _above(module: str) -> list[str]:
    """A module's name and those of the modules that hold it."""
    steps = module.split(".")
    return [".".join(steps[:end]) for end in range(1, len(steps) + 1)]


@lru_cache(maxsize=1024)
def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise InputError(f"not a regular expression: {text!r:.80} ({error})") from error
