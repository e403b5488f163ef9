"""Verdicts: a limit against a value, to the very parameter and byte."""

from __future__ import annotations

from typing import Any

import pytest

import paramcalc
from paramcalc.costs.budgets import limits_from
from paramcalc.costs.devices import find
from paramcalc.costs.verdicts import Before, Verdict, judge
from paramcalc.holdings.differences import figures_of
from paramcalc.words.errors import InputError, UsageError

SMALL: dict[str, Any] = {
    "family": "llama", "vocab_size": 11, "hidden_size": 6, "layers": 2, "heads": 3, "kv_heads": 1, "intermediate_size": 5,
    "context": 7,
}  # fmt: skip
SPARSE = {"family": "mixtral", "num_experts": 4, "num_experts_per_tok": 2} | {key: SMALL[key] for key in SMALL if key != "family"}
TABLE, LAYER = 11 * 6, 2 * 6 * 6 + 2 * 6 * 2 + 3 * 6 * 5 + 2 * 6
TOTAL = 2 * TABLE + 2 * LAYER + 6


def verdict(model: dict[str, Any] = SMALL, **limits: Any) -> Verdict:
    (found,) = judge(paramcalc.count(model), limits_from(limits))
    return found


def test_a_value_equal_to_its_limit_is_within_it_and_one_more_is_a_breach() -> None:
    assert (verdict(max_params=TOTAL).breached, verdict(max_params=TOTAL).excess) == (False, 0)
    assert (verdict(max_params=TOTAL - 1).breached, verdict(max_params=TOTAL - 1).excess) == (True, 1)


def test_each_limit_measures_what_its_name_says() -> None:
    assert verdict(max_params=1).value == TOTAL
    assert verdict(max_embeddings=1).value == TABLE
    assert verdict(max_trainable=1).value == TOTAL
    experts = 2 * 4 * 3 * 6 * 5
    sparse = paramcalc.count(SPARSE).total
    assert verdict(SPARSE, max_params=1).value == sparse
    assert verdict(SPARSE, max_active=1).value == sparse - experts // 2


def test_the_largest_part_is_that_of_what_is_measured() -> None:
    parts = {name: verdict(SPARSE, **{name: 1}).largest for name in ("max_params", "max_active", "max_embeddings")}
    assert {name: part and part[:2] for name, part in parts.items()} == {
        "max_params": ("experts", 2 * 4 * 3 * 6 * 5),
        "max_active": ("experts", 2 * 2 * 3 * 6 * 5),
        "max_embeddings": ("embedding", TABLE),
    }


def test_trainable_parameters_are_those_of_the_method_that_the_budget_states() -> None:
    found = verdict(max_trainable=1, training={"method": "lora", "lora_r": 2, "lora_targets": "q_proj,v_proj"})
    assert found.value == 2 * (2 * (6 + 6) + 2 * (6 + 2))
    assert found.largest is not None
    assert found.largest.name == "adapters"


@pytest.mark.parametrize(("kind", "limit"), [("inference", "max_inference"), ("training", "max_training")])
def test_a_limit_on_memory_holds_what_the_plan_of_these_settings_says(kind: str, limit: str) -> None:
    settings = {"inference": {"context": 5, "batch_size": 3}, "training": {"seq_len": 5, "batch_size": 3}}[kind]
    plan = (paramcalc.infer if kind == "inference" else paramcalc.train)(SMALL, **settings)
    found = verdict(**{limit: f"{plan.total - 1} B", kind: settings})
    assert (found.value, found.excess) == (plan.total, 1)
    assert found.largest is not None
    assert found.largest.total == max(term.bytes for term in plan.terms)


def test_a_device_is_a_limit_of_what_a_process_may_use_of_it() -> None:
    card, _ = find("4090")
    found = verdict(fits="4090")
    assert (found.limit, found.unit, found.breached) == (card.capacity, "bytes", False)
    assert "RTX 4090" in found.note
    assert verdict(trains_on="16 GiB").limit == 16 * 2**30


def test_a_limit_inside_of_the_estimate_s_band_holds_and_says_so() -> None:
    plan = paramcalc.infer(SMALL)
    assert plan.total < plan.high
    inside, above = (verdict(max_inference=f"{limit} B") for limit in (plan.total, plan.high))
    assert (inside.breached, "it may take up to" in inside.note) == (False, True)
    assert (above.breached, above.note) == (False, "")


