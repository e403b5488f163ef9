"""Attention whose one key is its one value, in closed form."""

from __future__ import annotations

from paramcalc.holdings.inventory import caches, inventory
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(**fields: object) -> Architecture:
    part = {"kind": "shared_kv", "heads": 6, "head_dim": 5, "q_rank": 11, "o_rank": 13, **fields}
    return architecture_from({"name": "x", "width": 7, "parts": {"attention": part}})


def test_queries_and_output_have_a_low_rank_and_the_output_one_for_each_group() -> None:
    shapes = {row.name.removeprefix("attention."): row.shape for row in inventory(model(groups=2))}
    assert shapes == {
        "q_a_proj.weight": (11, 7),
        "q_a_norm.weight": (11,),
        "q_b_proj.weight": (6 * 5, 11),
        "kv_proj.weight": (5, 7),
        "kv_norm.weight": (5,),
        "o_a_proj.weight": (2 * 13, 6 * 5 // 2),
        "o_b_proj.weight": (7, 2 * 13),
        "sinks": (6,),
    }


def test_key_and_value_are_remembered_once() -> None:
    assert [(row.shape, row.window) for row in caches(model(window=9))] == [((5,), 9)]
