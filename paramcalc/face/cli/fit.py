"""paramcalc fit"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paramcalc.costs.capacity import cards_named, selected
from paramcalc.costs.fit import Fit, fit
from paramcalc.costs.fit_overview import Overview, overview
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
    mode: ModeOption = None,
    catalogue: CatalogueOption = None,
    vendor: Annotated[str | None, typer.Option("--vendor", help="Without --gpu: only cards of one vendor.")] = None,
    kind: Annotated[str | None, typer.Option("--class", help="Without --gpu: only data-centre, workstation, consumer, ...")] = None,
    strict: StrictOption = False,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
    *,
    options: dict[str, Any],
) -> None:
    """Whether it fits, how much is left, and what to lower if it does not; without --gpu, which cards fit.

    Serving or training is described by the options of `infer` and `train`. Exits 1 where it does not fit.
    """

    def ask(name: str) -> Answer:
        own = read_catalogue(catalogue) if catalogue else ()
        if gpu is None:
            if gpus is not None:
                raise UsageError("so many of which card?", place="gpus", hint="--gpu H100")
            devices = selected(vendor, kind, own)
            model = load(name, strict=strict, assume=assume, overrides=override or ())
            every = overview(model, devices, options, mode)
            return Answer(every.to_dict, lambda: _overview_view(every), every.warnings, verdict=0 if every.fits else 1)
        cards, job = cards_named(gpu, gpus, own), job_from(options, mode)
        found = fit(load(name, strict=strict, assume=assume, overrides=override or ()), cards, job, options)
        return Answer(found.to_dict, lambda: _fit_view(found), [*found.plan.warnings, *found.remarks], verdict=0 if found.fits else 1)

    respond("fit", models, ask, form, output)


def _fit_view(found: Fit) -> View:
    from paramcalc.face.render.fit import fit_view

    return fit_view(found)


def _overview_view(every: Overview) -> View:
    from paramcalc.face.render.fit_overview import overview_view

    return overview_view(every)
