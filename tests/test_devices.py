"""The device catalogue: what it holds, what it understands, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from paramcalc.costs import devices as module
from paramcalc.costs.device_rows import CLASSES, FORMATS, sold_bytes
from paramcalc.costs.devices import Device, devices, find, read_devices
from paramcalc.words.errors import InputError, UsageError

GIB, MIB = 2**30, 2**20
TABLE = Path(module.__file__).with_name("devices.json")


def by_id(name: str) -> Device:
    return next(device for device in devices() if device.id == name)


# ------------------------------------------------------------------ the table


def test_there_are_at_least_eighty_devices_of_every_vendor_that_was_promised() -> None:
    assert len(devices()) >= 80
    assert {device.vendor for device in devices()} == {"nvidia", "amd", "intel", "apple", "google", "aws"}
    assert {device.kind for device in devices()} == set(CLASSES) - {"other"}


def test_ids_are_unique_and_rows_are_sorted_by_vendor_and_name() -> None:
    names = [name for device in devices() for name in (device.id, *device.aliases)]
    assert len(names) == len(set(names))
    order = [(device.vendor, device.name) for device in devices()]
    assert order == sorted(order)


def test_every_row_is_one_line_and_every_reference_of_it_is_used() -> None:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith('  {"id"')]
    assert len(lines) == len(devices())
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    assert {row["arch"] for row in table["devices"]} == set(table["architectures"])
    used = {row[key] for row in table["devices"] for key in ("reported_source", "usable_source") if key in row}
    assert used == set(table["sources"])
    assert all(re.match(r"[a-z]", name) for name in used)


@pytest.mark.parametrize("device", devices(), ids=lambda device: device.id)
def test_every_number_has_a_source_and_none_is_a_default(device: Device) -> None:
    known = {"memory", "bandwidth", "formats", "year"} | {
        name for name in ("reported_bytes", "usable_bytes", "link") if getattr(device, name) is not None
    }
    assert set(device.sources()) == known
    assert all(len(source) > 5 for source in device.sources().values())
    assert device.capacity_source
    assert set(device.formats) <= set(FORMATS)
    assert (device.link is None) == (device.link_kind is None)


@pytest.mark.parametrize("device", devices(), ids=lambda device: device.id)
def test_usable_is_within_reported_is_within_what_was_sold(device: Device) -> None:
    """Google sells 95.74 GiB as 95GB; nobody else rounds down."""
    rounding = GIB if device.id == "tpu-v5p" else 0
    reported = device.reported_bytes or device.memory_bytes + rounding
    assert device.memory_bytes == int(device.memory.removesuffix("GB")) * GIB
    assert reported <= device.memory_bytes + rounding
    assert (device.usable_bytes or 0) <= reported
    # The most that is kept from a process: inline ECC and the driver on cards; macOS leaves two thirds.
    assert device.capacity >= device.memory_bytes * (0.66 if device.kind == "unified" else 0.90)
    assert device.capacity <= reported


@pytest.mark.parametrize("device", devices(), ids=lambda device: device.id)
def test_numbers_are_of_the_right_magnitude(device: Device) -> None:
    assert 10**10 < (device.bandwidth or 0) < 10**13
    assert device.link is None or 10**10 < device.link < device.bandwidth * 1.1  # type: ignore[operator]
    assert 2016 <= (device.year or 0) <= 2026


@pytest.mark.parametrize(
    ("name", "reported", "usable", "bandwidth", "link"),
    [
        # nvidia-smi prints 81559MiB beside `NVIDIA H100 80GB HBM3`; datasheet: 3.35 TB/s, NVLink 900 GB/s
        ("h100-sxm-80gb", 81559 * MIB, 81081 * MIB, 3_350 * 10**9, 900 * 10**9),
        # 24564MiB beside `NVIDIA GeForce RTX 4090`; 384 bits of 21 Gbit/s; PCIe 4.0 x16
        ("rtx-4090", 24564 * MIB, 24177 * MIB, 384 // 8 * 21 * 10**9, 64 * 10**9),
        # 15360MiB beside `Tesla T4`, whose ECC is inline
        ("t4-16gb", 15360 * MIB, 14930 * MIB, 320 * 10**9, 32 * 10**9),
        # rocm-smi --showmeminfo vram; 7 links of 128 GB/s
        ("mi300x", 206_141_652_992, 206_141_652_992, 5_300 * 10**9, 7 * 128 * 10**9),
        # `Used 17.14G of 15.75G hbm`
        ("tpu-v5e", None, 63 * GIB // 4, 819 * 10**9, 400 * 10**9),
        # hw.memsize; recommendedMaxWorkingSetSize = 51539.61 MB
        ("m2-max-64gb", 64 * GIB, 51_539_610_000, 400 * 10**9, None),
    ],
)
def test_figures_that_were_read_are_kept_to_the_byte(
    name: str, reported: int | None, usable: int, bandwidth: int, link: int | None
) -> None:
    device = by_id(name)
    assert (device.reported_bytes, device.usable_bytes, device.bandwidth, device.link) == (reported, usable, bandwidth, link)
    assert (device.capacity, device.estimated) == (usable, False)


def test_formats_follow_the_generations() -> None:
    assert "fp8" not in by_id("a100-sxm-80gb").formats
    assert "fp8" in by_id("h100-sxm-80gb").formats
    assert "int4" not in by_id("h100-sxm-80gb").formats
    assert {"nvfp4", "mxfp4"} <= set(by_id("b200-180gb").formats)
    assert "bf16" not in by_id("t4-16gb").formats
    assert "nvfp4" not in by_id("mi355x").formats


# ------------------------------------------------------------------ estimates


def test_an_unknown_usable_size_is_estimated_from_the_nearest_measured_kin() -> None:
    """L40, L40S and A40 report the same 46068 MiB; of the two that were measured, the A40 keeps more: 45416 MiB are left."""
    device = by_id("l40-48gb")
    assert device.usable_bytes is None
    assert device.estimated
    assert device.capacity == 45416 * MIB
    assert "a40-48gb" in device.capacity_source


def test_a_mac_of_a_size_nobody_measured_gets_the_share_of_the_nearest_one() -> None:
    """macOS lends two thirds of 16 GB, and three quarters of 128 GB (rounded to pages, printed in MB)."""
    assert by_id("m3-pro-18gb").capacity == pytest.approx(18 * GIB * 2 / 3, rel=1e-4)
    assert by_id("m2-ultra-192gb").capacity == pytest.approx(192 * GIB * 3 / 4, rel=1e-4)


def test_a_shared_memory_is_estimated_from_shared_memories_of_other_vendors() -> None:
    """No AMD one was measured; of the others of 128 GB a Mac leaves least, three quarters."""
    assert by_id("ryzen-ai-max-395-128gb").capacity == pytest.approx(96 * GIB, rel=1e-4)


def test_a_device_sold_for_less_than_it_holds_is_no_model_for_others() -> None:
    assert "tpu-v5p" not in {word for device in devices() for word in device.capacity_source.split()}
    assert by_id("tpu7x").capacity < 96 * GIB


def test_no_estimate_is_called_measured() -> None:
    for device in devices():
        assert device.estimated == (device.usable_bytes is None)
        assert device.capacity_source.startswith("estimate") == device.estimated


# ------------------------------------------------------------------ names

UNDERSTOOD = {
    "rtx-4090": ("rtx-4090", 1),
    "RTX 4090": ("rtx-4090", 1),
    "rtx4090": ("rtx-4090", 1),
    "4090": ("rtx-4090", 1),
    "  NVIDIA GeForce RTX 4090 ": ("rtx-4090", 1),
    "RTX_4090_24GB": ("rtx-4090", 1),
    "4090 D": ("rtx-4090-d", 1),
    "RTX 4090 Laptop GPU": ("rtx-4090-laptop", 1),
    "H100": ("h100-sxm-80gb", 1),
    "8xH100": ("h100-sxm-80gb", 8),
    "8XH100": ("h100-sxm-80gb", 8),
    "8 x H100": ("h100-sxm-80gb", 8),
    "8*h100": ("h100-sxm-80gb", 8),
    "8×H100": ("h100-sxm-80gb", 8),
    "h100x8": ("h100-sxm-80gb", 8),
    "H100 x 8": ("h100-sxm-80gb", 8),
    "2x RTX 4090": ("rtx-4090", 2),
    "h100 pcie": ("h100-pcie-80gb", 1),
    "H100 NVL": ("h100-nvl-94gb", 1),
    "A100 80GB": ("a100-sxm-80gb", 1),
    "a100-pcie-40gb": ("a100-pcie-40gb", 1),
    "NVIDIA A100-SXM4-80GB": ("a100-sxm-80gb", 1),
    "NVIDIA A100 80GB PCIe": ("a100-pcie-80gb", 1),
    "NVIDIA H100 80GB HBM3": ("h100-sxm-80gb", 1),
    "Tesla T4": ("t4-16gb", 1),
    "Tesla V100-SXM2-32GB": ("v100-sxm2-32gb", 1),
    "NVIDIA RTX 6000 Ada Generation": ("rtx-6000-ada", 1),
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": ("rtx-pro-6000", 1),
    "a6000": ("rtx-a6000", 1),
    "3060": ("rtx-3060-12gb", 1),
    "4060ti-16gb": ("rtx-4060-ti-16gb", 1),
    "mi300x": ("mi300x", 1),
    "MI300X x 8": ("mi300x", 8),
    "7900 XTX": ("rx-7900-xtx", 1),
    "AMD Radeon RX 7900 XT": ("rx-7900-xt", 1),
    "Intel(R) Arc(TM) A770 Graphics": ("arc-a770-16gb", 1),
    "M3 Max 128GB": ("m3-max-128gb", 1),
    "Apple M4 Pro, 48GB": ("m4-pro-48gb", 1),
    "TPU v5e": ("tpu-v5e", 1),
    "trn2": ("trainium2", 1),
    "4x24GB": ("24gb", 4),
    "80GB x 2": ("80gb", 2),
}


@pytest.mark.parametrize(("text", "expected"), UNDERSTOOD.items(), ids=list(UNDERSTOOD))
def test_what_people_type_is_understood(text: str, expected: tuple[str, int]) -> None:
    device, count = find(text)
    assert (device.id, count) == expected


@pytest.mark.parametrize("device", devices(), ids=lambda device: device.id)
def test_every_id_alias_and_name_finds_its_device_alone_and_counted(device: Device) -> None:
    for name in (device.id, device.name, *device.aliases):
        assert find(name) == (device, 1)
        assert find(f"3x{name}") == (device, 3)
        assert find(f"{name} x 16") == (device, 16)


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("a100", {"a100-pcie-40gb", "a100-pcie-80gb", "a100-sxm-40gb", "a100-sxm-80gb"}),
        ("A100 SXM", {"a100-sxm-40gb", "a100-sxm-80gb"}),
        ("RTX 3080", {"rtx-3080-10gb", "rtx-3080-12gb"}),
        ("4060 Ti", {"rtx-4060-ti-8gb", "rtx-4060-ti-16gb"}),
        ("rtx 6000", {"quadro-rtx-6000", "rtx-6000-ada", "rtx-pro-6000"}),
        ("m4 max", {"m4-max-36gb", "m4-max-48gb", "m4-max-64gb", "m4-max-128gb"}),
        ("8xV100", {"v100-pcie-16gb", "v100-pcie-32gb", "v100-sxm2-16gb", "v100-sxm2-32gb"}),
    ],
)
def test_an_ambiguous_name_lists_exactly_its_candidates(text: str, candidates: set[str]) -> None:
    with pytest.raises(UsageError, match="may be any of") as caught:
        find(text)
    listed = caught.value.problems[0].message.partition("any of ")[2]
    assert set(listed.split(", ")) == candidates


@pytest.mark.parametrize(
    ("text", "near"), [("rtx-4099", "rtx-4090"), ("h10O", "h100"), ("mi300", "mi300x"), ("rx 7900 xtxx", "rx-7900-xtx")]
)
def test_an_unknown_name_gets_the_nearest_ones(text: str, near: str) -> None:
    with pytest.raises(UsageError, match="no device is called") as caught:
        find(text)
    assert near in caught.value.problems[0].hint


def test_the_reading_of_plain_h100_is_said() -> None:
    assert "h100-pcie-80gb" in find("h100")[0].note


@pytest.mark.parametrize("text", ["0xH100", "-2xH100", "+2xH100", "h100x0", "1.5xH100", "h100 x 2.0", "9999999xH100", "٣xH100"])
def test_a_count_that_is_no_positive_whole_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected between 1 and"):
        find(text)


@pytest.mark.parametrize("text", ["24", "24GX", "24kb", "24 GBit", "24Gi", "24.5", "٢٤GB"])
def test_a_size_without_a_known_unit_is_refused_with_the_units(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(text)
    assert "24GB" in caught.value.problems[0].hint


@pytest.mark.parametrize("text", ["", " ", "x", "8x", "x8", "ti", "xtx", "24GB GiB", "24GB 24GiB", "2x3x24GB", "💥", "h100 h100x"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        find(text)


def test_a_hostile_text_is_refused_in_one_short_line() -> None:
    with pytest.raises(UsageError) as caught:
        find("8x" * 100_000)
    assert len(str(caught.value)) < 300
    with pytest.raises(UsageError):
        find("8xh100" + " " * 300 + "junk")


# ------------------------------------------------------------------ bare sizes


def test_a_size_in_gib_is_exact() -> None:
    device, _ = find("24GiB")
    assert (device.capacity, device.estimated) == (24 * GIB, False)
    assert find("24576MiB")[0].capacity == 24 * GIB
    assert find("16.5 GiB")[0].capacity == 33 * GIB // 2


def test_a_size_in_gb_is_a_card_sold_by_it() -> None:
    """Of the measured 24GB cards without inline ECC the RTX 3090 Ti leaves least: 24110 MiB."""
    device, _ = find("24 gb")
    assert device.memory_bytes == 24 * GIB
    assert (device.capacity, device.estimated) == (24110 * MIB, True)
    assert "rtx-3090-ti" in device.capacity_source


@pytest.mark.parametrize("text", ["0GB", "0GiB", "0.0GiB", "999999999TB"])
def test_a_size_of_nothing_or_of_too_much_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="above 0 and up to 1 PiB"):
        find(text)


def test_sizes_grow_with_their_number() -> None:
    capacities = [find(f"{size}GB")[0].capacity for size in range(1, 300)]
    assert all(0 < capacity < size * GIB for size, capacity in enumerate(capacities, 1))
    assert sold_bytes("1TB") == 1024 * GIB


# ------------------------------------------------------------------ a user's devices

OWN = {"id": "lab-card", "name": "Lab Card 40GB", "memory": "40GB", "aliases": ["lab-1"], "bandwidth": "1.2 TB/s"}


def test_a_users_device_is_read_found_and_wins_over_the_catalogue() -> None:
    own = read_devices([OWN, {"id": "h100", "memory": "96GB", "usable": 95 * GIB, "formats": ["fp8"]}], "gpus.yaml")
    assert own[0].bandwidth == 1_200 * 10**9
    assert own[0].source == "given in gpus.yaml"
    assert own[0].estimated
    assert find("2x lab card", own) == (own[0], 2)
    assert find("LAB-1", own) == (own[0], 1)
    assert find("h100", own) == (own[1], 1)
    assert own[1].capacity == 95 * GIB
    assert own[1].sources()["formats"] == "given in gpus.yaml"
    assert find("h100-pcie-80gb", own)[0].memory == "80GB"


def test_a_document_may_hold_the_rows_under_devices() -> None:
    assert read_devices({"devices": [OWN]}) == read_devices([OWN])
    assert read_devices([]) == ()


def test_a_user_may_write_the_columns_of_the_catalogue() -> None:
    row = next(row for row in json.loads(TABLE.read_text(encoding="utf-8"))["devices"] if row["id"] == "rtx-4090")
    assert read_devices([row])[0] == by_id("rtx-4090")


def test_null_is_unknown() -> None:
    assert read_devices([{**OWN, "year": None, "usable": None}]) == read_devices([OWN])


@pytest.mark.parametrize(
    ("change", "place", "says"),
    [
        ({"id": None}, "gpus.yaml: devices[0]", "id is missing"),
        ({"memory": None}, "gpus.yaml: devices[0]", "memory is missing"),
        ({"memory": 40}, "gpus.yaml: devices[0].memory", "with its unit, got 40"),
        ({"memory": "40"}, "gpus.yaml: devices[0].memory", "with its unit, got '40'"),
        ({"memory": "0GB"}, "gpus.yaml: devices[0].memory", "with its unit, got '0GB'"),
        ({"id": "Lab Card"}, "gpus.yaml: devices[0].id", "joined by hyphens"),
        ({"id": "24gb"}, "gpus.yaml: devices[0].id", "reads as a size"),
        ({"id": "4090"}, "gpus.yaml: devices[0].id", "joined by hyphens"),
        ({"aliases": "lab"}, "gpus.yaml: devices[0].aliases", "a list of names"),
        ({"reported": "41 GiB GiB"}, "gpus.yaml: devices[0].reported", "bytes with a unit"),
        ({"reported": -1}, "gpus.yaml: devices[0].reported", "whole bytes"),
        ({"reported": True}, "gpus.yaml: devices[0].reported", "whole bytes"),
        ({"reported": "48 GiB"}, "gpus.yaml: devices[0].reported", "more than its memory"),
        ({"reported": "39 GiB", "usable": "40 GiB"}, "gpus.yaml: devices[0].usable", "more than its reported"),
        ({"bandwidth": "1008 GB"}, "gpus.yaml: devices[0].bandwidth", "a rate with its unit"),
        ({"bandwidth": "fast/s"}, "gpus.yaml: devices[0].bandwidth", "a rate with its unit"),
        ({"bandwidth": 1.5}, "gpus.yaml: devices[0].bandwidth", "bytes a second"),
        ({"bandwidth": float("nan")}, "gpus.yaml: devices[0].bandwidth", "bytes a second"),
        ({"formats": ["fp7"]}, "gpus.yaml: devices[0].formats", "'fp7' is no format"),
        ({"arch": "hoper"}, "gpus.yaml: devices[0].arch", "is no architecture"),
        ({"arch": "hopper", "formats": ["fp8"]}, "gpus.yaml: devices[0].formats", "exclude each other"),
        ({"class": "gaming"}, "gpus.yaml: devices[0].class", "is no class"),
        ({"year": "2024"}, "gpus.yaml: devices[0].year", "expected a year"),
        ({"note": "two\nlines"}, "gpus.yaml: devices[0].note", "one line of text"),
        ({"name": "\x1b[31mred"}, "gpus.yaml: devices[0].name", "one line of text"),
        ({"bandwith": 1}, "gpus.yaml: devices[0].bandwith", "not a column"),
        ({7: 1}, "gpus.yaml: devices[0].7", "not a column"),
    ],
)
def test_a_wrong_value_names_the_row_and_the_column(change: dict[str, object], place: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_devices([{**OWN, **change}], "gpus.yaml")
    assert [problem.place for problem in caught.value.problems] == [place]
    assert says in caught.value.problems[0].message


def test_a_misspelt_column_gets_the_nearest_one() -> None:
    with pytest.raises(InputError) as caught:
        read_devices([{**OWN, "bandwith": "1 TB/s"}])
    assert "did you mean bandwidth" in caught.value.problems[0].hint


def test_all_problems_of_all_rows_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        read_devices([{"id": "a b", "memory": 1}, "h100", {**OWN, "year": 3}])
    places = [problem.place for problem in caught.value.problems]
    assert places == ["devices: devices[0].id", "devices: devices[0].memory", "devices: devices[1]", "devices: devices[2].year"]


def test_two_of_a_users_devices_may_not_share_a_name() -> None:
    with pytest.raises(InputError, match="'lab-1' is taken"):
        read_devices([OWN, {"id": "lab-1", "memory": "8GB"}])


@pytest.mark.parametrize("document", [None, 3, "h100", {"devices": None}, {"devices": {}}, {"device": []}, {}, b"x"])
def test_a_document_of_another_shape_is_refused(document: object) -> None:
    with pytest.raises(InputError):
        read_devices(document)


def test_a_document_of_too_many_rows_is_refused() -> None:
    with pytest.raises(InputError, match="at most 10000"):
        read_devices([OWN] * 10_001)
