"""paramcalc count"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.options import AssumeOption, Format, FormatOption, Models, OutputOption, SetOption, StrictOption, stated
from paramcalc.gate.load import load
from paramcalc.holdings.counts import Counts, count_architecture, reported_dict
from paramcalc.model.architecture import Architecture, Reported
from paramcalc.words.errors import UsageError

if TYPE_CHECKING:
    from paramcalc.face.render.view import View
    from paramcalc.holdings.trainable import Method


class By(StrEnum):
    """What rows are folded by."""

    component = "component"
    layer = "layer"
    kind = "kind"
    tensor = "tensor"


def run(
    call: typer.Context,
    models: Models,
    by: Annotated[By | None, typer.Option("--by", help="Show rows by component, layer, kind or tensor.")] = None,
    conventions: Annotated[bool, typer.Option("--conventions", help="Show the same parameters as others count them.")] = False,
    peft: Annotated[str | None, typer.Option("--peft", metavar="METHOD", help="What this method would train: lora, dora, ia3, ...")] = None,
    lora_r: Annotated[int, typer.Option("--lora-r", help="Rank of LoRA and DoRA.")] = 8,
    lora_targets: Annotated[str | None, typer.Option("--lora-targets", help="Modules, `attention` or `all-linear`.")] = None,
    virtual_tokens: Annotated[int, typer.Option("--virtual-tokens", help="Tokens of prompt and prefix tuning.")] = 20,
    adapter_size: Annotated[int, typer.Option("--adapter-size", help="Bottleneck width of adapters.")] = 64,
    last_n: Annotated[int, typer.Option("--last-n", help="Layers that last-n trains.")] = 1,
    strict: StrictOption = False,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """How many parameters, of which kind, where, how many active per token."""
    idle = sorted(stated(call, ("lora_r", "lora_targets", "virtual_tokens", "adapter_size", "last_n"))) if peft is None else []
    method = _method(peft, lora_r, lora_targets, virtual_tokens, adapter_size, last_n)

    def ask(name: str) -> Answer:
        if idle:
            raise UsageError(f"--{idle[0].replace('_', '-')} says how a method trains, and no --peft names one", hint="as in --peft lora")
        architecture = load(name, strict=strict, assume=assume, overrides=override or ())
        if architecture.reported:
            reported = architecture.reported
            return Answer(lambda: reported_dict(architecture, reported), lambda: _reported_view(architecture, reported))
        counts = count_architecture(architecture, method)
        return Answer(lambda: counts.to_dict(by and by.value), lambda: _view(counts, by and by.value, conventions), counts.warnings)

    respond("count", models, ask, form, output)


def _view(counts: Counts, by: str | None, conventions: bool) -> View:
    from paramcalc.face.render.counts import count_view

    return count_view(counts, by, conventions)


def _reported_view(architecture: Architecture, reported: Reported) -> View:
    from paramcalc.face.render.counts import reported_view

    return reported_view(architecture, reported)


def _method(name: str | None, rank: int, targets: str | None, virtual_tokens: int, adapter_size: int, last_n: int) -> Method | None:
    if name is None:
        return None
    from paramcalc.holdings.trainable import Method

    return Method(name=name, rank=rank, targets=targets, virtual_tokens=virtual_tokens, adapter_size=adapter_size, last_n=last_n)
