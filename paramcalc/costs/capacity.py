"""Cards to fit into: which one, how many, and how many bytes of each a process may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from paramcalc.costs import device_names
from paramcalc.costs.device_rows import CLASSES
from paramcalc.costs.devices import MAX_COUNT, Device, devices, find
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean


class Cards(NamedTuple):
    """So many of one device; None where the number is to be found."""

    device: Device
    number: int | None

    @property
    def capacity(self) -> int:
        """Bytes that a process may use on each."""
        return self.device.capacity

    @property
    def remarks(self) -> list[str]:
        """What a reader of the figures alone should know."""
        device = self.device
        return [f"what {device.name} leaves a process was not measured; {device.capacity_source}"] if device.estimated else []

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.device.id, "name": self.device.name, "count": self.number, **capacity_dict(self.device)}


def cards_named(text: str, count: int | None = None, extra: Sequence[Device] = ()) -> Cards:
    """The cards that `--gpu` and `--gpus` mean together: `8xH100`, or `H100` and 8. Raises UsageError."""
    device, counted = find(text, extra)
    if count is None:
        return Cards(device, counted if counted > 1 or any(number == "1" for _, number in device_names.counted(text)) else None)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_COUNT:
        raise UsageError(f"expected between 1 and {MAX_COUNT:,} cards, got {count!r:.40}", place="gpus")
    if counted not in (1, count):
        raise UsageError(f"{text!r:.60} says {counted} cards and gpus says {count}", place="gpus", hint="leave out one of them")
    return Cards(device, count)


def selected(vendor: str | None = None, kind: str | None = None, extra: Sequence[Device] = ()) -> list[Device]:
    """The catalogue with a user's devices in front, of one vendor or class if asked. Raises UsageError for unknown words."""
    own = {device.id for device in extra}
    every = [*extra, *(device for device in devices() if device.id not in own)]
    for name, value, known in (("vendor", vendor, sorted({device.vendor for device in every if device.vendor})), ("class", kind, CLASSES)):
        if value is not None and value.lower() not in known:
            hint = did_you_mean(value, known) or f"one of {', '.join(known)}"
            raise UsageError(f"unknown {name}: {value!r:.60}", place=name, hint=hint)
    return [
        device for device in every if (vendor is None or device.vendor == vendor.lower()) and (kind is None or device.kind == kind.lower())
    ]


def capacity_dict(device: Device) -> dict[str, Any]:
    """What a process may use of a device, and who says so."""
    return {"capacity": device.capacity, "estimated": device.estimated, "capacity_source": device.capacity_source}


def device_dict(device: Device) -> dict[str, Any]:
    """A device with every number and its source; unknown ones are null."""
    return {
        "id": device.id,
        "name": device.name,
        "vendor": device.vendor or None,
        "class": device.kind,
        "memory": device.memory,
        "memory_bytes": device.memory_bytes,
        "reported_bytes": device.reported_bytes,
        "usable_bytes": device.usable_bytes,
        **capacity_dict(device),
        "bandwidth": device.bandwidth,
        "link": device.link,
        "link_kind": device.link_kind,
        "formats": list(device.formats) or None,
        "year": device.year,
        "aliases": list(device.aliases),
        "sources": device.sources(),
        "note": device.note or None,
    }
