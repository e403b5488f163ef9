"""paramcalc plan"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paramcalc.costs.capacity import cards_named
from paramcalc.costs.layouts import NODE
from paramcalc.costs.planning import LayoutPlan, plan_layouts
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
    global_batch: Annotated[
        int | None, typer.Option("--global-batch", metavar="N", help="Sequences of one step over all cards; one per card if left out.")
    ] = None,
    node: Annotated[int, typer.Option("--node-size", metavar="N", help="Cards of a server: tensor parallelism stays inside.")] = NODE,
    top: Annotated[int, typer.Option("--top", metavar="N", help="Show so many layouts; JSON has them all.")] = 8,
    catalogue: CatalogueOption = None,
    strict: StrictOption = False,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
    *,
    options: dict[str, Any],
) -> None:
    """The parallel layouts that fit so many cards, or the smallest number of cards, ranked by least communication.

    Serving or training is described by the options of `infer` and `train`; --tp, --pp, --ep, --cp, --dp and --zero hold one part of
    the layout as it is. Exits 1 where none fits.
    """

    def ask(name: str) -> Answer:
        if gpu is None:
            raise UsageError("which card?", place="gpu", hint="--gpu H100, --gpu 24GB")
        cards = cards_named(gpu, gpus, read_catalogue(catalogue) if catalogue else ())
        model = load(name, strict=strict, assume=assume, overrides=override or ())
        found = plan_layouts(model, cards, job_from(options, mode), options, global_batch=global_batch, node=node)
        return Answer(found.to_dict, lambda: _view(found, top), found.warnings, verdict=0 if found.fits else 1)

    respond("plan", models, ask, form, output)


def _view(found: LayoutPlan, top: int) -> View:
    from paramcalc.face.render.layouts import plan_view

    return plan_view(found, top)
