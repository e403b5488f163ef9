"""One device of the catalogue, and how a row of a table becomes one.

The columns are those of `devices.json`, which says what each holds; a user's file has the same ones. Sizes and rates
are written with their unit (`24GB`, `24564 MiB`, `1008 GB/s`) or as whole bytes; what nobody knows is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from paramcalc.words.errors import InputError, ParamcalcError, Problem
from paramcalc.words.nearest import did_you_mean
from paramcalc.words.units import GIB, MIB, TIB, parse_bytes

CLASSES = ("data-centre", "workstation", "consumer", "unified", "tpu", "trainium", "other")
FORMATS = ("fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "mxfp6", "mxfp4", "nvfp4", "int8", "int4")

MAX_ROWS, MAX_TEXT, MAX_BYTES = 10_000, 300, 2**50
"""No catalogue, no text of a row and no memory or rate (1 PiB, 1 PiB/s) comes near these: a mistake or an attack."""

_SOLD = {"mb": MIB, "mib": MIB, "gb": GIB, "gib": GIB, "tb": TIB, "tib": TIB}
_SIZE = re.compile(r"\s*(\d{1,9})(?:\.(\d{1,6}))?\s*([A-Za-z]+)\s*\Z", re.ASCII)
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")


class Device(NamedTuple):
    """What one device holds and moves, as its runtime enumerates it. Bytes and bytes/s; None is unknown."""

    id: str
    name: str
    vendor: str
    kind: str
    """The column `class`, one of CLASSES."""
    memory: str
    """The size it is sold by, as printed on the box: `80GB`."""
    memory_bytes: int
    """That size with GB read as 2^30 bytes, which is what makers fit."""
    capacity: int = 0
    """What a process may use: `usable_bytes` where somebody read it, else an estimate."""
    estimated: bool = True
    capacity_source: str = ""
    reported_bytes: int | None = None
    """The total that the driver prints."""
    usable_bytes: int | None = None
    """The total that a process is told, the smallest figure found."""
    bandwidth: int | None = None
    """Of the memory, peak."""
    link: int | None = None
    """To other devices, both directions summed; one direction is half."""
    link_kind: str | None = None
    formats: tuple[str, ...] = ()
    """Multiplied natively, at no less than the rate of fp32. Empty is unknown."""
    year: int | None = None
    source: str = ""
    reported_source: str = ""
    usable_source: str = ""
    formats_source: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""

    def sources(self) -> dict[str, str]:
        """Where each number was read; a number that is not known has no entry."""
        cited = (
            ("memory", self.memory, self.source),
            ("reported_bytes", self.reported_bytes, self.reported_source),
            ("usable_bytes", self.usable_bytes, self.usable_source),
            ("bandwidth", self.bandwidth, self.source),
            ("link", self.link, self.source),
            ("formats", self.formats or None, self.formats_source),
            ("year", self.year, self.source),
        )
        return {name: source for name, value, source in cited if value is not None}


class Legend(NamedTuple):
    """What rows refer to by name: where measured bytes were read, and which formats an architecture multiplies."""

    sources: Mapping[str, str]
    architectures: Mapping[str, Mapping[str, Any]]


def sold_bytes(text: str) -> int | None:
    """`80GB`, `80 GiB`, `24576MiB`: bytes of a card sold by that size, where GB means 2^30; None if it is no size.

    >>> sold_bytes("80GB") == 80 * 2**30, sold_bytes("rtx-4090")
    (True, None)
    """
    match = _SIZE.match(text)
    if match is None or match[3].lower() not in _SOLD:
        return None
    digits: str = match[2] or ""
    size: int = int(match[1] + digits) * _SOLD[match[3].lower()] // 10 ** len(digits)
    return size


def rows_of(document: object, place: str) -> Sequence[object]:
    """The rows of a parsed document: a list, or a mapping whose one key `devices` holds one."""
    if isinstance(document, Mapping):
        for key in document:
            if key != "devices":
                raise InputError("not a known key", place=f"{place}: {key!s:.40}", hint="the one key is devices, a list of rows")
        document = document.get("devices")
    if not isinstance(document, Sequence) or isinstance(document, str | bytes):
        raise InputError("expected a list of devices", place=place, hint="devices: [{id: my-card, memory: 24GB}]")
    if len(document) > MAX_ROWS:
        raise InputError(f"{len(document)} devices; at most {MAX_ROWS} are read", place=place)
    return document


def read_rows(rows: Sequence[object], legend: Legend, place: str) -> list[Device]:
    """Every row as a device whose capacity is not known yet. All problems of all rows are reported together."""
    found: list[Device] = []
    problems: list[Problem] = []
    owners: dict[str, str] = {}
    for index, row in enumerate(rows):
        here = f"{place}: devices[{index}]"
        read, wrong = _values(row, here)
        problems += wrong or _disorder(read, legend, here)
        if problems:
            continue
        device = _device(read, legend, place)
        for name in (device.id, *device.aliases):
            if owners.setdefault(name, here) != here:
                problems.append(Problem(f"{name!r} is taken by {owners[name]}", here, "ids and aliases are unique"))
        found.append(device)
    if problems:
        raise InputError(problems)
    return found


def _values(row: object, place: str) -> tuple[dict[str, Any], list[Problem]]:
    """The columns of one row, read, and what is wrong with them. A null says unknown, as a missing column does."""
    if not isinstance(row, Mapping):
        return {}, [Problem(f"expected a mapping, got {row!r:.60}", place, "{id: my-card, memory: 24GB}")]
    read: dict[str, Any] = {}
    problems = [Problem(f"{key} is missing", place, "a device has id and memory") for key in ("id", "memory") if row.get(key) is None]
    for key, value in row.items():
        at = f"{place}.{key!s:.40}"
        if key not in COLUMNS:
            problems.append(Problem("not a column", at, did_you_mean(str(key), COLUMNS) or f"columns: {', '.join(COLUMNS)}"))
        elif value is not None:
            try:
                read[str(key)] = COLUMNS[str(key)](value)
            except ParamcalcError as error:
                problems += [problem._replace(place=at) for problem in error.problems]
    return read, problems


def _disorder(read: dict[str, Any], legend: Legend, place: str) -> list[Problem]:
    """Columns that contradict one another: a device uses at most what is reported, which is at most what was sold."""
    problems = []
    sold = read["memory"][1] + GIB  # makers round to whole GB: a TPU v5p of 95GB holds 95.74 GiB
    for small, large, limit in (("reported", "memory", sold), ("usable", "memory", sold), ("usable", "reported", read.get("reported"))):
        if limit is not None and read.get(small, 0) > limit:
            problems.append(Problem(f"{read[small]} bytes are more than its {large} allows", f"{place}.{small}", "check the unit"))
    if read.get("arch") is not None:
        known = legend.architectures
        if read["arch"] not in known:
            hint = did_you_mean(read["arch"], known) or "list the formats instead: formats: [fp16, bf16]"
            problems.append(Problem(f"{read['arch']!r:.60} is no architecture of the catalogue", f"{place}.arch", hint))
        if "formats" in read:
            problems.append(Problem("arch and formats exclude each other", f"{place}.formats", "arch says which formats"))
    return problems


def _device(read: dict[str, Any], legend: Legend, place: str) -> Device:
    source = read.get("source") or f"given in {place}"
    arch = legend.architectures.get(read.get("arch", ""), {})
    memory, memory_bytes = read["memory"]

    def measured(column: str) -> str:
        name = read.get(f"{column}_source") or source
        return legend.sources.get(name, name) if column in read else ""

    return Device(
        id=read["id"],
        name=read.get("name") or read["id"],
        vendor=read.get("vendor", ""),
        kind=read.get("class", "other"),
        memory=memory,
        memory_bytes=memory_bytes,
        reported_bytes=read.get("reported"),
        usable_bytes=read.get("usable"),
        bandwidth=read.get("bandwidth"),
        link=read.get("link"),
        link_kind=read.get("link_kind"),
        formats=tuple(arch.get("formats") or read.get("formats", ())),
        year=read.get("year"),
        source=source,
        reported_source=measured("reported"),
        usable_source=measured("usable"),
        formats_source=arch.get("source") or (source if "formats" in read else ""),
        aliases=read.get("aliases", ()),
        note=read.get("note", ""),
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT or not value.isprintable():
        raise InputError(f"expected one line of text, got {value!r:.60}")
    return value.strip()


def _identifier(value: object) -> str:
    text = _text(value)
    if not _ID.match(text) or not re.search("[a-z]", text):
        raise InputError(f"expected lower-case letters and digits joined by hyphens, got {text!r:.60}", hint="my-card-24gb")
    if sold_bytes(text) is not None:
        raise InputError(f"{text!r:.60} reads as a size of memory", hint=f"card-{text:.60}")
    return text


def _identifiers(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 100:
        raise InputError(f"expected a list of names, got {value!r:.60}", hint="[my-card, my-other-name]")
    return tuple(_identifier(item) for item in value)


def _class(value: object) -> str:
    if value not in CLASSES:
        raise InputError(
            f"{value!r:.60} is no class of devices", hint=did_you_mean(str(value), CLASSES) or f"classes: {', '.join(CLASSES)}"
        )
    return str(value)


def _formats(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or len(value) > len(FORMATS):
        raise InputError(f"expected a list of formats, got {value!r:.60}", hint=f"formats: {', '.join(FORMATS)}")
    for item in value:
        if item not in FORMATS:
            raise InputError(f"{item!r:.60} is no format", hint=did_you_mean(str(item), FORMATS) or f"formats: {', '.join(FORMATS)}")
    return tuple(value)


def _sold(value: object) -> tuple[str, int]:
    size = sold_bytes(value) if isinstance(value, str) else None
    if size is None or not 0 < size <= MAX_BYTES:
        raise InputError(f"expected the size it is sold by, with its unit, got {value!r:.60}", hint="24GB")
    return str(value).strip(), size


def _bytes(value: object) -> int:
    if isinstance(value, str):
        value = parse_bytes(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_BYTES:
        raise InputError(f"expected whole bytes or a size with its unit, got {value!r:.60}", hint="24564 MiB")
    return value


def _rate(value: object) -> int:
    if isinstance(value, str):
        if not value.rstrip().endswith("/s"):
            raise InputError(f"expected a rate with its unit, got {value!r:.60}", hint="1008 GB/s")
        value = value.rstrip().removesuffix("/s")
    try:
        return _bytes(value)
    except ParamcalcError as error:
        raise InputError(f"expected whole bytes a second or a rate with its unit, got {value!r:.60}", hint="1008 GB/s") from error


def _year(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1990 <= value <= 2100:
        raise InputError(f"expected a year, got {value!r:.60}")
    return value


COLUMNS: Mapping[str, Callable[[object], Any]] = {
    "id": _identifier,
    "name": _text,
    "vendor": _text,
    "class": _class,
    "memory": _sold,
    "reported": _bytes,
    "reported_source": _text,
    "usable": _bytes,
    "usable_source": _text,
    "bandwidth": _rate,
    "link": _rate,
    "link_kind": _text,
    "arch": _text,
    "formats": _formats,
    "year": _year,
    "source": _text,
    "aliases": _identifiers,
    "note": _text,
}
