"""The screens of `gpus`."""

from __future__ import annotations

from collections.abc import Sequence

from paramcalc.costs.device_rows import Device
from paramcalc.face.render.view import Column, Table, View
from paramcalc.words.units import bytes_text

GIGA = 10**9


def catalogue_view(devices: Sequence[Device]) -> View:
    """One row a device: what it is sold by, what a process may use of it, how fast it moves bytes."""
    columns = [
        Column("gpu"),
        Column("vendor"),
        Column("sold as"),
        Column("usable", "bytes"),
        Column("est."),
        Column("GB/s", "count"),
        Column("link", "count"),
        Column("year"),
    ]
    rows = [
        [
            device.id,
            device.vendor or None,
            device.memory,
            device.capacity,
            "≈" if device.estimated else "",
            _giga(device.bandwidth),
            _giga(device.link),
            device.year,
        ]
        for device in devices
    ]
    notes = [
        "usable: bytes that a process may take; ≈ is estimated from the nearest device that was measured",
        "GB/s: peak bandwidth of the memory; link: to other devices, both directions summed; 1 GB/s is 10^9 bytes/s",
        "paramcalc gpus NAME shows the source of each number",
    ]
    return View(f"{len(devices)} devices", [Table(columns, rows)], notes=notes)


def device_view(device: Device) -> View:
    """Everything that is known of one device, and who says so."""
    sources = device.sources()
    figures: list[tuple[str, str | None, str]] = [
        ("vendor", device.vendor or None, ""),
        ("class", device.kind, ""),
        ("sold as", device.memory, sources.get("memory", "")),
        ("reported by the driver", _bytes(device.reported_bytes), sources.get("reported_bytes", "")),
        ("usable by a process", f"{'≈ ' if device.estimated else ''}{_bytes(device.capacity)}", device.capacity_source),
        ("memory bandwidth", _rate(device.bandwidth), sources.get("bandwidth", "")),
        ("link bandwidth", _link(device), sources.get("link", "")),
        ("formats in hardware", ", ".join(device.formats) or None, sources.get("formats", "")),
        ("year", str(device.year) if device.year else None, sources.get("year", "")),
        ("also called", ", ".join(device.aliases) or None, ""),
    ]
    rows = [list(figure) for figure in figures if figure[0] != "also called" or figure[1]]
    head = f"{device.name} · {device.capacity:,} bytes usable ({bytes_text(device.capacity)}{', estimated' if device.estimated else ''})"
    return View(head, [Table([Column("figure"), Column("value"), Column("source")], rows)], device.id, [device.note] if device.note else [])


def _giga(rate: int | None) -> float | None:
    if rate is None:
        return None
    return rate // GIGA if rate % GIGA == 0 else round(rate / GIGA, 1)


def _bytes(size: int | None) -> str | None:
    return None if size is None else f"{size:,} B ({bytes_text(size)})"


def _rate(rate: int | None) -> str | None:
    return None if rate is None else f"{_giga(rate):,} GB/s"


def _link(device: Device) -> str | None:
    return None if device.link is None else f"{_rate(device.link)} ({device.link_kind})"
