"""The check itself: every model of a budget loaded, counted, compared with its baseline and held against its limits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from paramcalc.costs.budgets import PLANNERS, Limits
from paramcalc.costs.verdicts import Before, Verdict, judge
from paramcalc.gate.budget_file import Asked, Asking, read_budget
from paramcalc.gate.load import Reading, find, load
from paramcalc.gate.lock_file import NAME, UPDATE, Lock, read_lock
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.differences import Figures, figures_of
from paramcalc.words.errors import InputError, ParamcalcError, Problem, SourceError, UsageError

COMMAND_LINE = "command line"
"""The name of a report on limits that stand in no file."""


class Checked(NamedTuple):
    """One model that was held against its limits."""

    model: str
    """As it is called: a path, a bundled name, or a hub id."""
    limits: Limits
    place: str
    """`file:line: key` of its entry in the budget; empty for limits of the command line."""
    file: str
    """The file that it was read from, where that lies here; empty otherwise."""
    counts: Counts | None = None
    verdicts: Sequence[Verdict] = ()
    places: Sequence[str] = ()
    """`file:line: key` of each verdict's limit."""
    error: ParamcalcError | None = None
    warnings: Sequence[str] = ()

    @property
    def breaches(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.breached]

    @property
    def code(self) -> int:
        """What this model alone would exit with."""
        return self.error.exit_code if self.error else int(bool(self.breaches))


class Report(NamedTuple):
    """What became of one budget."""

    name: str
    """The budget file, or `command line`."""
    lock: Path
    """The lock file that belongs to it."""
    models: Sequence[Checked] = ()
    error: ParamcalcError | None = None
    """Why the budget itself was refused."""
    warnings: Sequence[str] = ()

    @property
    def code(self) -> int:
        """The first failure's exit code, by the order of the budget."""
        if self.error:
            return self.error.exit_code
        return next((model.code for model in self.models if model.code), 0)

    @property
    def verdicts(self) -> list[tuple[Checked, Verdict]]:
        return [(model, verdict) for model in self.models for verdict in model.verdicts]

    @property
    def breaches(self) -> list[tuple[Checked, Verdict]]:
        return [(model, verdict) for model, verdict in self.verdicts if verdict.breached]

    def figures(self) -> dict[str, Figures]:
        """What every model held that could be counted, for a lock file."""
        return {model.model: figures_of(model.counts) for model in self.models if model.counts}


class Options(NamedTuple):
    """How budgets are checked."""

    limits: Limits = Limits()
    """What an entry leaves out."""
    baseline: Path | None = None
    """A lock file; the one beside the budget where none is named."""
    revision: str | None = None
    """Growth is measured from the models at this git revision, not from a lock file."""
    reading: Reading = Reading()
    update: bool = False
    """Growth is accepted, not judged: the lock file is to be written anew."""


def check_budget(path: Path, options: Options) -> Report:
    """Check a budget file. What is wrong with it stands in the report."""
    lock = options.baseline or path.parent / NAME
    try:
        asking = read_budget(path)
    except ParamcalcError as error:
        return Report(os.fspath(path), lock, error=error)
    models = [asked._replace(limits=asked.limits.over(options.limits)) for asked in asking.models]
    empty = [asked for asked in models if not asked.limits.stated()]
    if empty and not options.update:
        problems = [
            Problem("sets no limit", asking.document.place(key), "max_params: 7B, ...") for key in dict.fromkeys(a.key for a in empty)
        ]
        return Report(os.fspath(path), lock, error=InputError(problems))
    report = _checked(models, lock, options, asking)
    return report._replace(name=os.fspath(path), error=SourceError(asking.missing) if asking.missing else report.error)


def check_models(models: Sequence[str], options: Options) -> Report:
    """Hold models against the limits of the command line."""
    lock = options.baseline or Path(NAME)
    return _checked([Asked(model, options.limits) for model in models], lock, options)


def _checked(models: Sequence[Asked], lock: Path, options: Options, asking: Asking | None = None) -> Report:
    measured = not options.update and any(asked.limits.max_growth is not None for asked in models)
    try:
        before = _baseline(lock, options) if measured else None
    except ParamcalcError as error:
        return Report(COMMAND_LINE, lock, error=error)
    counted: dict[str, Counts] = {}

    def counts(model: str) -> Counts:
        if model not in counted:
            named = options.reading
            counted[model] = count_architecture(load(model, strict=named.strict, assume=named.assume, overrides=named.overrides))
        return counted[model]

    found = [_one(asked, counts, before, asking) for asked in models]
    return Report(COMMAND_LINE, lock, found, warnings=list(_outside(found, lock)) if measured or options.update else ())


