"""Forms of attention that references differ in, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.holdings.inventory import inventory
from paramcalc.model.rows import Row
from paramcalc.model.tree import architecture_from


def rows(**fields: object) -> dict[str, Row]:
    part = {"kind": "attention", "heads": 6, "kv_heads": 3, "head_dim": 5, **fields}
    found = inventory(architecture_from({"name": "x", "width": 7, "parts": {"attention": part}}))
    return {row.name.removeprefix("attention."): row for row in found}


@pytest.mark.parametrize(
    ("form", "query", "key"),
    [
        ("head", ((5,), 1), ((5,), 1)),
        ("heads", ((6, 5), 1), ((3, 5), 1)),
        ("each", ((5,), 6), ((5,), 3)),
        ("full", ((6 * 5,), 1), ((3 * 5,), 1)),
    ],
)
def test_queries_and_keys_are_normed_in_four_forms(form: str, query: tuple[object, int], key: tuple[object, int]) -> None:
    found = rows(qk_norm=form)
    assert (found["q_norm.weight"].shape, found["q_norm.weight"].repeat) == query
    assert (found["k_norm.weight"].shape, found["k_norm.weight"].repeat) == key


def test_an_output_gate_has_all_dims_or_one_number_a_head() -> None:
    assert rows(gate_proj="full")["gate_proj.weight"].shape == (6 * 5, 7)
    assert rows(gate_proj="head")["gate_proj.weight"].shape == (6, 7)


def test_the_output_projection_may_read_another_width_than_the_heads_come_to() -> None:
    assert rows(o_inputs=7)["o_proj.weight"].shape == (7, 7)


def test_queries_may_be_made_elsewhere() -> None:
    assert set(rows(queries=False, output=False)) == {"k_proj.weight", "v_proj.weight"}
