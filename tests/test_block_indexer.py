"""The scorer of sparse attention, in closed form."""

from __future__ import annotations

from paramcalc.holdings.inventory import caches, inventory
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(**fields: object) -> Architecture:
    part = {"kind": "indexer", "heads": 3, "head_dim": 5, **fields}
    return architecture_from({"name": "x", "width": 7, "parts": {"indexer": part}})


def shapes(**fields: object) -> dict[str, tuple[int, ...]]:
    return {row.name.removeprefix("indexer."): row.shape for row in inventory(model(**fields))}


def test_queries_come_from_a_latent_and_keys_from_the_stream() -> None:
    assert shapes(q_inputs=11) == {
        "q_proj.weight": (3 * 5, 11),
        "k_proj.weight": (5, 7),
        "k_norm.weight": (5,),
        "k_norm.bias": (5,),
        "weights_proj.weight": (3, 7),
    }


def test_both_may_have_an_rms_norm_and_heads_may_count_alike() -> None:
    assert shapes(key_norm="rms", query_norm=True, weights=False) == {
        "q_proj.weight": (3 * 5, 7),
        "q_norm.weight": (5,),
        "k_proj.weight": (5, 7),
        "k_norm.weight": (5,),
    }


def test_it_remembers_one_small_key_a_token() -> None:
    assert [(row.name, row.shape, row.per) for row in caches(model())] == [("index_key", (5,), "token")]


def test_without_keys_of_its_own_it_remembers_nothing() -> None:
    assert caches(model(keys=False)) == []
    assert set(shapes(keys=False)) == {"q_proj.weight", "weights_proj.weight"}


def test_pooled_keys_need_gates_and_positions_within_the_pool_and_what_they_are_made_from_is_remembered() -> None:
    added = {name: shape for name, shape in shapes(pool=4).items() if name.startswith("pool")}
    assert added == {"pool_position": (4, 5), "pool_gate": (5, 7)}
    assert [row.shape for row in caches(model(pool=4))] == [(5 + 5 + 1,)]
