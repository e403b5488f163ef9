"""A config as a family reads it: given values over its class's defaults, every read remembered."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from paramcalc.gate.aliases import ALIASES, INERT, TASKS
from paramcalc.words.errors import InputError, Problem
from paramcalc.words.sizes import MAX_SIZE

_MISSING: Any = object()


SIZES_OF_SOME = frozenset(["head_dim", "num_key_value_heads", "intermediate_size"])
"""Sizes that some classes have and others do not, whatever a config of theirs says."""


class Defaults(NamedTuple):
    """What a config class of the reference implementation takes where a config is silent (recorded, see `source`)."""

    values: Mapping[str, Any]
    aliases: Mapping[str, str]
    """Canonical key to the class's own (`hidden_size` to `n_embd`)."""
    parts: Mapping[str, str]
    """Sub-config to its model type."""
    fixed: frozenset[str]
    """Sub-configs whose class does not depend on the `model_type` written inside them."""
    source: str
    merged: frozenset[str] = frozenset()
    """Sub-configs that take what the class around them has for them even where the input has something of them."""
    reads: frozenset[str] = frozenset()
    """Keys that the class does not declare and the model takes all the same."""
    divides: bool = False
    """Whether the class refuses heads that do not divide the width."""

    @property
    def known(self) -> set[str]:
        """Every key that the class or its models have a use for, under each of its names."""
        return {*self.values, *self.aliases, *self.aliases.values(), *self.reads}


@lru_cache(maxsize=512)
def defaults_of(model_type: str) -> Defaults:
    """The recorded defaults of a model type; empty where none were recorded."""
    path = Path(__file__).with_name("families") / "defaults" / f"{model_type}.json"
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, OSError, ValueError):
        return Defaults({}, {}, {}, frozenset(), "")
    parts, fixed = record.get("parts", {}), frozenset(record.get("fixed", ()))
    about = {key: frozenset(record.get(key, ())) for key in ("merged", "reads")} | {"divides": record.get("divides", False)}
    return Defaults(record["defaults"], record.get("aliases", {}), parts, fixed, record.get("source", ""), **about)


