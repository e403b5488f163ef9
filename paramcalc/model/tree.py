"""The reader of the full form: a plain mapping becomes an `Architecture`, or a list of everything wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from paramcalc.model.architecture import Architecture, Origin
from paramcalc.model.order import parse_order
from paramcalc.model.parts import Block, Group, block_class, block_kinds
from paramcalc.words.errors import InputError, ParamcalcError, Problem, UnknownArchitectureError
from paramcalc.words.nearest import did_you_mean

GROUP_FIELDS = frozenset(Group.model_fields) - {"parts", "sequence"}
ROOT_FIELDS = frozenset(Architecture.model_fields) - {"root", "document", "origin"}
MAX_DEPTH = 24


def architecture_from(document: Mapping[str, Any], origin: Origin = Origin(), *, as_built: bool = False) -> Architecture:
    """Read a full form: metadata, `width`, and `parts`. Raises InputError with every problem, each with its path.

    What no model that runs has is a problem too, unless the document says that it is inconsistent, or is to be taken
    `as_built`: as the reference builds it from a config, where it does not ask.
    """
    reader = _Reader()
    about = {key: value for key, value in document.items() if key in ROOT_FIELDS}
    rest = {key: value for key, value in document.items() if key not in ROOT_FIELDS and key != "parts"}
    for key in [key for key in rest if key not in GROUP_FIELDS]:
        reader.fail(str(key), "unknown key", did_you_mean(str(key), {*ROOT_FIELDS, *GROUP_FIELDS, "parts"}))
        del rest[key]
    parts = document.get("parts", {})
    if not isinstance(parts, Mapping):
        reader.fail("parts", f"expected a mapping of parts, got {_shown(parts)}")
        parts = {}
    root = reader.group({**rest, **parts}, "", clashes=set(rest) & set(parts))
    model = None
    try:
        model = Architecture(**about, root=root or Group(), document=dict(document), origin=origin)
    except ValidationError as error:
        reader.collect(error, "")
    if model is not None and not reader.problems:
        reader.check_rows(model)
        if not (as_built or model.inconsistent):
            reader.problems += reader.inconsistent
    reader.finish()
    assert model is not None
    return _warned(model, model.inconsistent or [f"{problem.place}: {problem.message}" for problem in reader.inconsistent])


def _warned(model: Architecture, inconsistent: list[str]) -> Architecture:
    """A model that says what does not fit together in it."""
    if not inconsistent:
        return model
    warnings = dict.fromkeys((*model.origin.warnings, *(f"{text}: no such model could run" for text in inconsistent)))
    about = {"inconsistent": inconsistent, "document": {"name": model.name, "inconsistent": inconsistent} | model.document}
    return model.model_copy(update=about | {"origin": model.origin._replace(warnings=tuple(warnings))})


class _Reader:
    """Reads parts and collects what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.inconsistent: list[Problem] = []
        self.unknown_kind = False

    def fail(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(message, path, hint))

    def finish(self) -> None:
        if self.problems:
            kind: type[ParamcalcError] = UnknownArchitectureError if self.unknown_kind else InputError
            raise kind(self.problems)

    def part(self, value: object, name: str, path: str, depth: int = 0) -> Block | Group | None:
        """A part from its mapping, or from a string that names its kind."""
        if isinstance(value, str):
            value = {"kind": value}
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            self.fail(path, f"expected a part (a mapping, or the name of a kind), got {_shown(value)}", did_you_mean(name, block_kinds()))
            return None
        fields = dict(value)
        kind = fields.pop("kind", None)
        if kind is not None and not isinstance(kind, str):
            self.fail(f"{path}.kind", f"expected the name of a kind, got {_shown(kind)}")
            return None
        found = block_class(kind or name) if kind != "group" else None
        if found is not None:
            return self.block(found, fields, path)
        if kind not in (None, "group") or not any(isinstance(inner, Mapping | str | None) for inner in fields.values()):
            self.unknown_kind = True
            self.fail(path, f"unknown kind of part: {kind or name!r}", did_you_mean(str(kind or name), block_kinds()))
            return None
        return self.group(fields, path, depth=depth + 1)

    def block(self, found: type[Block], fields: dict[str, Any], path: str) -> Block | None:
        try:
            return found.model_validate(fields)
        except ValidationError as error:
            self.collect(error, path, found.model_fields)
            return None

    def group(self, fields: dict[str, Any], path: str, *, depth: int = 0, clashes: Iterable[str] = ()) -> Group | None:
        if depth > MAX_DEPTH:
            self.fail(path, f"parts nest more than {MAX_DEPTH} deep")
            return None
        for name in sorted(clashes):
            self.fail(name, "a part may not have the name of a field")
        own = {key: value for key, value in fields.items() if key in GROUP_FIELDS}
        inner = {key: value for key, value in fields.items() if key not in GROUP_FIELDS}
        own["parts"] = self.named(inner, path, depth)
        if "kinds" in own:
            own["kinds"] = self.named(self.alike(own["kinds"], _under(path, "kinds")), _under(path, "kinds"), depth, layers=True)
        if "order" in own:
            own["order"], own["sequence"] = self.order(own["order"], own.get("kinds") or {}, _under(path, "order"))
        elif own.get("kinds"):
            self.fail(_under(path, "order"), "kinds of layers need an order, as in '3 dense, 58 sparse'")
        try:
            return Group.model_validate(own)
        except ValidationError as error:
            self.collect(error, path, Group.model_fields)
            return None

    def named(self, parts: Mapping[str, Any], path: str, depth: int, *, layers: bool = False) -> dict[str, Block | Group]:
        """Parts by name. A kind of layer is a group whatever its name, so that one may be called `dense`."""
        read = {}
        for name, value in parts.items():
            if not isinstance(name, str) or not name.isidentifier():
                self.fail(_under(path, str(name)), f"a part's name is a word of letters, digits and _, got {name!r}")
                continue
            if layers and isinstance(value, Mapping) and "kind" not in value:
                value = {"kind": "group", **value}
            part = self.part(value, name, _under(path, name), depth)
            if part is not None:
                read[name] = part
        return read

    def alike(self, kinds: object, path: str) -> dict[str, Any]:
        """Kinds with `like: other` filled in from the kind they copy: its parts merge, field by field."""
        if not isinstance(kinds, Mapping):
            self.fail(path, f"expected a mapping of kinds of layers, got {_shown(kinds)}")
            return {}
        done: dict[str, Any] = {}
        for name, value in kinds.items():
            if isinstance(value, Mapping) and "like" in value:
                other = value["like"]
                if other not in done:
                    self.fail(
                        f"{path}.{name}.like", f"{other!r} is not a kind described above it", did_you_mean(str(other), map(str, done))
                    )
                    continue
                value = _merged(done[other], {key: field for key, field in value.items() if key != "like"})
            done[name] = value
        return done

    def order(self, value: object, kinds: Mapping[str, Any], path: str) -> tuple[str | None, Any]:
        text = ", ".join(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value
        if not isinstance(text, str):
            self.fail(path, f"expected an order such as '3 dense, 58 sparse', got {_shown(value)}")
            return None, None
        try:
            order = parse_order(text)
        except ValueError as error:
            self.fail(path, str(error))
            return None, None
        for kind in order.counts():
            if kind not in kinds:
                self.fail(path, f"{kind!r} is not one of the kinds", did_you_mean(kind, map(str, kinds)))
        return text, order

    def collect(self, error: ValidationError, path: str, fields: Iterable[str] = ()) -> None:
        for found in error.errors(include_url=False):
            place = ".".join(filter(None, (path, *map(str, found["loc"]))))
            key = str(found["loc"][-1]) if found["loc"] else ""
            if found["type"] == "extra_forbidden":
                self.fail(place, "unknown key", did_you_mean(key, fields) or f"keys here: {', '.join(sorted(fields))}")
            elif found["type"] == "missing":
                self.fail(place, "missing")
            else:
                message = found["msg"].removeprefix("Value error, ")
                self.fail(place, message if not found["loc"] else f"{message[0].lower()}{message[1:]}, got {_shown(found['input'])}")

    def check_rows(self, model: Architecture) -> None:
        """What only shows when rows are made: widths that do not divide, ties to parts that are not there."""
        places = set()
        ties = []
        for placed in model.blocks():
            block, place = placed
            places.add(place.part)
            try:
                rows = list(placed.rows)
                list(block.cache(place))
            except ValueError as error:
                self.fail(place.part, str(error))
                continue
            self.inconsistent += [Problem(text, place.part) for text in block.inconsistencies(place)]
            if any(int(size) < 1 for row in rows for size in row.shape):
                self.fail(place.part, "has a size below 1; the group around it needs a width", "give `width`, or the part's own sizes")
            ties += [(place.part, row.tied) for row in rows if row.tied]
        for part, owner in ties:
            if owner not in places:
                self.fail(f"{part}.tied", f"{owner!r} is not a part of this architecture", did_you_mean(owner, places))


def _merged(base: Any, changes: Mapping[str, Any]) -> Any:
    """`base` with `changes` laid over it: mappings of the same kind merge, anything else is replaced, null removes."""
    if not isinstance(base, Mapping):
        base = {"kind": base} if isinstance(base, str) else {}
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(old, Mapping | str) and value.get("kind", None) is None:
            merged[key] = _merged(old, value)
        else:
            merged[key] = value
    return merged


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: object) -> str:
    """A value as a message shows it: short, and by its type where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
