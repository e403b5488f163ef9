"""The device catalogue: what GPUs, TPUs and unified memories hold, and what of it a process may use.

`devices()` reads `devices.json`, `read_devices()` a user's own rows, `find()` what people type. Every number carries
its source, and one that nobody knows is None. What a process may use (`capacity`) is never None: where nobody read it,
it is estimated from the measured device nearest in size, and `estimated` says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from paramcalc.costs.device_names import Names, counted
from paramcalc.costs.device_rows import MAX_BYTES, Device, Legend, read_rows, rows_of, sold_bytes
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import nearest
from paramcalc.words.units import MIB

__all__ = ["Device", "devices", "find", "read_devices"]

MAX_COUNT = 1_000_000
_LISTED = 12
_SIZE_LIKE = re.compile(r"\s*[\d.,]{1,6}\s*(?:[kmgtp]\w{0,4})?\s*\Z", re.IGNORECASE)


@cache
def devices() -> tuple[Device, ...]:
    """The catalogue, sorted by vendor and name."""
    legend, rows = _table()
    read = read_rows(rows, legend, "devices.json")
    measured = _measured(read)
    return tuple(_with_capacity(device, measured) for device in read)


def read_devices(document: object, place: str = "devices") -> tuple[Device, ...]:
    """A user's devices, from a parsed YAML document: a list of rows, or a mapping whose key `devices` holds one.

    The columns are those of `devices.json`; `id` and `memory` are needed. `place` names the document in errors.
    Raises InputError with every problem of every row.
    """
    measured = _measured(devices())
    read = read_rows(rows_of(document, place), _table()[0], place)
    return tuple(_with_capacity(device, measured) for device in read)


def find(text: str, extra: Iterable[Device] = ()) -> tuple[Device, int]:
    """The device that `text` names, and how many: `rtx-4090`, `4090`, `8xH100`, `h100x8`, `24GB`, `2 x 24GiB`.

    Case, spaces and punctuation do not matter; a maker's prefix may stand or be left out. `24GB` is a card sold by that
    size, whose driver keeps a part; `24GiB` is just that many bytes, all usable. `extra` are a user's devices: they win
    over the catalogue's of the same name. Raises UsageError that lists the candidates of an ambiguous name, or the
    nearest names of an unknown one. Nothing is guessed.
    """
    own = tuple(extra)
    device = _named(text, own)
    if device is not None:
        return device, 1
    for part, count in counted(text):
        device = _named(part, own)
        if device is not None:
            return device, _checked(count, text)
    raise _unknown(text, own)


def _named(text: str, own: Sequence[Device]) -> Device | None:
    size = sold_bytes(text)
    if size is not None:
        return _sized(text, size)
    names = Names(own)
    hits = names.exact(text) or _catalogue_names().exact(text)
    if not hits:
        taken = {device.id for device in own}
        hits = names.loose(text) + [device for device in _catalogue_names().loose(text) if device.id not in taken]
    if len(hits) > 1:
        ids = [device.id for device in hits]
        more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
        raise UsageError(f"{text!r:.60} may be any of {', '.join(ids[:_LISTED])}{more}", hint="name one of them in full")
    return hits[0] if hits else None


def _checked(count: str, text: str) -> int:
    if not (count.isascii() and count.isdigit()) or len(count) > 12 or not 1 <= int(count) <= MAX_COUNT:
        raise UsageError(f"expected between 1 and {MAX_COUNT:,} devices, got {count:.20} in {text!r:.60}", hint="8xH100")
    return int(count)


def _unknown(text: str, own: Sequence[Device]) -> UsageError:
    if _SIZE_LIKE.match(text):
        hint = "24GB for a card sold by that size, 24GiB for bytes"
        return UsageError(f"expected memory with its unit, got {text!r:.60}", hint=hint)
    known = [name for device in (*own, *devices()) for name in (device.id, *device.aliases)]
    near = nearest(text.strip().replace(" ", "-"), known)
    hint = f"did you mean {', '.join(near)}?" if near else "paramcalc gpus lists them; a size such as 24GB will do too"
    return UsageError(f"no device is called {text!r:.60}", hint=hint)


def _sized(text: str, size: int) -> Device:
    """A bare size as a device: GB as sold, less what the driver keeps of a measured card; GiB and MiB exact."""
    clean = text.strip().replace(" ", "")
    if not 0 < size <= MAX_BYTES:
        raise UsageError(f"expected a size of memory above 0 and up to 1 PiB, got {text!r:.60}")
    device = Device(clean.lower(), clean, "", "other", clean, size, source="given")
    if clean.lower().endswith("ib"):
        return device._replace(capacity=size, estimated=False, capacity_source="given, to the byte")
    return _with_capacity(device, _measured(devices()))


def _measured(known: Iterable[Device]) -> list[Device]:
    """Those whose usable bytes were read and say something of others: not more than the device was sold by."""
    return [device for device in known if 0 < (device.usable_bytes or 0) <= device.memory_bytes]


def _with_capacity(device: Device, measured: Sequence[Device]) -> Device:
    """The device with what a process may use: as read, or by the share of the measured device nearest in size.

    Devices of the same vendor and class are asked first, then those of the vendor (but for a memory shared with the
    host, such memories of any vendor); where nothing of a vendor was measured, and for a bare size, NVIDIA's without
    inline ECC, which takes 1/16 of some cards. Of two as near, the one with the smaller share. Where both have a figure
    from the driver, the share is of that figure.
    """
    if device.usable_bytes is not None:
        return device._replace(capacity=device.usable_bytes, estimated=False, capacity_source=device.usable_source)
    alike = [one for one in measured if one.kind == device.kind]
    kin = [one for one in measured if one.vendor == device.vendor.casefold()]
    plain = [one for one in measured if one.vendor == "nvidia" and (one.reported_bytes or 0) * 50 >= one.memory_bytes * 49]
    model = min(
        [one for one in alike if one in kin] or (alike if device.kind == "unified" else kin) or plain,
        key=lambda one: (abs(one.memory_bytes - device.memory_bytes), (one.usable_bytes or 0) / one.memory_bytes),
    )
    whole, of, name = device.memory_bytes, model.memory_bytes, device.memory
    if device.reported_bytes is not None and model.reported_bytes is not None:
        whole, of, name = device.reported_bytes, model.reported_bytes, "what its driver reports"
    used = model.usable_bytes or 0
    capacity = min(whole * used // of // MIB * MIB, whole, device.reported_bytes or whole)
    return device._replace(
        capacity=capacity, estimated=True, capacity_source=f"estimate: {used / of:.1%} of {name}, as measured on {model.id}"
    )


@cache
def _table() -> tuple[Legend, list[object]]:
    document = json.loads(Path(__file__).with_name("devices.json").read_bytes())
    return Legend(document["sources"], document["architectures"]), document["devices"]


@cache
def _catalogue_names() -> Names:
    return Names(devices())
