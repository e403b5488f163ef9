"""A user's own devices, from a YAML or JSON file."""

from __future__ import annotations

import os
from pathlib import Path

from paramcalc.costs.devices import Device, read_devices
from paramcalc.gate.documents import parse_json, parse_yaml, read_text


def read_catalogue(path: str | os.PathLike[str]) -> tuple[Device, ...]:
    """The devices of a file: rows of the catalogue's own columns, of which `id` and `memory` are needed.

    Raises SourceError where there is no such file, InputError with every problem of every row.
    """
    name = os.fspath(path)
    file = Path(path)
    text = read_text(file, name)
    return read_devices(parse_json(text, name) if file.suffix == ".json" else parse_yaml(text, name), name)
