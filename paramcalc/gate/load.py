"""One way in: whatever names a model becomes an `Architecture`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from paramcalc.gate.aliases import ALIASES
from paramcalc.gate.config import Config
from paramcalc.gate.documents import Document, read_document
from paramcalc.gate.families.index import family
from paramcalc.gate.families.operations import written
from paramcalc.gate.overrides import parsed, reaches_inside, replaced
from paramcalc.model.architecture import Architecture, Origin
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError, ParamcalcError, Problem, SourceError, UnknownArchitectureError, UsageError
from paramcalc.words.nearest import did_you_mean

WEIGHTS = ("model.safetensors.index.json", "model.safetensors")
"""Names of a checkpoint's files in a folder, the first that is there."""

ABOUT = ("name", "source", "conventions")
"""What a simple spec says about a model beside its numbers."""


class Reading(NamedTuple):
    """How an input is to be read."""

    strict: bool = False
    """Whether a key that is not understood is an error."""
    assume: str | None = None
    """The family to read it as, whatever it says."""
    overrides: Sequence[str] = ()
    """Fields to replace, as `key=value`."""


def load(
    model: str | os.PathLike[str] | Mapping[str, Any] | Architecture,
    *,
    strict: bool = False,
    assume: str | None = None,
    overrides: Sequence[str] = (),
) -> Architecture:
    """Read a model: a path, a bundled name, a mapping (a spec or a config), or an architecture as it is.

    Raises a ParamcalcError that names the place of everything that is wrong.
    """
    reading = Reading(strict, assume, overrides)
    if isinstance(model, Architecture):
        return from_mapping(model.document, model.origin.source or model.name, reading) if overrides else model
    if isinstance(model, Mapping):
        return from_mapping(dict(model), "mapping", reading)
    named = os.fspath(model)
    if is_on_hub(named):
        from paramcalc.gate.hub import read_hub

        return read_hub(named, lambda path, name: _from_path(path, name, reading))
    return _from_path(*find(named), reading)


def _from_path(path: Path, name: str, reading: Reading) -> Architecture:
    if path.name.endswith((".safetensors", ".safetensors.index.json")):
        from paramcalc.gate.weights.read import read_weights

        return read_weights(path, name, lambda config, called: _from_path(config, called, reading))
    if path.suffix == ".gguf":
        from paramcalc.gate.weights.gguf_model import read_gguf_model

        return read_gguf_model(path, name, lambda config, called: from_mapping(config, called, reading, config=True))
    return from_document(read_document(path, name), reading, config=path.suffix == ".json")


def is_on_hub(model: str) -> bool:
    """Whether a MODEL can only be a hub id: it reads `org/name`, and is neither a path nor a bundled name."""
    if model.count("/") != 1 and "@" not in model:
        return False
    from paramcalc.gate.hub import is_hub_id

    return is_hub_id(model) and not Path(model).exists()


def find(model: str) -> tuple[Path, str]:
    """The file that a MODEL names and how it is called: a path that exists wins over a bundled name."""
    path = Path(model)
    try:
        if path.is_dir():
            for inside in (*WEIGHTS, "config.json"):
                if (path / inside).exists():
                    return path / inside, str(path / inside)
            raise InputError("is a folder without a config.json or weights in safetensors", place=model)
        if path.exists():
            return path, model
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot be read: {error}"[:160], place=model[:80]) from error
    bundled = _bundled(model)
    if bundled is not None:
        return bundled, bundled.name
    raise SourceError(
        "no such file, and no bundled architecture of that name",
        place=model[:120],
        hint=did_you_mean(model, bundled_names()) or "`paramcalc models` lists them",
    )


def _bundled(model: str) -> Path | None:
    """The bundled architecture of a name, which may leave out or add punctuation: `llama3-8b` is `llama-3-8b`."""
    if "/" in model or os.sep in model:
        return None
    name = model.removesuffix(".yaml").removesuffix(".yml")
    path = bundled_folder() / f"{name}.yaml"
    if path.is_file():
        return path
    alike = [other for other in bundled_names() if _letters(other) == _letters(name)]
    return bundled_folder() / f"{alike[0]}.yaml" if len(alike) == 1 else None


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def bundled_folder() -> Path:
    """Where the bundled architectures lie: beside the package in a checkout, inside it once installed."""
    inside = Path(__file__).parents[1] / "architectures"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "architectures"


def bundled_names() -> list[str]:
    """The names of all bundled architectures."""
    return sorted(path.stem for path in bundled_folder().glob("*.yaml"))


def from_document(document: Document, reading: Reading, *, config: bool) -> Architecture:
    """Read a document, with the line of each problem."""
    try:
        return from_mapping(document.value, document.path, reading, config=config)
    except UsageError:
        raise
    except ParamcalcError as error:
        in_order = sorted(error.problems, key=lambda problem: document.line(problem.place) or 10**9)
        replaced_keys = {path[0] for path, _ in parsed(reading.overrides)}
        raise type(error)([_placed(problem, document, replaced_keys) for problem in in_order]) from error


