"""Headers of GGUF files, single and split: metadata and the table of tensors, never the tensors.

Layout (docs/gguf.md of ggml-org/ggml): magic, version, number of tensors and of metadata entries; the entries; the tensors'
names, dimensions, types and offsets; then the data. Little-endian. A reader of its own, because every count in a hostile
file must be held against the bytes that are there before anything is made of it.
"""

from __future__ import annotations

import mmap
import re
import struct
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from paramcalc.gate.weights.tensors import Stored, is_shape
from paramcalc.words.errors import InputError, SourceError
from paramcalc.words.ggml import NUMBERS, TYPES
from paramcalc.words.sizes import product

MAX_TENSORS, MAX_ENTRIES, MAX_WORDS, MAX_KEPT = 200_000, 10_000, 2_000_000, 4096
"""Bounds that no real file comes near: tensors, metadata entries, entries of a list of words, and of a list that is kept."""
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf\Z")
_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), ("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", "<Q", "<q", "<d"), strict=True))
_STRING, _ARRAY = 8, 9


class Gguf(NamedTuple):
    """What a file's header says."""

    metadata: dict[str, Any]
    """Scalars, texts and short lists; a long list (a vocabulary) is only its length, under `KEY.length`."""
    tensors: list[Stored]


def read_gguf(path: Path, name: str) -> Gguf:
    """One file, or all files of a split model given any of them. Raises InputError for what the layout does not allow."""
    match = _SPLIT.search(path.name)
    if match is None:
        return _read(path, name)
    number = int(match[2])
    if not 1 <= number <= 999:
        _refuse(name, f"is one of {number} files, which none is")
    stem = path.name[: match.start()]
    parts = [path.with_name(f"{stem}-{index:05d}-of-{number:05d}.gguf") for index in range(1, number + 1)]
    read = [_read(part, str(Path(name).parent / part.name)) for part in parts]
    return Gguf(read[0].metadata, [tensor for part in read for tensor in part.tensors])


def _read(path: Path, name: str) -> Gguf:
    try:
        with path.open("rb") as file:
            if path.stat().st_size < 24:
                _refuse(name, "is too short for a GGUF file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                return _Header(view, name).read()
    except OSError as error:
        raise SourceError(f"cannot be read: {(error.strerror or str(error)).lower()}", place=name) from error


class _Header:
    """Walks a header; every length is checked against the bytes that are left."""

    def __init__(self, view: mmap.mmap, name: str) -> None:
        self.view, self.name, self.at = view, name, 0

    def read(self) -> Gguf:
        if self.view[:4] != b"GGUF":
            _refuse(self.name, f"does not begin with GGUF but with {self.view[:4]!r}")
        self.at = 4
        version = self.number("<I")
        if version not in (2, 3):
            _refuse(self.name, f"is GGUF version {version}; versions 2 and 3 are known (little-endian)")
        tensors, entries = self.number("<Q"), self.number("<Q")
        if tensors > MAX_TENSORS or entries > MAX_ENTRIES:
            _refuse(self.name, f"says that it has {tensors:,} tensors and {entries:,} entries")
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            key = self.text()
            if key in metadata:
                _refuse(self.name, f"the key {key!r:.80} stands twice")
            self.entry(key, metadata)
        table = [self.tensor() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 2**20:
            _refuse(self.name, f"general.alignment is {alignment!r:.40}")
        self.check(table, -(-self.at // alignment) * alignment)
        return Gguf(metadata, [tensor for tensor, _ in table])

    def number(self, code: str) -> Any:
        size = struct.calcsize(code)
        if self.at + size > len(self.view):
            _refuse(self.name, "ends inside its header (a truncated download?)")
        value = struct.unpack_from(code, self.view, self.at)[0]
        self.at += size
        return value

    def skip(self, size: int) -> None:
        if size > len(self.view) - self.at:
            _refuse(self.name, "ends inside its header (a truncated download?)")
        self.at += size

    def text(self) -> str:
        length = self.number("<Q")
        start = self.at
        self.skip(length)
        if length > 2**20:
            return ""  # a chat template or the like, which nothing here reads
        return self.view[start : self.at].decode("utf-8", "replace")

    def entry(self, key: str, metadata: dict[str, Any]) -> None:
        kind = self.number("<I")
        if kind == _ARRAY:
            values, length = self.array()
            metadata[f"{key}.length"] = length
            if values is not None:
                metadata[key] = values
        else:
            metadata[key] = self.scalar(kind)

    def scalar(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind not in _SCALARS:
            _refuse(self.name, f"a metadata entry has the unknown type {kind}")
        return self.number(_SCALARS[kind])

    def array(self) -> tuple[list[Any] | None, int]:
        kind, length = self.number("<I"), self.number("<Q")
        if kind == _STRING:
            if length > MAX_WORDS:
                _refuse(self.name, f"a metadata list has {length:,} texts")
            return self.words(length), length
        if kind not in _SCALARS:
            _refuse(self.name, f"a metadata list has the unknown type {kind}")
        if length <= MAX_KEPT:
            return [self.scalar(kind) for _ in range(length)], length
        self.skip(length * struct.calcsize(_SCALARS[kind]))
        return None, length

    def words(self, length: int) -> list[str] | None:
        if length <= 64:
            return [self.text() for _ in range(length)]
        unpack, end = struct.Struct("<Q").unpack_from, len(self.view)
        at = self.at
        for _ in range(length):  # a vocabulary: step over each word
            if at + 8 > end:
                _refuse(self.name, "ends inside its header (a truncated download?)")
            at += 8 + unpack(self.view, at)[0]
        self.at = at
        self.skip(0)
        return None

    def tensor(self) -> tuple[Stored, int]:
        name = self.text()
        dimensions = self.number("<I")
        if not 0 <= dimensions <= 8:
            _refuse(self.name, f"{name!r:.80} has {dimensions} dimensions")
        shape = [self.number("<Q") for _ in range(dimensions)][::-1]  # GGML counts the fastest axis first
        number, offset = self.number("<I"), self.number("<Q")
        if not is_shape(shape):
            _refuse(self.name, f"{name!r:.80} has a shape that is none: {shape!r:.80}")
        kind = NUMBERS.get(number)
        if kind is None:
            _refuse(self.name, f"{name!r:.80} has the unknown type {number}")
        columns = shape[-1] if shape else 1
        if not TYPES[kind].fits(columns):
            _refuse(self.name, f"{name!r:.80} has rows of {columns}, which are no whole blocks of {kind}")
        size = TYPES[kind].bytes_for(product(shape))
        return Stored(name, tuple(shape), kind, size, self.name), offset

    def check(self, table: list[tuple[Stored, int]], start: int) -> None:
        names = {tensor.name for tensor, _ in table}
        if len(names) != len(table):
            _refuse(self.name, "two tensors have the same name")
        at = 0
        for tensor, offset in sorted(table, key=lambda item: item[1]):
            if offset < at:
                _refuse(self.name, f"{tensor.name!r:.80} overlaps the tensor before it")
            at = offset + tensor.bytes
        if start + at > len(self.view):
            _refuse(self.name, f"its tensors need {start + at:,} bytes, but the file has {len(self.view):,} (a truncated download?)")


def _refuse(name: str, message: str) -> NoReturn:
    raise InputError(message, place=name)
