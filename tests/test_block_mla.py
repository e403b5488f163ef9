"""Latent attention, in closed form."""

from __future__ import annotations

from paramcalc.holdings.inventory import caches, inventory
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(**fields: object) -> Architecture:
    part = {"kind": "mla", "heads": 3, "kv_rank": 11, "nope_dim": 5, "rope_dim": 2, "v_dim": 4, **fields}
    return architecture_from({"name": "x", "width": 7, "parts": {"attention": part}})


def shapes(**fields: object) -> dict[str, tuple[int, ...]]:
    return {row.name.removeprefix("attention."): row.shape for row in inventory(model(**fields))}


def test_keys_and_values_are_expanded_from_one_latent() -> None:
    assert shapes() == {
        "q_proj.weight": (3 * (5 + 2), 7),
        "kv_a_proj_with_mqa.weight": (11 + 2, 7),
        "kv_a_layernorm.weight": (11,),
        "kv_b_proj.weight": (3 * (5 + 4), 11),
        "o_proj.weight": (7, 3 * 4),
    }


def test_queries_may_pass_a_latent_of_their_own() -> None:
    found = shapes(q_rank=13)
    assert found["q_a_proj.weight"] == (13, 7)
    assert found["q_b_proj.weight"] == (3 * (5 + 2), 13)
    assert "q_proj.weight" not in found


def test_a_gate_fused_with_the_queries_reads_two_latents() -> None:
    assert shapes(q_rank=13, q_gate=True)["q_gate_proj.weight"] == (3 * (5 + 2 + 4), 2 * 13)


def test_a_gate_of_its_own_has_all_dims_or_one_a_head() -> None:
    assert shapes(gate_proj="full")["gate_proj.weight"] == (3 * 4, 7)
    assert shapes(gate_proj="head")["gate_proj.weight"] == (3, 7)


def test_the_rotary_key_may_have_a_norm_and_heads_sinks() -> None:
    assert (shapes(rope_norm=True)["k_rope_norm.weight"], shapes(sinks=True)["sinks"]) == ((2,), (3,))


def test_it_remembers_the_latent_and_the_rotary_key() -> None:
    rows = caches(model(window=9))
    assert [(row.name, row.shape, row.expanded, row.window) for row in rows] == [
        ("latent", (11,), (3, 5 + 4), 9),
        ("rope_key", (2,), (3, 2), 9),
    ]


def test_without_a_rotary_key_the_latent_is_all_that_is_made_and_kept() -> None:
    assert shapes(rope_dim=0)["kv_a_proj_with_mqa.weight"] == (11, 7)
    assert shapes(rope_dim=0)["q_proj.weight"] == (3 * 5, 7)
    assert [row.shape for row in caches(model(rope_dim=0))] == [(11,)]


def test_a_layer_that_reuses_a_latent_makes_and_keeps_none() -> None:
    found = shapes(reuses=True)
    assert set(found) == {"q_proj.weight", "kv_b_proj.weight", "o_proj.weight"}
    assert not list(caches(model(reuses=True)))
