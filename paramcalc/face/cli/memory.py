"""paramcalc memory"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.overview import overview
from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.options import AssumeOption, Format, FormatOption, Models, OutputOption, SetOption, StrictOption, stated
from paramcalc.gate.load import load

if TYPE_CHECKING:
    from paramcalc.costs.overview import Overview
    from paramcalc.face.render.view import View


def run(
    call: typer.Context,
    models: Models,
    context: Annotated[int | None, typer.Option("--context", "--max-model-len", help="Tokens to serve; the model's own context.")] = None,
    prompt: Annotated[int | None, typer.Option("--prompt", help="Tokens of a prompt that are read at once; 2,048.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Sequences held at once.")] = 1,
    engine: Annotated[str | None, typer.Option("--engine", help="transformers, vllm, or ideal.")] = None,
    quant_all: Annotated[bool, typer.Option("--quant-all", help="Quantize embeddings, norms and head too.")] = False,
    seq_len: Annotated[int | None, typer.Option("--seq-len", help="Tokens of a training sequence; 2,048.")] = None,
    strict: StrictOption = False,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """One screen: what it takes to run and to train, in fp32, bf16, int8 and int4, and the smallest GPUs that do."""
    given = stated(call, ("context", "prompt", "batch_size", "engine", "quant_all"))
    job = InferenceJob(context=context, prompt=prompt, batch_size=batch_size, engine=engine, quant_all=quant_all, stated=given)

    def ask(name: str) -> Answer:
        found = overview(load(name, strict=strict, assume=assume, overrides=override or ()), job, seq_len=seq_len)
        return Answer(found.to_dict, lambda: _view(found), found.warnings)

    respond("memory", models, ask, form, output)


def _view(found: Overview) -> View:
    from paramcalc.face.render.memory import overview_view

    return overview_view(found)
