"""paramcalc gpus: the list, one device with its sources, a user's own file, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from conftest import Run

from paramcalc.costs.devices import devices


def test_the_list_has_every_device_with_what_a_process_may_use(run: Run) -> None:
    found = json.loads(run("gpus", "-f", "json").stdout)
    assert found["schema"] == "paramcalc/gpus/1"
    assert list(found)[-1] == "warnings"
    assert [row["id"] for row in found["gpus"]] == [device.id for device in devices()]
    assert all(0 < row["capacity"] <= row["memory_bytes"] + 2**30 for row in found["gpus"])


def test_a_size_that_nobody_read_is_null_and_the_estimate_says_so(run: Run) -> None:
    rows = json.loads(run("gpus", "-f", "json").stdout)["gpus"]
    unread = [row for row in rows if row["usable_bytes"] is None]
    assert unread
    assert all(row["estimated"] and row["capacity_source"].startswith("estimate") for row in unread)
    assert not any(row["estimated"] for row in rows if row["usable_bytes"])


def test_every_known_number_of_a_device_has_a_source(run: Run) -> None:
    (row,) = json.loads(run("gpus", "rtx 4090", "-f", "json").stdout)["gpus"]
    numbers = ("reported_bytes", "usable_bytes", "bandwidth", "link", "formats", "year")
    assert row["id"] == "rtx-4090"
    assert set(row["sources"]) == {"memory", *(name for name in numbers if row[name] is not None)}


def test_vendor_and_class_narrow_the_list(run: Run) -> None:
    rows = json.loads(run("gpus", "--vendor", "Apple", "--class", "unified", "-f", "json").stdout)["gpus"]
    assert {row["vendor"] for row in rows} == {"apple"}
    assert json.loads(run("gpus", "--class", "tpu", "-f", "json").stdout)["gpus"][0]["vendor"] == "google"


def test_csv_has_one_line_a_device(run: Run) -> None:
    lines = list(csv.DictReader(io.StringIO(run("gpus", "-f", "csv").stdout)))
    assert len(lines) == len(devices())
    assert int(next(line for line in lines if line["gpu"] == "h100-sxm-80gb")["usable"]) > 79 * 2**30


def test_a_table_is_at_most_80_columns(run: Run) -> None:
    for arguments in (["gpus"], ["gpus", "mi250"], ["gpus", "24GB"]):
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
        assert max(map(len, done.stdout.splitlines())) <= 80


def test_markdown_is_a_table(run: Run) -> None:
    text = run("gpus", "--class", "trainium", "-f", "markdown").stdout
    assert "| gpu | vendor | sold as |" in text


def test_a_users_own_device_stands_in_front_and_wins(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("devices:\n- {id: lab-card, memory: 24GB, usable: 24000 MiB}\n- {id: h100, memory: 64GB}\n")
    rows = json.loads(run("gpus", "--catalogue", own, "-f", "json").stdout)["gpus"]
    assert [row["id"] for row in rows[:2]] == ["lab-card", "h100"]
    (mine,) = json.loads(run("gpus", "lab-card", "--catalogue", own, "-f", "json").stdout)["gpus"]
    assert mine["capacity"] == 24000 * 2**20
    (h100,) = json.loads(run("gpus", "H100", "--gpus", own, "-f", "json").stdout)["gpus"]
    assert h100["memory"] == "64GB"


def test_a_broken_file_names_every_row(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("- {id: a-card, memory: 24}\n- {id: other, memory: 24GB, bandwith: 3 GB/s}\n")
    done = run("gpus", "--catalogue", own)
    assert done.returncode == 3
    assert "devices[0].memory" in done.stderr
    assert "did you mean bandwidth?" in done.stderr


def test_what_cannot_be_meant_is_refused_with_the_nearest_names(run: Run, tmp_path: Path) -> None:
    for arguments, message in (
        (["h10"], "did you mean h100"),
        (["0xH100"], "between 1 and 1,000,000 devices"),
        (["24"], "24GB for a card sold by that size"),
        (["8xh100x8"], "no device is called"),
        (["--vendor", "nvida"], "did you mean nvidia?"),
        (["--class", "consumers"], "did you mean consumer?"),
    ):
        done = run("gpus", *arguments)
        assert done.returncode == 2, arguments
        assert message in done.stderr, arguments
        assert "Traceback" not in done.stderr
    assert run("gpus", "--catalogue", tmp_path / "none.yaml").returncode == 4
