"""paramcalc check"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from paramcalc.costs.budgets import LIMITS, Limits, limits_from
from paramcalc.face.cli.answer import complain, complaints, note, views_text, write
from paramcalc.face.cli.options import Format, OutputOption, StrictOption
from paramcalc.gate.budget_check import Options, Report, check_budget, check_models
from paramcalc.gate.budget_file import DEFAULT, is_budget
from paramcalc.gate.load import Reading, bundled_names
from paramcalc.gate.overrides import parsed
from paramcalc.gate.project import Project, project
from paramcalc.words.errors import ParamcalcError, UsageError
from paramcalc.words.nearest import did_you_mean


class CheckFormat(StrEnum):
    """How a check is written."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"
    github = "github"
    junit = "junit"
    sarif = "sarif"


def run(
    budgets: Annotated[list[str] | None, typer.Argument(metavar="[BUDGET...]", help="Budget files; models, with limits below.")] = None,
    max_params: Annotated[str | None, typer.Option("--max-params", metavar="COUNT", help="Parameters, as in 7B.")] = None,
    max_active: Annotated[str | None, typer.Option("--max-active", metavar="COUNT", help="Parameters a token visits.")] = None,
    max_embeddings: Annotated[str | None, typer.Option("--max-embeddings", metavar="COUNT", help="Parameters in tables.")] = None,
    max_trainable: Annotated[str | None, typer.Option("--max-trainable", metavar="COUNT", help="Parameters that train.")] = None,
    max_inference: Annotated[
        str | None, typer.Option("--max-memory", "--max-inference", metavar="BYTES", help="Bytes for inference, as in 24GiB.")
    ] = None,
    max_training: Annotated[str | None, typer.Option("--max-training", metavar="BYTES", help="Bytes for training.")] = None,
    fits: Annotated[str | None, typer.Option("--fits", metavar="GPU", help="A device that must hold it for inference.")] = None,
    trains_on: Annotated[str | None, typer.Option("--trains-on", metavar="GPU", help="A device that must hold it for training.")] = None,
    inference: Annotated[
        list[str] | None, typer.Option("--inference", metavar="KEY=VALUE", help="A setting of inference, as in context=8192; repeatable.")
    ] = None,
    training: Annotated[
        list[str] | None, typer.Option("--training", metavar="KEY=VALUE", help="A setting of training, as in method=lora; repeatable.")
    ] = None,
    max_growth: Annotated[str | None, typer.Option("--max-growth", metavar="SHARE", help="Growth over the baseline, as in 1%.")] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="LOCK", help="Lock file; paramcalc.lock beside the budget.")
    ] = None,
    revision: Annotated[str | None, typer.Option("--git", metavar="REV", help="Measure growth from the files at this revision.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Accept growth: write the lock file anew.")] = False,
    strict: StrictOption = False,
    form: Annotated[CheckFormat, typer.Option("--format", "-f", help="How to write the answer.")] = CheckFormat.table,
    output: OutputOption = None,
    report: Annotated[
        list[str] | None, typer.Option("--report", metavar="FORMAT=FILE", help="Write the answer to FILE too; repeatable.")
    ] = None,
) -> None:
    """Hold models to their budget: exits 1 on a breach, with every limit, value, excess and the largest part."""
    values = (max_params, max_active, max_embeddings, max_trainable, max_inference, max_training, fits, trains_on, max_growth)
    stated = {name: text for name, text in zip(LIMITS, values, strict=True) if text is not None}
    try:
        if revision is not None and (baseline is not None or update):
            raise UsageError("--git measures growth from a revision: --baseline and --update are about a lock file")
        defaults = project()
        limits = _limits(stated, {"inference": inference or [], "training": training or []}, defaults)
        lock = baseline or (Path(defaults.baseline) if defaults.baseline and revision is None else None)
        options = Options(limits, lock, revision, Reading(strict=strict), update)
        written = [_report(text) for text in report or ()]
        reports = _checked(budgets or list(defaults.budget) or [DEFAULT], options, bool(stated))
    except ParamcalcError as error:
        complain(error)
        raise typer.Exit(error.exit_code) from error
    _answer(reports, form, output, written, update)


def _limits(stated: dict[str, str], settings: dict[str, list[str]], defaults: Project) -> Limits:
    """The limits of the command line. Raises UsageError with every wrong one, by its option."""
    fields: dict[str, Any] = dict(stated)
    if defaults.max_growth and "max_growth" not in fields:
        fields["max_growth"] = defaults.max_growth
    for kind, texts in settings.items():
        if texts:
            fields[kind] = _settings(kind, texts)
    return limits_from(fields, _option)


