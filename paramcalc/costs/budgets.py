"""Budgets: the limits that somebody set on models, as a budget file, a command line or a test states them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import cache
from importlib import import_module
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    field_validator,
)

from paramcalc.words.errors import Problem, UsageError
from paramcalc.words.nearest import did_you_mean
from paramcalc.words.units import parse_bytes, parse_count, parse_share


class Planner(NamedTuple):
    """Where one kind of memory is planned, imported when a budget asks for it and not before."""

    package: str
    job_name: str
    plan_name: str

    @property
    def job(self) -> Any:
        """What makes a job of settings."""
        return getattr(import_module(f"{self.package}.job"), self.job_name)

    @property
    def options(self) -> tuple[str, ...]:
        """The settings there are."""
        return tuple(import_module(f"{self.package}.job").OPTIONS)

    @property
    def plan(self) -> Any:
        """What makes a plan of an architecture and a job."""
        return getattr(import_module(f"{self.package}.plan"), self.plan_name)


PLANNERS = {
    "inference": Planner("paramcalc.costs.inference", "InferenceJob", "plan_inference"),
    "training": Planner("paramcalc.costs.training", "TrainingJob", "plan_training"),
}
"""The settings under which a limit on memory holds, by the key that states them."""


def _read_by(parse: Callable[[str], Any], expected: str, *, plain: bool) -> Callable[[Any], Any]:
    """A reader of one limit; `plain` says whether a whole number without a unit will do."""

    def read(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, str) or (plain and type(value) is int):
            try:
                return parse(str(value))
            except UsageError as error:
                problem = error.problems[0]
                raise ValueError(f"{problem.message}{problem.hint and f' ({problem.hint})'}") from error
        raise ValueError(f"expected {expected}, got {value!r:.60}")

    return read


_TEXT = {"type": "string"}
Parameters = Annotated[
    int | None,
    BeforeValidator(_read_by(parse_count, "a number of parameters, as in 7B", plain=True)),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "integer", "minimum": 0}]}),
]
Bytes = Annotated[int | None, BeforeValidator(_read_by(parse_bytes, "bytes with a unit, as in 24GiB", plain=False)), WithJsonSchema(_TEXT)]
Growth = Annotated[
    Fraction | None, BeforeValidator(_read_by(parse_share, "a share with its unit, as in 1%", plain=False)), WithJsonSchema(_TEXT)
]


class Limits(BaseModel):
    """Limits on one model. A value equal to its limit is within it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    max_params: Parameters = None
    """Parameters, shared storage once."""
    max_active: Parameters = None
    """Parameters that a token visits."""
    max_embeddings: Parameters = None
    max_trainable: Parameters = None
    """Parameters that receive a gradient under the method in `training`, or without one."""
    max_inference: Bytes = Field(default=None, validation_alias=AliasChoices("max_inference", "max_memory"))
    """Bytes on the fullest device under the settings in `inference`."""
    max_training: Bytes = None
    """Bytes on the fullest device under the settings in `training`."""
    max_growth: Growth = None
    """Parameters more than in the baseline, as a share of it."""
    fits: str | None = None
    """A device that must hold the model under the settings in `inference`."""
    trains_on: str | None = None
    """A device that must hold the model under the settings in `training`."""
    inference: dict[str, Any] = {}
    """Options of `paramcalc infer`, with _ for -."""
    training: dict[str, Any] = {}
    """Options of `paramcalc train`, with _ for -."""
    reason: str = ""
    """Why these limits."""
    owner: str = ""
    """Whom to ask."""

    @field_validator("inference", "training")
    @classmethod
    def _settings(cls, value: dict[str, Any], info: Any) -> dict[str, Any]:
        if value:
            problems = setting_problems(info.field_name, value)
            if problems:
                raise SettingsError(problems)
        return value

    def stated(self) -> list[str]:
        """The names of the limits that are set."""
        return [name for name in LIMITS if getattr(self, name) is not None]

    def over(self, defaults: Limits) -> Limits:
        """These limits, with what they leave out taken from others; settings merge one by one."""
        fields = {name: getattr(self, name) for name in Limits.model_fields if name in self.model_fields_set}
        for kind in PLANNERS:
            fields[kind] = {**getattr(defaults, kind), **getattr(self, kind)}
        return defaults.model_copy(update=fields)


LIMITS = (
    "max_params",
    "max_active",
    "max_embeddings",
    "max_trainable",
    "max_inference",
    "max_training",
    "fits",
    "trains_on",
    "max_growth",
)
"""Every limit, in the order in which they are judged."""


class Budget(Limits):
    """One entry of a budget file: a model, or a glob of models, and its limits."""

    model: str
    """A path from the folder of the budget file, with * ? [] and ** for several; a bundled name; or a hub id."""


class BudgetFile(BaseModel):
    """A budget file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    budgets: list[Budget] = Field(min_length=1)
    defaults: Limits = Limits()
    """What an entry leaves out."""


def limits_from(fields: Mapping[str, Any], spelled: Callable[[str], str] = str) -> Limits:
    """Limits as a call states them. Raises UsageError with every wrong one; `spelled` says how the caller writes a key."""
    try:
        return Limits.model_validate(dict(fields))
    except ValidationError as error:
        raise UsageError([each._replace(place=spelled(each.place)) for each in problems_of(error, Limits.model_fields)]) from error


class SettingsError(ValueError):
    """Settings that a plan of memory does not know, with the key of each."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@cache
def _job_reader(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(PLANNERS[kind].job)


def setting_problems(kind: str, settings: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the names and types of settings; whether they suit a model shows when it is planned."""
    try:
        _job_reader(kind).validate_python(dict(settings), strict=True)
    except ValidationError as error:
        return problems_of(error, PLANNERS[kind].options, Problem("unknown setting"))
    return []


def problems_of(error: ValidationError, fields: Iterable[str], stray: Problem = Problem("unknown key")) -> list[Problem]:
    """Every problem that Pydantic found, in the words of this project; `fields` are the keys that a stray one may have meant."""
    found: list[Problem] = []
    for each in error.errors(include_url=False):
        place = ".".join(map(str, each["loc"]))
        cause = each.get("ctx", {}).get("error")
        if isinstance(cause, SettingsError):
            found += [problem._replace(place=f"{place}.{problem.place}") for problem in cause.problems]
        elif each["type"] == "extra_forbidden":
            known = [*fields] if len(each["loc"]) == 1 else [*Budget.model_fields, "max_memory"]
            key = str(each["loc"][-1])
            message = "unknown metric" if key.startswith("max") else stray.message
            found.append(Problem(message, place, did_you_mean(key, known) or f"keys here: {', '.join(known)}"))
        elif each["type"] in _WORDS:
            found.append(Problem(_WORDS[each["type"]], place))
        elif each["type"] == "value_error":
            found.append(Problem(each["msg"].removeprefix("Value error, "), place))
        else:
            found.append(Problem(f"expected {each['msg'].removeprefix('Input should be ')}, got {each['input']!r:.60}", place))
    return found


_WORDS = {"missing": "missing", "too_short": "expected at least one entry"}
"""Problems whose input says nothing."""
