"""Parallel residual streams, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.inventory import inventory
from paramcalc.model.tree import architecture_from

# maps are what goes in (3), what comes out (3) and how three streams mix (3 × 3)
MAPS = {"in": (3, 1), "in_out": (3 + 3, 2), "in_out_mix": (3 + 3 + 3 * 3, 3)}


@pytest.mark.parametrize("sorts", MAPS)
def test_every_map_reads_all_streams_side_by_side(sorts: str) -> None:
    maps, scales = MAPS[sorts]
    part = {"kind": "hyper_connection", "streams": 3, "maps": sorts}
    rows = inventory(architecture_from({"name": "x", "width": 5, "parts": {"mix": part}}))
    assert [(row.name, row.shape) for row in rows] == [("mix.fn", (maps, 3 * 5)), ("mix.base", (maps,)), ("mix.scale", (scales,))]
