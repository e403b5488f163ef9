"""paramcalc schema"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from paramcalc.face.cli.answer import write
from paramcalc.face.cli.options import OutputOption


def run(
    budget: Annotated[bool, typer.Option("--budget", help="The schema of a budget file instead.")] = False, output: OutputOption = None
) -> None:
    """The JSON Schema of a spec, so that editors complete and check it as it is written."""
    from paramcalc.gate.schema import budget_schema, spec_schema

    write(json.dumps(budget_schema() if budget else spec_schema(), indent=1, ensure_ascii=False) + "\n", output)
