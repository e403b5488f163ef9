"""Headers of safetensors files, by their documented layout: eight bytes of length, JSON, then the data that is not read.

https://github.com/huggingface/safetensors: little-endian u64 N, N bytes of UTF-8 JSON that begins with `{`; each entry has
`dtype`, `shape` and `data_offsets` [begin, end) from the end of the header; the data is covered without gaps or overlaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from paramcalc.gate.documents import parse_json, read_document
from paramcalc.gate.weights.tensors import Stored, is_shape
from paramcalc.words.errors import InputError, SourceError
from paramcalc.words.sizes import product

MAX_HEADER = 16 * 2**20
"""Real headers are below 2 MiB; the library's own bound is 100 MB."""
MAX_SHARDS = 5000
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
"""Bits of an element of each `dtype` that safetensors 0.8 writes."""


def read_safetensors(path: Path, name: str) -> list[Stored]:
    """The tensors of one file. Raises InputError for anything that its layout does not allow."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8:
                _refuse(name, f"is {size} bytes, too short for a safetensors file")
            if length > size - 8:
                _refuse(name, f"says that its header has {length:,} bytes, but the file has {size:,}")
            if length > MAX_HEADER:
                _refuse(name, f"has a header of {length:,} bytes; none is longer than {MAX_HEADER:,}")
            raw = file.read(length)
    except OSError as error:
        raise SourceError(f"cannot be read: {(error.strerror or str(error)).lower()}", place=name) from error
    return _entries(raw, size - 8 - length, name)


def read_index(path: Path, name: str) -> list[Stored]:
    """The tensors of all shards that a `model.safetensors.index.json` names."""
    weight_map = read_document(path, name).value.get("weight_map")
    if not isinstance(weight_map, Mapping) or not weight_map:
        _refuse(name, "has no weight_map: is it the index of a sharded checkpoint?")
    shards = sorted({shard for shard in weight_map.values() if isinstance(shard, str)})
    if len(shards) > MAX_SHARDS or any(not isinstance(shard, str) for shard in weight_map.values()):
        _refuse(name, "its weight_map is not one of tensors to file names")
    tensors: list[Stored] = []
    for shard in shards:
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            _refuse(name, f"names a shard that is no .safetensors file beside it: {shard!r:.80}")
        tensors += read_safetensors(path.parent / shard, str(Path(name).parent / shard))
    held = {tensor.name for tensor in tensors}
    missing = sorted(set(weight_map) - held)
    if missing:
        _refuse(name, f"names {len(missing)} tensors that no shard holds, as {missing[0]!r:.80}")
    if len(held) != len(tensors):
        _refuse(name, "two shards hold a tensor of the same name")
    return tensors


def _entries(raw: bytes, data: int, name: str) -> list[Stored]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        _refuse(name, "its header is not text: is it a safetensors file?")
    if not text.startswith("{"):
        _refuse(name, "its header is no JSON object: is it a safetensors file?")
    header = parse_json(text, name)
    tensors, spans = [], []
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        tensors.append(_stored(key, entry, data, name))
        spans.append(tuple(entry["data_offsets"]))
    _check_spans(sorted(spans), name)
    return tensors


def _stored(key: str, entry: Any, data: int, name: str) -> Stored:
    if not isinstance(entry, Mapping) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        _refuse(name, f"{key!r:.80} lacks dtype, shape or data_offsets")
    bits = BITS.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if bits is None:
        _refuse(name, f"{key!r:.80} has an unknown dtype {entry['dtype']!r:.40}")
    if not is_shape(entry["shape"]):
        _refuse(name, f"{key!r:.80} has a shape that is none: {entry['shape']!r:.80}")
    offsets = entry["data_offsets"]
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(end) is int for end in offsets)):
        _refuse(name, f"{key!r:.80} has data_offsets that are none: {offsets!r:.80}")
    begin, end = offsets
    size = -(-product(entry["shape"]) * bits // 8)
    if not 0 <= begin <= end <= data:
        _refuse(name, f"{key!r:.80} lies at {begin}..{end}, outside the {data:,} bytes of data (a truncated download?)")
    if end - begin != size:
        _refuse(name, f"{key!r:.80} has {end - begin:,} bytes, but its shape and dtype make {size:,}")
    return Stored(key, tuple(entry["shape"]), entry["dtype"], size, name)


def _check_spans(spans: list[tuple[int, int]], name: str) -> None:
    at = 0
    for begin, end in spans:
        if begin < at:
            _refuse(name, f"two tensors overlap at byte {begin:,} of the data")
        at = max(at, end)


def _refuse(name: str, message: str) -> NoReturn:
    raise InputError(message, place=name)
