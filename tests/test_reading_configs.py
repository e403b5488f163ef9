"""How a config.json is read: the names of its keys, and what its class takes where it is silent."""

from __future__ import annotations

import paramcalc

DEEPSEEK = {"model_type": "deepseek_v3", "num_hidden_layers": 4, "num_local_experts": 6, "num_experts_per_tok": 2}


def test_a_size_may_stand_under_any_name_that_the_class_takes() -> None:
    aliased = paramcalc.count(DEEPSEEK)
    named = paramcalc.count({key.replace("num_local_experts", "n_routed_experts"): value for key, value in DEEPSEEK.items()})
    assert aliased.total == named.total


def test_of_two_names_of_one_key_the_reference_takes_the_alias() -> None:
    model = paramcalc.load(DEEPSEEK | {"n_routed_experts": 8})
    assert paramcalc.count(model).total == paramcalc.count(DEEPSEEK).total
    assert any("n_routed_experts says 8, but num_local_experts says 6" in warning for warning in model.origin.warnings)


def test_what_a_class_sets_for_a_part_holds_where_the_part_is_given_in_part() -> None:
    whole = paramcalc.count({"model_type": "voxtral", "architectures": ["VoxtralForConditionalGeneration"]})
    part = paramcalc.count(
        {"model_type": "voxtral", "architectures": ["VoxtralForConditionalGeneration"], "text_config": {"vocab_size": 131072}}
    )
    assert whole.total == part.total
    rows = {row.name: row.shape for row in whole.rows}
    assert rows["model.language_model.layers.{}.self_attn.q_proj.weight"] == (32 * 128, 3072)
