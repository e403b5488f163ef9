"""The screens and the JSON of `check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from paramcalc.costs.verdicts import BYTES, PARAMETERS, Verdict
from paramcalc.face.render.view import Column, Table, View
from paramcalc.gate.budget_check import Checked, Report
from paramcalc.holdings.counts import identity
from paramcalc.words.errors import ParamcalcError

SCHEMA = "paramcalc/check/1"
MANY = 40
"""Limits that are all shown. Of more, every breach is, and of what holds the fullest."""


def headline(report: Report) -> str:
    """`budget.yaml · 2 of 7 limits breached`"""
    if report.error:
        return f"{report.name} · cannot be checked"
    breached, limits = len(report.breaches), len(report.verdicts)
    text = f"{breached} of {_number(limits, 'limit')} breached" if breached else f"within budget, {_number(limits, 'limit')}"
    failed = len({model.model for model in report.models if model.error})
    models = f"{_number(len({model.model for model in report.models}), 'model')}{f', {failed} cannot be checked' if failed else ''}"
    return f"{report.name} · {text if limits else 'no limit was checked'} ({models})"


def _number(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def check_views(report: Report, *, errors: bool = False) -> list[View]:
    """The answer with a table of all limits, then each breach in detail; `errors` adds what could not be checked."""
    if report.error and not report.models:
        return [_refusal(report.name, report.error)] if errors else []
    rows, more = _overview(report)
    notes = [f"{_number(more, 'more limit')} within budget, less full than these; all of them: --format csv"] if more else []
    views = [View(headline(report), [Table(OVERVIEW, rows)], notes=notes)]
    views += [_breach(model, verdict, place) for model in report.models for verdict, place in _placed(model) if verdict.breached]
    if errors:
        views += [_refusal(model.model, model.error) for model in report.models if model.error]
        views += [_refusal(report.name, report.error)] if report.error else []
    return views


def flat_view(report: Report) -> View:
    """Every limit in one table with all there is to say of it, for a spreadsheet."""
    names = ("model", "name", "unit", "limit", "value", "excess", "breached", "largest", "largest_value", "place", "owner", "reason")
    rows = [
        [
            *(model.model, verdict.name, verdict.unit, verdict.limit, verdict.value, verdict.excess, str(verdict.breached).lower()),
            *((verdict.largest.name, verdict.largest.total) if verdict.largest else (None, None)),
            *(place, line(model.limits.owner), line(model.limits.reason)),
        ]
        for model in report.models
        for verdict, place in _placed(model)
    ]
    return View(headline(report), [Table([Column(name) for name in names], rows)])


def check_dict(report: Report, *, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The answer of `paramcalc check --format json`."""
    return {
        "schema": SCHEMA,
        "budget": report.name,
        "ok": report.code == 0,
        "limits": len(report.verdicts),
        "breached": len(report.breaches),
        "models": [_model(model) for model in report.models],
        **({"error": _error(report.error)} if report.error else {}),
        "warnings": [*report.warnings, *(f"{model.model}: {text}" for model in report.models for text in model.warnings), *warnings],
    }


def _model(checked: Checked) -> dict[str, Any]:
    counts = checked.counts
    known = identity(counts.architecture) if counts else {"name": None, "source": checked.model, "model_type": None}
    answer: dict[str, Any] = {"model": known, "place": checked.place, "owner": checked.limits.owner, "reason": checked.limits.reason}
    if checked.error:
        return answer | {"verdicts": [], "error": _error(checked.error)}
    return answer | {"verdicts": [verdict.to_dict() | {"place": place} for verdict, place in _placed(checked)]}


def _error(error: ParamcalcError) -> dict[str, Any]:
    problems = [problem._asdict() for problem in error.problems]
    return {"exit_code": error.exit_code, "kind": type(error).__name__, "message": str(error), "problems": problems}


OVERVIEW = [Column("model"), Column("limit on"), Column("limit", "count"), Column("value", "count"), Column("unit"), Column("")]


def _overview(report: Report) -> tuple[list[list[Any]], int]:
    """A row for each limit, in the order of the budget, and how many are left out."""
    units = {BYTES: "B", PARAMETERS: ""}
    shown, left_out = _shown(report)
    rows: list[list[Any]] = []
    for model in report.models:
        name = line(model.model)
        rows += [[name, v.name, v.limit, v.value, units[v.unit], "over" if v.breached else "ok"] for v in model.verdicts if id(v) in shown]
        if model.error:
            rows.append([name, "", None, None, "", "error"])
    return rows, left_out


def _shown(report: Report) -> tuple[set[int], int]:
    """The verdicts that are shown, and how many are not: those that hold with the most room."""
    every = [verdict for _, verdict in report.verdicts]
    held = sorted((v for v in every if not v.breached), key=_fullness, reverse=True)
    left_out = held[MANY // 2 :] if len(every) > MANY else []
    return {id(verdict) for verdict in every} - {id(verdict) for verdict in left_out}, len(left_out)


def _fullness(verdict: Verdict) -> tuple[bool, float]:
    """How near a value is to its limit. One on growth is near by its nature, and comes after all others."""
    return verdict.name != "max_growth", verdict.value / max(verdict.limit, 1)


def _breach(model: Checked, verdict: Verdict, place: str) -> View:
    columns = [Column(""), Column(verdict.unit, "count"), Column("", "bytes" if verdict.unit == BYTES else "rounded"), Column("")]
    rows: list[list[Any]] = [
        ["limit", verdict.limit, verdict.limit, ""],
        ["value", verdict.value, verdict.value, verdict.what.removeprefix(verdict.unit).strip()],
        ["excess", verdict.excess, verdict.excess, verdict.ratio],
    ]
    if verdict.largest:
        what = "grew the most" if verdict.name == "max_growth" else "largest"
        rows.append([what, verdict.largest.total, verdict.largest.total, verdict.largest.name])
    reason, owner = line(model.limits.reason), line(model.limits.owner)
    notes = [verdict.note, reason and f"why: {reason}", owner and f"owner: {owner}"]
    return View(f"{line(model.model)} · {verdict.name}", [Table(columns, rows)], place, list(filter(None, notes)))


def _refusal(name: str, error: ParamcalcError | None) -> View:
    return View(f"{line(name)} · cannot be checked", notes=[line(str(problem)) for problem in error.problems] if error else [])


def _placed(model: Checked) -> Iterator[tuple[Verdict, str]]:
    return zip(model.verdicts, model.places, strict=True)


def line(text: str) -> str:
    """A text of somebody else's as one line without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