def _settings(kind: str, texts: list[str]) -> dict[str, Any]:
    """`context=8192` as a setting. Raises UsageError."""
    try:
        return {".".join(path): value for path, value in parsed(texts)}
    except UsageError as error:
        hint = "as in --inference context=8192" if kind == "inference" else "as in --training method=lora"
        raise UsageError(
            [each._replace(message=each.message.replace("--set", f"--{kind}"), hint=hint) for each in error.problems]
        ) from error


def _option(key: str) -> str:
    """How a limit or setting is spelled on the command line."""
    name, dot, rest = key.partition(".")
    return f"--{name.replace('_', '-')}{dot and ' '}{rest}"


def _checked(names: Sequence[str], options: Options, limited: bool) -> list[Report]:
    """A report for each budget file, and one for all models that stand on the command line."""
    reports: list[Report] = []
    models: list[str] = []
    for name in names:
        if limited and not is_budget(name):
            models.append(name)
        elif name in bundled_names() and not Path(name).exists():
            raise UsageError("no limit is given", place=name, hint="as in --max-params 7B; a budget file states its own")
        else:
            reports.append(check_budget(Path(name), options))
    return [*reports, check_models(models, options)] if models else reports


def _answer(
    reports: list[Report], form: CheckFormat, output: Path | None, written: Sequence[tuple[CheckFormat, Path | None]], update: bool
) -> None:
    for kind, path in [*written, (form, output)]:
        text = _text(reports, kind)
        if text.strip() or path is not None:
            write(text, path)
    remarks = [text for each in reports for text in _remarks(each, warnings=form is not CheckFormat.json)]
    if form is CheckFormat.github:
        from paramcalc.face.render.check import line
        from paramcalc.face.render.github import write_summary

        try:
            write_summary(reports)
        except UsageError as error:
            remarks += complaints(error)
        remarks = [line(text) for text in remarks]  # a name that breaks the line could begin a workflow command
    for text in remarks:
        note(text)
    if update:
        _update(reports)
    code = next((each.code for each in reports if each.code), 0)
    if code:
        raise typer.Exit(code)


def _remarks(report: Report, *, warnings: bool) -> Iterator[str]:
    """What belongs to stderr: warnings (in JSON they stand in the answer) and every problem."""
    if warnings:
        yield from (f"warning: {text}" for text in report.warnings)
        yield from (f"warning: {model.model}: {text}" for model in report.models for text in model.warnings)
    for error in (report.error, *(model.error for model in report.models)):
        yield from complaints(error) if error else ()


def _text(reports: list[Report], form: CheckFormat) -> str:
    """All reports in one format."""
    if form is CheckFormat.json:
        from paramcalc.face.render.check import check_dict
        from paramcalc.face.render.plain import json_text

        return json_text([check_dict(report) for report in reports], several=len(reports) > 1)
    if form is CheckFormat.junit:
        from paramcalc.face.render.junit import junit_text

        return junit_text(reports)
    if form is CheckFormat.sarif:
        from paramcalc.face.render.sarif import sarif_text

        return sarif_text(reports)
    if form is CheckFormat.csv:
        from paramcalc.face.render.check import flat_view

        return views_text([flat_view(report) for report in reports], Format.csv)
    from paramcalc.face.render.check import check_views

    errors = form is CheckFormat.markdown
    plain = views_text(
        [view for report in reports for view in check_views(report, errors=errors)], Format.markdown if errors else Format.table
    )
    if form is CheckFormat.github:
        from paramcalc.face.render.github import annotation_lines, guarded

        return guarded(plain) + annotation_lines(reports)
    return plain


def _report(text: str) -> tuple[CheckFormat, Path]:
    """`junit=report.xml` as a format and a path."""
    name, equals, path = text.partition("=")
    if not equals or not path or name not in CheckFormat.__members__:
        hint = did_you_mean(name, CheckFormat.__members__) or f"formats: {', '.join(CheckFormat.__members__)}"
        raise UsageError(f"expected --report FORMAT=FILE, got {text!r:.80}", hint=hint)
    return CheckFormat(name), Path(path)


def _update(reports: list[Report]) -> None:
    """Write each lock file anew, unless a model of it could not be counted. What it says already is not written again."""
    from paramcalc.gate.lock_file import key_of, lock_text

    by_lock: dict[Path, list[Report]] = {}
    for each in reports:
        by_lock.setdefault(each.lock, []).append(each)
    for path, found in by_lock.items():
        if any(each.error or any(model.counts is None for model in each.models) for each in found):
            note(f"{path} was not written: not every model can be counted")
            continue
        figures = {key_of(model, path.parent): held for each in found for model, held in each.figures().items()}
        text = lock_text(figures)
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
            note(f"{path} is up to date")
            continue
        write(text, path)
        note(f"{path} was written: {len(figures)} model{'s' if len(figures) != 1 else ''}")