def _placed(problem: Problem, document: Document, replaced_keys: set[str]) -> Problem:
    """A problem with its line in the file, or with the option that set its value."""
    if problem.place.partition(".")[0] in replaced_keys:
        return problem._replace(place=f"{document.path}: --set {problem.place}")
    return problem._replace(place=document.place(problem.place))


def from_mapping(value: dict[str, Any], name: str, reading: Reading = Reading(), *, config: bool | None = None) -> Architecture:
    """Read a full form (it has `parts`), a reported model, a config (it has a `model_type`) or a simple spec."""
    value = _typed(value)
    overrides = parsed(reading.overrides)
    outside = [override for override in overrides if "parts" in value or not reaches_inside(override[0], value)]
    inside = [override for override in overrides if override not in outside]
    value = replaced(value, outside) if outside else value
    if value.get("kind") == "reported":
        model = _reported(value, name)
    elif "parts" in value or "kinds" in value:
        model = architecture_from({"name": _stem(name)} | value, Origin(name, "full"))
    else:
        is_config = ("model_type" in value and "family" not in value) if config is None else config
        model = _from_family(value, name, reading, spec=not is_config)
    if model.conventions:
        _known(model.conventions)
    return architecture_from(replaced(model.document, inside), model.origin) if inside else model


def _known(stated: Mapping[str, str]) -> None:
    """Conventions are named as `count --conventions` names them."""
    from paramcalc.holdings.conventions import MEANINGS

    unknown = [name for name in stated if name not in MEANINGS]
    if unknown:
        known = ", ".join(MEANINGS)
        raise InputError([Problem("unknown convention", f"conventions.{name}", did_you_mean(name, MEANINGS) or known) for name in unknown])


def _typed(value: dict[str, Any]) -> dict[str, Any]:
    """A config with the type that the reference knows it by: timm's own say none, but hold a `pretrained_cfg`."""
    stated = value.keys() & {"model_type", "family", "parts", "kinds"}
    return value | {"model_type": "timm_wrapper"} if "pretrained_cfg" in value and not stated else value


def _from_family(value: dict[str, Any], name: str, reading: Reading, *, spec: bool) -> Architecture:
    c = _config(value, reading.assume, spec=spec)
    try:
        recipe = family(c.model_type)
    except UnknownArchitectureError as error:
        stated = "family" if spec and "family" in value else "model_type"
        raise UnknownArchitectureError([problem._replace(place=stated) for problem in error.problems]) from error
    document = written(c, recipe(c))
    unread = c.unread()
    if spec or reading.strict:
        for key in unread:
            c.fail(key, "unknown key" if spec else "this key is not understood (--strict)", did_you_mean(key, _known_keys(c)))
    elif unread:
        c.warn(f"keys not understood, and left out: {', '.join(unread)}")
    c.finish()
    about = {key: value[key] for key in ABOUT if key in value}
    form = "simple" if spec else "config"
    origin = Origin(name, form, c.all_read(), tuple(c.all_taken().items()), tuple(unread), tuple(c.warnings))
    about = {"name": about.pop("name", None) or _title(value, name)} | about
    if c.inconsistencies:
        about["inconsistent"] = list(c.inconsistencies)
    return architecture_from(about | document, origin, as_built=not spec)


def _config(value: dict[str, Any], assume: str | None, *, spec: bool) -> Config:
    key = "family" if spec and "family" in value else "model_type"
    stated = value.get(key, "gpt2" if spec else None)
    if assume is None and not isinstance(stated, str):
        raise UnknownArchitectureError(
            "says no model_type" if stated is None else f"expected the name of a family, got {stated!r:.60}",
            place="" if stated is None else key,
            hint="`--assume FAMILY` reads it as a family that you name",
        )
    c = Config(value, assume or str(stated), spec=spec)
    c.ignore(key, *(ABOUT if spec else ()))
    if assume and assume != stated:
        c.warn(f"read as {assume}, as asked; the input says " + (f"{stated!r:.60}" if stated else "no model_type"))
    return c


def _known_keys(c: Config) -> set[str]:
    return {*c.used, *c.defaults.values, *ALIASES, *(name for names in ALIASES.values() for name in names)}


def _reported(value: dict[str, Any], name: str) -> Architecture:
    fields = {key: inner for key, inner in value.items() if key not in ("kind", "name", "source")}
    try:
        about = {key: value[key] for key in ("name", "source") if key in value}
        return architecture_from({"name": _stem(name)} | about | {"reported": fields}, Origin(name, "reported"))
    except InputError as error:
        raise InputError([Problem(p.message, p.place.removeprefix("reported."), p.hint) for p in error.problems]) from error


def _title(value: Mapping[str, Any], name: str) -> str:
    stated = value.get("_name_or_path")
    return stated if isinstance(stated, str) and stated and not Path(stated).is_absolute() else _stem(name)


def _stem(name: str) -> str:
    path = Path(name)
    return (path.parent.name if path.stem == "config" else path.stem) or name
