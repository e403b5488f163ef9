"""paramcalc import"""

from __future__ import annotations

import typer

from paramcalc.face.cli.answer import complain, note, write
from paramcalc.face.cli.options import AssumeOption, Model, OutputOption, SetOption, StrictOption
from paramcalc.gate.load import load
from paramcalc.words.errors import ParamcalcError


def run(
    model: Model, output: OutputOption = None, strict: StrictOption = False, assume: AssumeOption = None, override: SetOption = None
) -> None:
    """Turn a config or weight file into a spec that counts the same: its full form, as YAML."""
    from paramcalc.gate.spec_text import full_text

    try:
        architecture = load(model, strict=strict, assume=assume, overrides=override or ())
    except ParamcalcError as error:
        complain(error)
        raise typer.Exit(error.exit_code) from error
    for warning in architecture.origin.warnings:
        note(f"warning: {warning}")
    write(full_text(architecture.document), output)
