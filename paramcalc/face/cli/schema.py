"""paramcalc schema"""

from __future__ import annotations

import json

from paramcalc.face.cli.answer import write
from paramcalc.face.cli.options import OutputOption


def run(output: OutputOption = None) -> None:
    """The JSON Schema of a spec, so that editors complete and check it as it is written."""
    from paramcalc.gate.schema import spec_schema

    write(json.dumps(spec_schema(), indent=1, ensure_ascii=False) + "\n", output)
