"""Pooling."""

from __future__ import annotations

from paramcalc.holdings.inventory import inventory
from paramcalc.model.tree import architecture_from


def test_pooling_holds_nothing() -> None:
    parts = {"pool": {"kind": "pooling", "kernel": 2}, "mean": {"kind": "pooling", "type": "global"}}
    assert inventory(architecture_from({"name": "x", "parts": parts})) == []