Baseline = Callable[[str], Before | None]


def _baseline(lock: Path, options: Options) -> Baseline:
    """Where growth is measured from."""
    if options.revision is not None:
        from paramcalc.gate.revisions import check_revision, is_at, load_at

        revision = options.revision
        check_revision(lock.parent, revision)

        def at(model: str) -> Before | None:
            if not Path(model).exists():  # bundled or on the hub: no revision of this repository has another one
                return Before(figures_of(count_architecture(load(model))), revision)
            path = Path(model)
            if not is_at(path / "config.json" if path.is_dir() else path, revision):
                return None
            return Before(figures_of(count_architecture(load_at(model, revision, options.reading))), revision)

        return at
    if not lock.exists():
        raise SourceError("there is no lock file to measure growth from", place=os.fspath(lock), hint=UPDATE)
    read: Lock = read_lock(lock)
    return lambda model: Before(read.figures(model), read.name)


def _one(asked: Asked, counts: Callable[[str], Counts], baseline: Baseline | None, asking: Asking | None) -> Checked:
    place = asking.document.place(asked.key) if asking else ""
    checked = Checked(asked.model, asked.limits, place, _file(asked.model))
    notes: list[str] = []
    try:
        held = counts(asked.model)
    except ParamcalcError as error:
        return checked._replace(error=_of_the_model(error, asked, asking))
    checked = checked._replace(counts=held)
    try:
        before = None
        if asked.limits.max_growth is not None and baseline is not None:
            before = baseline(asked.model)
            if before is None:
                notes.append("is new: there is nothing to measure its growth from")
        verdicts = judge(held, asked.limits, before)
    except UsageError as error:
        return checked._replace(error=_of_the_limits(error, asked, asking))
    except ParamcalcError as error:
        return checked._replace(error=_of_the_limits(error, asked, asking) if _is_a_key(error) else error)
    places = [_place(asking, asked, verdict.name) for verdict in verdicts]
    return checked._replace(verdicts=verdicts, places=places, warnings=[*held.warnings, *notes])


def _of_the_model(error: ParamcalcError, asked: Asked, asking: Asking | None) -> ParamcalcError:
    """A model that is not there or cannot be counted is told where the budget names it; what is wrong inside of one, where it stands."""
    if asking is None or not isinstance(error, SourceError | UsageError):
        return error
    place = asking.document.place(f"{asked.key}.model")
    kind = SourceError if isinstance(error, SourceError) else InputError
    return kind([Problem(f"{each.place or asked.model}: {each.message}", place, each.hint) for each in error.problems])


def _of_the_limits(error: ParamcalcError, asked: Asked, asking: Asking | None) -> ParamcalcError:
    """A limit or setting that does not suit the model: in a file it is the file that is wrong."""
    if asking is None:
        return error.at(asked.model)
    return InputError([Problem(f"{asked.model}: {each.message}", _place(asking, asked, each.place), each.hint) for each in error.problems])


def _is_a_key(error: ParamcalcError) -> bool:
    return all(each.place.partition(".")[0] in {*Limits.model_fields, *PLANNERS} for each in error.problems)


def _place(asking: Asking | None, asked: Asked, key: str) -> str:
    """Where a limit stands: in the entry, in the file's defaults, or on the command line."""
    if asking is None:
        return ""
    first = key.partition(".")[0]
    alias = "max_memory" if first == "max_inference" else first
    number = int(asked.key.rpartition(".")[2])
    own = asking.document.value["budgets"][number]
    shared = asking.document.value.get("defaults") or {}
    for fields, at in ((own, asked.key), (shared, "defaults")):
        for name in (first, alias):
            if name in fields:
                return asking.document.place(f"{at}.{name}{key.removeprefix(first)}")
    return asking.document.place(asked.key)


def _file(model: str) -> str:
    """The file that stands behind a model, if it lies in or near this folder and is the user's own."""
    if not os.path.exists(model):  # noqa: PTH110 - a hub id is no path
        return ""
    try:
        return find(model)[1]
    except ParamcalcError:
        return model


def _outside(models: Sequence[Checked], lock: Path) -> Iterator[str]:
    """Models that the lock file names by a path that leads out of its folder."""
    for model in models:
        path = Path(model.file) if model.file else None
        if path is not None and os.path.relpath(path, lock.parent).startswith(os.pardir):
            yield f"{model.model} lies outside of the lock file's folder: {path.resolve()}"
