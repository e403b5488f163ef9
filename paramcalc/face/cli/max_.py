"""paramcalc max"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paramcalc.costs.capacity import cards_named
from paramcalc.costs.placing import placed
from paramcalc.costs.search import Most, most
from paramcalc.costs.weighing import job_from
from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.job_options import CatalogueOption, GpuOption, GpusOption, ModeOption, with_job_options
from paramcalc.face.cli.options import AssumeOption, Format, FormatOption, Models, OutputOption, SetOption, StrictOption
from paramcalc.gate.catalogue import read_catalogue
from paramcalc.gate.load import load
from paramcalc.words.errors import UsageError

if TYPE_CHECKING:
    from paramcalc.face.render.view import View


@with_job_options
def run(
    models: Models,
    gpu: GpuOption = None,
    gpus: GpusOption = None,
    solve: Annotated[str, typer.Option("--solve", help="batch, context, rank, or sequences (those served at once).")] = "batch",
    mode: ModeOption = None,
    catalogue: CatalogueOption = None,
    strict: StrictOption = False,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
    *,
    options: dict[str, Any],
) -> None:
    """The largest batch, context, rank or number of sequences that fits: the value fits, the next does not.

    Serving or training is described by the options of `infer` and `train`. Exits 1 where not even 1 fits.
    """

    def ask(name: str) -> Answer:
        if gpu is None:
            raise UsageError("which card?", place="gpu", hint="--gpu rtx-4090, --gpu 8xH100, --gpu 24GB")
        cards = cards_named(gpu, gpus, read_catalogue(catalogue) if catalogue else ())
        model = load(name, strict=strict, assume=assume, overrides=override or ())
        found = most(model, cards, placed(model, job_from(options, mode), cards.number, options), solve, options)
        return Answer(found.to_dict, lambda: _view(found), [*found.plan.warnings, *found.remarks], verdict=0 if found.fits else 1)

    respond("max", models, ask, form, output)


def _view(found: Most) -> View:
    from paramcalc.face.render.most import most_view

    return most_view(found)
