"""paramcalc diff"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.options import AssumeOption, Format, FormatOption, Model, OutputOption, StrictOption
from paramcalc.gate.load import Reading, load
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.words.errors import UsageError
from paramcalc.words.units import parse_share

if TYPE_CHECKING:
    from fractions import Fraction


class By(StrEnum):
    """What changes are folded by."""

    component = "component"
    layer = "layer"
    kind = "kind"
    tensor = "tensor"


def run(
    before: Model,
    after: Annotated[str | None, typer.Argument(metavar="[OTHER]", help="The model to compare it with.")] = None,
    revision: Annotated[str | None, typer.Option("--git", metavar="REV", help="Compare MODEL with itself at this git revision.")] = None,
    by: Annotated[By, typer.Option("--by", help="Show changes by component, layer, kind or tensor.")] = By.component,
    max_growth: Annotated[str | None, typer.Option("--max-growth", metavar="SHARE", help="Exit 1 on more growth, as in 1%.")] = None,
    strict: StrictOption = False,
    assume: AssumeOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """What changed from one model to another, in parameters and in bytes; with --git, since a revision."""

    def ask(_: str) -> Answer:
        limit = _share(max_growth)
        first, second = _both(before, after, revision, Reading(strict, assume))
        from paramcalc.face.render.diff import Difference, diff_dict, diff_view

        difference = Difference(first, second, by.value, limit)
        warnings = [*first.warnings, *(text for text in second.warnings if text not in first.warnings)]
        return Answer(lambda: diff_dict(difference, warnings), lambda: diff_view(difference), warnings, int(difference.breached))

    respond("diff", [before if after is None else f"{before} {after}"], ask, form, output)


def _both(before: str, after: str | None, revision: str | None, reading: Reading) -> tuple[Counts, Counts]:
    """The counts of both sides."""
    if (after is None) == (revision is None):
        raise UsageError(
            "expected two models, or one and --git REV", hint="paramcalc diff old.yaml new.yaml, or diff model.yaml --git main"
        )
    if revision is None:
        assert after is not None
        old, new = (load(model, strict=reading.strict, assume=reading.assume) for model in (before, after))
    else:
        from paramcalc.gate.revisions import load_at

        old = load_at(before, revision, reading)
        new = load(before, strict=reading.strict, assume=reading.assume)
    return count_architecture(old), count_architecture(new)


def _share(text: str | None) -> Fraction | None:
    if text is None:
        return None
    try:
        return parse_share(text)
    except UsageError as error:
        raise UsageError([problem._replace(place="--max-growth") for problem in error.problems]) from error