class Config:
    """A config.json or a simple spec. Reads never raise: problems are collected, so that all are told together.

    A config may take any default of its class. A spec (`spec=True`) may take options (flags, names) but no sizes: a size
    that it does not state is missing, or absent where the family can do without.
    """

    def __init__(
        self,
        given: Mapping[str, Any],
        model_type: str,
        *,
        spec: bool = False,
        place: str = "",
        over: Mapping[str, Any] | None = None,
        root: Config | None = None,
    ) -> None:
        self.given = given
        self.model_type = model_type
        self.defaults = defaults_of(model_type)
        self.over = over or {}
        """Defaults that the config around this one sets for it."""
        self.spec = spec
        self.place = place
        self.root = root or self
        self.used: set[str] = set()
        self.taken: dict[str, Any] = {}
        self.read: dict[str, Any] = {}
        self.declared: frozenset[str] = frozenset()
        """Keys that the class around this one sets for it, whether or not it has a use for them."""
        self.children: dict[str, Config] = {}
        self.spellings: dict[str, tuple[str, ...]] = {}
        self.serves: str | None = None
        """The task that a config around this one has for it, whatever its own `architectures` say."""
        if root is None:
            self.problems: list[Problem] = []
            self.warnings: list[str] = []
            self.inconsistencies: dict[str, None] = {}

    # --- what is asked of it

    def size(self, key: str, default: int | None = None) -> int:
        """A size of at least 1. Missing ones are a problem, and read as 1 so that reading can go on."""
        value = self.optional(key)
        if value is not None:
            return value
        if default is not None:
            return default
        if any(problem.place == f"{self.place}{name}" for problem in self.root.problems for name in self._names(key)):
            return 1
        self.fail(key, "missing", f"give {_spellings(key)}")
        return 1

    def optional(self, key: str, *, least: int = 1) -> int | None:
        """A size, or None where it is absent, null, or (in a spec) only a number of the class's."""
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(key, f"expected a whole number, got {value!r:.60}")
            return None
        if not least <= value <= MAX_SIZE:
            self.fail(
                key,
                f"expected a number from {least} to {MAX_SIZE:,}, got {value:.3g}"
                if value > MAX_SIZE
                else f"expected at least {least}, got {value}",
            )
            return None
        return value

    def zero_or(self, key: str) -> int:
        """A size where 0 and null both mean that there is none."""
        return self.optional(key, least=0) or 0

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(key, f"expected true or false, got {value!r:.60}")
            return default
        return value

    def number(self, key: str, default: float = 0.0) -> float:
        value = self.value(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.fail(key, f"expected a number, got {value!r:.60}")
            return default
        return float(value)

    def text(self, key: str, default: str = "") -> str:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.fail(key, f"expected a word, got {value!r:.60}")
            return default
        return value

    def choice(self, key: str, known: Sequence[str], default: str) -> str:
        """One of a few words; any other is a problem."""
        value = self.text(key, default)
        if value not in known:
            self.fail(key, f"expected one of {', '.join(known)}, got {value!r:.60}")
            return default
        return value

    def listed(self, key: str) -> list[Any] | None:
        value = self.value(key)
        if value is not None and not isinstance(value, list | tuple):
            self.fail(key, f"expected a list, got {value!r:.60}")
            return None
        return None if value is None else list(value)

    def sizes(self, key: str, *, least: int = 0) -> list[int]:
        """A list of sizes; empty where it is absent."""
        values = self.listed(key) or []
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_SIZE:
                self.fail(key, f"expected a list of whole numbers, got {values!r:.60}")
                return []
        return values

    def part(self, key: str, model_type: str | None = None, *, flat: bool = False) -> Config:
        """A sub-config, by its own `model_type` (unless the class here is fixed), else the one it is known to have here,
        else the given one. What the class around it sets for it holds only where the input says nothing of it at all, but for
        the few that merge.
        `flat`: where it is absent, its keys may stand in the config around it."""
        if key in self.children:
            return self.children[key]
        value = self.given.get(key)
        self.used.add(key)
        if value is not None and not isinstance(value, Mapping):
            self.fail(key, f"expected a mapping, got {value!r:.60}")
            value = None
        inner = value or {}
        over = self.over.get(key, self.defaults.values.get(key))
        stated = (over if value is None and isinstance(over, Mapping) else inner).get("model_type")
        own = stated if isinstance(stated, str) and stated != self.model_type else None  # some name the model around them
        known = self.defaults.parts.get(key)
        kind = known if known and key in self.defaults.fixed else own or model_type or known or ""
        shared = over if isinstance(over, Mapping) and (value is None or key in self.defaults.merged) else None
        place = f"{self.place}{key}."
        if flat and value is None and (stated_here := self._flat(kind)):
            inner, place, shared = stated_here, self.place, None
        self.children[key] = Config(inner, kind, spec=self.spec, place=place, over=shared, root=self.root)
        self.children[key].declared = frozenset(over) if isinstance(over, Mapping) else frozenset()
        return self.children[key]

    def _flat(self, kind: str) -> dict[str, Any]:
        """The keys of this config that belong to a part of it: those that the part's class declares and this one does not."""
        theirs = defaults_of(kind)
        names = set(theirs.values) | set(theirs.aliases) | set(theirs.aliases.values())
        inner = {name: value for name, value in self.given.items() if name in names and name not in self.defaults.values}
        self.used.update(inner)
        return inner

    def holds(self, key: str) -> bool:
        """Whether there is a sub-config under this key: given, or made by the class where the input says nothing of it."""
        made = self.over.get(key, self.defaults.values.get(key))
        return isinstance(self.given.get(key), Mapping) or (isinstance(made, Mapping) and self.given.get(key) is None)

    def has(self, key: str) -> bool:
        """Whether the input itself states a value that is not null."""
        return any(self.given.get(name) is not None for name in self._names(key))

    def states(self, key: str) -> bool:
        """Whether the input itself has the key, be it null."""
        return any(name in self.given for name in self._names(key))

    def also(self, key: str, *names: str) -> None:
        """Other spellings of a key that the class takes without declaring them."""
        self.spellings[key] = names

    def ignore(self, *keys: str) -> None:
        """Keys that were looked at and change nothing here."""
        self.used.update(keys)

    def value(self, key: str) -> Any:
        """The value as it stands: given, or the class's default where that may be taken."""
        found, where, names = _MISSING, "", self._names(key)
        for name in names:
            if name in self.given and not self._foreign(name):
                self.used.add(name)
                if found is not _MISSING and found != self.given[name] and self.given[name] is not None and found is not None:
                    self._disagree(name, where)
                elif found is _MISSING or found is None:
                    found, where = self.given[name], name
        if found is not _MISSING:
            self.read[key] = found
            return found
        for values in (self.over, self.defaults.values):
            for name in names:
                if name in values:
                    return self._default(key, values[name])
        return None

    def _foreign(self, name: str) -> bool:
        """Whether a config states a size that its class knows nothing of: the reference does not look at it, be it there."""
        if self.spec or name not in SIZES_OF_SOME or not self.defaults.values:
            return False
        return name not in self.defaults.known | self.declared

    def _disagree(self, name: str, where: str) -> None:
        """Two names of one key say different things: of a config the reference takes the first."""
        says = f"says {self.given[name]!r:.40}, but {where} says {self.given[where]!r:.40}"
        if self.spec:
            self.fail(name, says)
        else:
            self.warn(f"{self.place}{name} {says}, which the reference takes")

    def task(self, default: str) -> str:
        """What the model's class is for, by the end of its name in `architectures`; `default` where it names none.

        A class with an ending that stands for no known task is its own task, which a family then refuses.
        """
        self.used.add("architectures")
        if self.serves is not None:
            return self.serves
        named = self.given.get("architectures")
        if not isinstance(named, list) or not named or not isinstance(named[0], str):
            return default
        return next((task for ending, task in TASKS if named[0].endswith(ending)), named[0])

    def architecture(self) -> str:
        """The class that `architectures` names, or nothing."""
        named = self.given.get("architectures")
        return named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""

    # --- what is said about it

    def fail(self, key: str, message: str, hint: str = "") -> None:
        """A problem of a key, placed at the spelling that the input has."""
        self.root.problems.append(Problem(message, self._place(key), hint))

    def _place(self, key: str) -> str:
        """A key as the input spells it, with the parts around it."""
        return f"{self.place}{next((name for name in self._names(key) if self.given.get(name) is not None), key)}"

    def warn(self, text: str) -> None:
        if text not in self.root.warnings:
            self.root.warnings.append(text)

    def inconsistent(self, key: str, message: str) -> None:
        """What no model that runs has, though the reference builds it: a problem of a spec; a config is counted all the same."""
        if self.spec:
            self.fail(key, message)
        else:
            self.root.inconsistencies.setdefault(f"{self._place(key)} {message}")

    def finish(self) -> None:
        """Raise what was collected."""
        if self.root.problems:
            seen = dict.fromkeys(self.root.problems)
            raise InputError(list(seen))

    def unread(self) -> list[str]:
        """Given keys that were neither read, nor are declared by the class, nor are known to say nothing here."""
        known = self.used | INERT | self.defaults.known | set(self.defaults.parts) | self.declared
        if self.spec:  # a spelling that no family reads is still a spelling; one that this family does not read is not
            known -= {name for names in ALIASES.values() for name in names} - self.used - INERT - set(self.defaults.values)
        own = [f"{self.place}{key}" for key in self.given if key not in known]
        return own + [key for child in self.children.values() for key in child.unread()]

    def all_taken(self) -> dict[str, Any]:
        """Every default that was taken, by its full key."""
        return self.gathered(lambda config: config.taken)

    def all_read(self) -> dict[str, Any]:
        """Every given value that was read, by its canonical key."""
        return self.gathered(lambda config: config.read)

    def gathered(self, values: Callable[[Config], Mapping[str, Any]]) -> dict[str, Any]:
        """A mapping of this config and of those inside it, by full key."""
        found = {f"{self.place}{key}": value for key, value in values(self).items()}
        for child in self.children.values():
            found |= child.gathered(values)
        return found

    # --- how it looks for a key

    def _names(self, key: str) -> tuple[str, ...]:
        """The names of a key, the one that wins first: the class sets what stands under an alias last."""
        names = [key, *self.spellings.get(key, ())]
        declared = self.defaults.values.keys() | self.defaults.aliases.keys()
        if self.spec or key not in declared:
            names += [name for name in ALIASES.get(key, ()) if self.spec or name in declared]
        found: dict[str, None] = {}
        for name in names:
            field = self.defaults.aliases.get(name, name)
            found |= dict.fromkeys((*(alias for alias, own in self.defaults.aliases.items() if own == field), field, name))
        return tuple(found)

    def _default(self, key: str, value: Any) -> Any:
        if self.spec and isinstance(value, int | float) and not isinstance(value, bool):
            return None
        if isinstance(value, Mapping) and value.keys() == {"__float__"}:
            value = float(value["__float__"])
        self.taken[key] = value
        return value


def _spellings(key: str) -> str:
    others = ALIASES.get(key, ())
    return f"`{key}`" + (f" (or {', '.join(others[:3])})" if others else "")
