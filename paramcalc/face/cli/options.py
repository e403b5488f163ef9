"""Options and arguments that commands share, so that they are called the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"


Model = Annotated[str, typer.Argument(metavar="MODEL", help="A spec, bundled name, config, weight file or hub id.")]
Models = Annotated[list[str], typer.Argument(metavar="MODEL...", help="Specs, bundled names, configs, weight files or hub ids.")]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to write the answer.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE, whole or not at all.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a field of the input; repeatable.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="A key that is not understood is an error.")]
AssumeOption = Annotated[str | None, typer.Option("--assume", metavar="FAMILY", help="Read an unknown model_type as this family.")]


def stated(call: typer.Context, options: Iterable[str]) -> frozenset[str]:
    """Those options that the call gave, be it with the default's value."""
    sources = {name: call.get_parameter_source(name) for name in options}
    return frozenset(name for name, source in sources.items() if source is not None and source.name != "DEFAULT")