def test_several_devices_need_settings_that_use_them() -> None:
    assert not verdict(SMALL | {"kv_heads": 3, "intermediate_size": 6, "vocab_size": 12}, fits="3xH100", inference={"tp": 3}).breached
    with pytest.raises(UsageError, match="divide it among 1, not 3"):
        verdict(fits="3xH100")


def test_growth_is_allowed_up_to_the_very_parameter() -> None:
    after = paramcalc.count(SMALL)
    before = figures_of(after)._replace(total=500)
    for text, allowed in (("0%", 500), ("1%", 505), ("0.3%", 501)):
        (found,) = judge(after, limits_from({"max_growth": text}), Before(before, "the lock"))[:1]
        assert (found.limit, found.value) == (allowed, TOTAL)
        assert "500 of the lock" in found.note


def test_growth_names_the_component_that_grew_the_most() -> None:
    before = Before(figures_of(paramcalc.count(SMALL | {"intermediate_size": 4})), "main")
    found = judge(paramcalc.count(SMALL), limits_from({"max_growth": "1%"}), before)
    assert [each.largest and each.largest[:2] for each in found] == [("feed_forward", 3 * 6 * 2)]


def test_active_parameters_that_grow_alone_are_growth_too() -> None:
    before = Before(figures_of(paramcalc.count(SPARSE)), "main")
    found = judge(paramcalc.count(SPARSE | {"num_experts_per_tok": 3}), limits_from({"max_growth": "1%"}), before)
    assert [(each.what, each.breached) for each in found] == [("parameters", False), ("active parameters", True)]


def test_a_limit_on_what_nobody_knows_is_refused() -> None:
    counts = paramcalc.count(SMALL)._replace(active=None)
    with pytest.raises(InputError, match="active is unknown"):
        judge(counts, limits_from({"max_active": 10**9}))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"max_params": "7X"}, "max_params: expected a number of parameters"),
        ({"max_params": True}, "got True"),
        ({"max_params": 7.5}, "got 7.5"),
        ({"max_params": -1}, "not negative"),
        ({"max_inference": 24}, "expected bytes with a unit, as in 24GiB, got 24"),
        ({"max_training": "24"}, "expected bytes with a unit"),
        ({"max_growth": "0.01"}, "a share"),
        ({"max_growth": 0.01}, "a share with its unit"),
        ({"max_prams": 1}, "unknown metric\n  hint: did you mean max_params"),
        ({"max_params": 1, "inference": {"contxt": 1}}, "inference.contxt: unknown setting\n  hint: did you mean context"),
        ({"max_params": 1, "inference": {"context": "8k"}}, "inference.context: expected a valid integer, got '8k'"),
        ({"max_params": 1, "training": {"methd": "lora"}}, "did you mean method"),
        ({"fits": 4090}, "fits: expected a valid string, got 4090"),
        ({"inference": [1]}, "inference: expected a valid dict"),
    ],
)
def test_a_wrong_limit_is_refused_by_its_name(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        limits_from(limits)
    assert says in str(caught.value)


def test_settings_that_do_not_suit_are_refused_by_their_name() -> None:
    for limits, place in (
        ({"max_inference": "1GiB", "inference": {"context": 0}}, "inference.context"),
        ({"max_trainable": 1, "training": {"method": "lora", "lora_targets": "nothing"}}, "training"),
        ({"fits": "H1000"}, "fits"),
    ):
        with pytest.raises(UsageError) as caught:
            verdict(**limits)
        assert caught.value.problems[0].place.startswith(place)


def test_one_sentence_says_limit_value_excess_and_largest() -> None:
    found = Verdict("max_params", "parameters", "parameters", 1000, 1500, None)
    assert found.sentence() == "max_params: 1,500 (1.50K) parameters, limit 1,000 (1.00K): 500 over (50.0% of the limit)"
    assert Verdict("fits", "for inference", "bytes", 2**30, 2**29, None).sentence() == (
        "fits: 536,870,912 B (0.50 GiB) for inference, limit 1,073,741,824 B (1.00 GiB): 536,870,912 B (0.50 GiB) left (50.0% of the limit)"
    )
