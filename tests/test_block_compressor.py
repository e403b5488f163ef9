"""Runs of tokens compressed into one entry, in closed form."""

from __future__ import annotations

from paramcalc.holdings.inventory import caches, inventory
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(**fields: object) -> Architecture:
    part = {"kind": "compressor", "rate": 4, "head_dim": 5, **fields}
    return architecture_from({"name": "x", "width": 7, "parts": {"past": part}})


def test_a_place_in_the_run_has_a_bias_for_every_dim() -> None:
    rows = {row.name.removeprefix("past."): (row.shape, row.kind) for row in inventory(model())}
    assert rows == {
        "kv_proj.weight": ((5, 7), "weight"),
        "gate_proj.weight": ((5, 7), "weight"),
        "position_bias": ((4, 5), "bias"),
        "kv_norm.weight": ((5,), "weight"),
    }


def test_an_overlap_doubles_the_maps_but_not_the_norm() -> None:
    single, double = (sum(row.total for row in inventory(model(overlap=overlap))) for overlap in (False, True))
    assert double - 5 == 2 * (single - 5)


def test_it_remembers_one_entry_a_run() -> None:
    compressed, open_run, overlap = caches(model(overlap=True))
    assert (compressed.name, compressed.shape, compressed.every) == ("compressed_key", (5,), 4)
    assert (open_run.shape, open_run.every, open_run.rest) == ((2, 10), 4, True)
    assert (overlap.shape, overlap.per) == ((4, 2, 5), "sequence")
