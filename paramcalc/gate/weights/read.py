"""An architecture from a weight file: by the config beside it, else by the tensors themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paramcalc.gate.weights.compare import differences, reason
from paramcalc.gate.weights.safetensors import read_index, read_safetensors
from paramcalc.gate.weights.tensors import Folded, Stored, folded
from paramcalc.holdings.inventory import inventory
from paramcalc.model.architecture import Architecture, Origin
from paramcalc.model.tree import architecture_from

TABLES = (
    "embed_tokens",
    "wte",
    "wpe",
    "word_embeddings",
    "position_embeddings",
    "token_type_embeddings",
    "tok_embeddings",
    "embed_in",
    "shared",
)
"""Modules that are tables looked up by index, by the names that the references give them."""


def read_weights(path: Path, name: str, configured: Callable[[Path, str], Architecture]) -> Architecture:
    """Read a `.safetensors` file or the index of a sharded checkpoint; `configured` reads the config.json beside it."""
    stored = read_index(path, name) if path.suffix == ".json" else read_safetensors(path, name)
    tensors = folded(stored)
    config = path.parent / "config.json"
    if not config.is_file():
        return from_tensors(tensors, name)
    model = configured(config, str(Path(name).parent / "config.json"))
    packed = sorted({tensor.format for tensor in tensors if tensor.format in ("I32", "U8", "I8", "F4")})
    notes = [f"read by {config.name} beside it"]
    if packed and model.quantization:
        notes.append(f"its weights are packed ({', '.join(packed)}): the config says how many there are, the file is not compared")
    else:
        notes += differences(inventory(model), tensors)
    held: dict[str, int] = {}
    for tensor in stored:
        held[tensor.format] = held.get(tensor.format, 0) + tensor.bytes
    origin = model.origin._replace(source=name, form="safetensors", warnings=(*model.origin.warnings, *notes), stored=held)
    return model.model_copy(update={"origin": origin, "dtype": model.dtype or _dtype(stored)})


def from_tensors(tensors: Sequence[Folded], name: str, form: str = "safetensors") -> Architecture:
    """The tensors of a file as they are, where nothing says what model they make."""
    parts: dict[str, Any] = {}
    left_out = []
    for tensor in tensors:
        why = reason(tensor)
        if why:
            left_out.append(f"not counted: {tensor.name} × {tensor.copies}, {why}")
            continue
        part: dict[str, Any] = {"kind": "tensor", "path": tensor.name, "shape": list(tensor.shape), "type": _kind(tensor.name)}
        parts[f"tensor_{len(parts) + 1}"] = part | ({"stored": tensor.copies} if tensor.copies > 1 else {})
    stem = Path(name).stem
    note = "no config.json beside it: every stored tensor counts as it is, its kind by its name; active, caches and activations are unknown"
    return architecture_from({"name": stem, "parts": parts}, Origin(name, form, warnings=(note, *left_out)))


def _kind(name: str) -> str:
    module, _, last = name.rpartition(".")
    if last.endswith("bias"):
        return "bias"
    return "embedding" if module.rpartition(".")[2] in TABLES else "weight"


def _dtype(stored: Sequence[Stored]) -> str | None:
    formats: dict[str, int] = {}
    for tensor in stored:
        formats[tensor.format] = formats.get(tensor.format, 0) + tensor.bytes
    largest = max(formats, key=lambda key: formats[key], default="")
    return {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}.get(largest)
