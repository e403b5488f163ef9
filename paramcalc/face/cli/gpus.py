"""paramcalc gpus"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from paramcalc.costs.capacity import cards_named, device_dict, selected
from paramcalc.costs.devices import Device
from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.options import Format, FormatOption, OutputOption
from paramcalc.gate.catalogue import read_catalogue


def run(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Everything about this one: rtx-4090, H100, 24GB, ...")] = None,
    vendor: Annotated[str | None, typer.Option("--vendor", help="Only those of one vendor.")] = None,
    kind: Annotated[str | None, typer.Option("--class", help="Only data-centre, workstation, consumer, unified, tpu or trainium.")] = None,
    catalogue: Annotated[
        Path | None, typer.Option("--catalogue", "--gpus", metavar="FILE", help="Your own devices, in YAML; they win over ours.")
    ] = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """The devices that are known, what a process may use of each, and where every number is from."""

    def ask(wanted: str) -> Answer:
        own = read_catalogue(catalogue) if catalogue else ()
        return _one(wanted, own) if name else _all(selected(vendor, kind, own))

    respond("gpus", [name or "gpus"], ask, form, output)


def _all(devices: Sequence[Device]) -> Answer:
    from paramcalc.face.render.gpus import catalogue_view

    return Answer(lambda: _data(devices), lambda: catalogue_view(devices))


def _one(name: str, own: Sequence[Device]) -> Answer:
    from paramcalc.face.render.gpus import device_view

    device = cards_named(name, extra=own).device
    return Answer(lambda: _data([device]), lambda: device_view(device))


def _data(devices: Sequence[Device]) -> dict[str, Any]:
    return {"schema": "paramcalc/gpus/1", "gpus": [device_dict(device) for device in devices], "warnings": []}
