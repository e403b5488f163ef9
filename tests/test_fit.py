"""fit: the verdict is the plan's, and every change that is offered really fits."""

from __future__ import annotations

from typing import Any

import pytest
from fitting import DENSE, MODELS, SPARSE, card, fitted
from hypothesis import given, settings
from hypothesis import strategies as st

import paramcalc
from paramcalc.costs.capacity import Cards, cards_named
from paramcalc.costs.changes import COSTS, together
from paramcalc.costs.device_rows import Device
from paramcalc.costs.fit_overview import overview
from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.layouts import devices_of
from paramcalc.costs.placing import placed
from paramcalc.costs.planning import plan_layouts
from paramcalc.costs.search import most
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.weighing import budget, changed, job_from, weigh
from paramcalc.words.errors import UsageError

GIB = 2**30
JOBS: list[dict[str, Any]] = [
    {},
    {"context": 4096, "batch_size": 6},
    {"engine": "vllm", "context": 2048, "batch_size": 9},
    {"engine": "llama.cpp", "quant": "Q8_0", "context": 3000},
    {"engine": "ideal", "dtype": "fp32", "batch_size": 3},
    {"method": "full", "seq_len": 512},
    {"method": "full", "precision": "fp32", "seq_len": 256, "batch_size": 5, "attention": "eager"},
    {"method": "full", "precision": "bf16-mixed", "optimizer": "adamw-forloop", "loss": "chunked"},
    {"method": "lora", "seq_len": 1024, "batch_size": 2},
    {"method": "qlora", "seq_len": 1024},
]
GIVEN_JOBS = st.sampled_from(JOBS)


FEW = settings(max_examples=15)
"""Each example searches layouts and may plan hundreds of them."""


def exact(size: int, number: int | None = 1) -> Cards:
    """Cards of so many usable bytes."""
    device = Device("test", "Test", "", "other", "1GiB", 2**30, capacity=size, estimated=False, capacity_source="given")
    return Cards(device, number)


@pytest.mark.parametrize("options", JOBS, ids=str)
def test_the_verdict_is_the_plans_total_against_the_bytes_of_the_card(options: dict[str, Any]) -> None:
    plan = weigh(DENSE, job_from(options))
    share = 0.9 if options.get("engine") == "vllm" else 1
    just = plan.total if share == 1 else next(size for size in range(int(plan.total / 0.9) - 4, 2**62) if int(size * 0.9) >= plan.total)
    assert fitted(DENSE, exact(just), **options).fits
    assert not fitted(DENSE, exact(just - 1), **options).fits
    assert fitted(DENSE, exact(just), **options).headroom == 0 if share == 1 else True


def test_headroom_has_the_band_of_the_plan() -> None:
    found = fitted(DENSE, card(4096), context=2048)
    plan = weigh(DENSE, InferenceJob(context=2048))
    assert found.to_dict()["headroom"] == {
        "bytes": 2**32 - plan.total,
        "low": 2**32 - plan.high,
        "high": 2**32 - plan.low,
    }


def test_it_is_certain_only_where_the_whole_band_says_the_same() -> None:
    plan = weigh(DENSE, InferenceJob(context=2048))
    assert plan.low < plan.total < plan.high
    said = {size: fitted(DENSE, exact(size), context=2048) for size in (plan.low - 1, plan.low, plan.total, plan.high)}
    assert [(one.fits, one.certain) for one in said.values()] == [(False, True), (False, False), (True, False), (True, True)]


@FEW
@given(GIVEN_JOBS, st.sampled_from(MODELS), st.integers(min_value=300, max_value=4000))
def test_every_change_that_is_offered_fits_and_costs_are_in_order(options: dict[str, Any], model: Any, size: int) -> None:
    cards = card(size)
    try:
        found = fitted(model, cards, **options)
    except UsageError:  # one engine or method does not know one of the models
        return
    assert (found.changes == []) or not found.fits
    for change in found.changes:
        plan = weigh(model, changed(found.job, change.step))
        assert plan.total == change.plan.total
        assert plan.total <= budget(cards.capacity, plan)
        assert devices_of(changed(found.job, change.step)) == change.cards
    assert [COSTS.index(change.cost) for change in found.changes] == sorted(COSTS.index(change.cost) for change in found.changes)


@FEW
@given(GIVEN_JOBS, st.integers(min_value=300, max_value=4000))
def test_a_number_is_lowered_no_further_than_it_must_be(options: dict[str, Any], size: int) -> None:
    found = fitted(DENSE, card(size), **options)
    for change in found.changes:
        for option in ("batch_size", "context", "seq_len", "ubatch"):
            if change.step.keys() == {option}:
                plan = weigh(DENSE, changed(found.job, {option: change.step[option] + 1}))
                assert plan.total > budget(found.cards.capacity, plan)


@FEW
@given(GIVEN_JOBS, st.integers(min_value=300, max_value=4000))
def test_a_ladder_stops_at_its_first_step_that_fits(options: dict[str, Any], size: int) -> None:
    """Where full checkpointing is offered, selective checkpointing does not fit; where QLoRA is, it need not be all."""
    found = fitted(DENSE, card(size), **options)
    for change in found.changes:
        if change.step == {"checkpointing": "full"} and found.job.checkpointing == "none":  # type: ignore[union-attr]
            assert weigh(DENSE, changed(found.job, {"checkpointing": "selective"})).total > card(size).capacity
        if change.step == {"quant": "Q2_K"}:
            assert weigh(DENSE, changed(found.job, {"quant": "Q3_K_M"})).total > card(size).capacity


def test_where_no_change_alone_will_do_several_do_together() -> None:
    """Eager attention and fp32 on long sequences: what all changes together leave is less than what any of them does alone."""
    options = {"method": "full", "precision": "fp32", "seq_len": 4096, "batch_size": 16, "attention": "eager", "zero": 0, "dp": 1}
    job = job_from(options)
    found = together(DENSE, job, 3 * GIB, 1)
    assert found is not None
    assert len(found.step) > 1
    assert weigh(DENSE, changed(job, found.step)).total <= 3 * GIB
    assert together(DENSE, job, GIB // 2, 1) is None


def test_a_full_fine_tune_is_offered_lora_and_a_lora_a_quantized_base() -> None:
    model = paramcalc.load("llama-3-8b")
    full = {change.name: change for change in fitted(model, cards_named("h100", 1), method="full", precision="fp32").changes}
    assert full["LoRA"].step == {"method": "lora"} or full["LoRA"].step == {"method": "lora", "precision": "bf16"}
    lora = {change.name: change for change in fitted(model, cards_named("4090", 1), method="lora").changes}
    assert lora["format of the frozen base"].step == {"quant": "nf4-dq"}, "LLM.int8 halves the weights, but holds its inputs"
    assert lora["checkpointing"].step == {"checkpointing": "full"}


def test_serving_a_large_model_is_offered_fewer_bits_and_more_cards() -> None:
    model = paramcalc.load("llama-3.1-405b")
    offered = {change.name: change for change in fitted(model, cards_named("8xH100"), engine="vllm").changes}
    assert offered["8-bit weights"].step == {"quant": "fp8"}
    assert offered["more cards"].cards == 16
    assert offered["more cards"].step == {"pp": 2}


@pytest.mark.parametrize("options", [{"dp": 2, "seq_len": 128}, {"dp": 4, "zero": 1, "seq_len": 128}])
def test_a_higher_stage_of_zero_is_offered_where_replicas_can_share(options: dict[str, Any]) -> None:
    plan = weigh(DENSE, job_from(options | {"zero": options.get("zero", 0) + 1}))
    found = fitted(DENSE, exact(plan.total, None), **options)
    assert not found.fits
    offered = {change.name: change.step for change in found.changes}
    assert offered["ZeRO stage"] == {"zero": options.get("zero", 0) + 1}


# ------------------------------------------------------------------ several cards


def test_without_a_layout_the_usual_one_is_taken() -> None:
    cards = cards_named("4x24GB")
    assert fitted(DENSE, cards, method="full").job == TrainingJob.of(method="full")._replace(dp=4, zero=3)
    assert fitted(DENSE, cards, engine="vllm").job == InferenceJob.of(engine="vllm")._replace(tp=4)
    assert fitted(DENSE, cards).job == InferenceJob(pp=4)
    assert fitted(DENSE, cards_named("6x24GB"), engine="vllm").job == InferenceJob.of(engine="vllm")._replace(tp=2, pp=3)
    assert {each.name: each.origin for each in fitted(DENSE, cards, engine="vllm").inputs}["tp"] == "default"


def test_a_layout_that_is_given_stays_and_must_take_all_cards() -> None:
    assert fitted(DENSE, cards_named("24GB"), tp=2).cards.number == 2
    given = {"method": "full", "tp": 2, "zero": 1}
    assert fitted(DENSE, cards_named("8x24GB"), **given).job == TrainingJob.of(**given)._replace(dp=4)
    with pytest.raises(UsageError, match="takes 2 cards, and there are 4"):
        fitted(DENSE, cards_named("4x24GB"), tp=2)
    with pytest.raises(UsageError, match="cannot be spread evenly over 13 cards"):
        fitted(DENSE, cards_named("13x24GB"))


def test_devices_of_a_plan_are_the_cards() -> None:
    for options in ({"method": "full", "dp": 2, "tp": 2, "zero": 1}, {"engine": "vllm", "tp": 4}, {"pp": 3}):
        found = fitted(DENSE, cards_named("24GB"), **options)
        assert found.plan.devices == found.cards.number == devices_of(found.job)


def test_experts_and_the_cards_that_hold_them() -> None:
    found = fitted(SPARSE, cards_named("4x24GB"), method="full", ep=4)
    assert found.job == TrainingJob.of(method="full", ep=4)._replace(dp=4)
    with pytest.raises(UsageError, match="experts over 2 ranks, of which there are 3"):
        fitted(SPARSE, cards_named("3x24GB"), method="full", ep=2)


# ------------------------------------------------------------------ which kind of job


def test_a_job_is_inference_unless_an_option_of_training_says_otherwise() -> None:
    assert isinstance(job_from({}), InferenceJob)
    assert isinstance(job_from({"batch_size": 4, "tp": 2, "quant": "nf4"}), InferenceJob)
    assert isinstance(job_from({"seq_len": 512}), TrainingJob)
    assert isinstance(job_from({}, "train"), TrainingJob)


@pytest.mark.parametrize(
    ("options", "mode", "message"),
    [
        ({"context": 10, "method": "lora"}, None, "method is an option of training, context is none of it"),
        ({"context": 10}, "train", "it is called seq_len there"),
        ({"seq_len": 10}, "infer", "it is called context there"),
        ({"contxt": 10}, None, "did you mean context"),
        ({}, "serve", "infer or train"),
    ],
)
def test_options_of_both_kinds_or_of_none_are_refused(options: dict[str, Any], mode: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        job_from(options, mode)


# ------------------------------------------------------------------ without a card


def test_without_a_card_every_use_is_held_against_every_card() -> None:
    cards = [card(size).device for size in (200, 1500, 3000, 20_000)]
    every = overview(DENSE, cards, {"seq_len": 512, "context": 1024})
    assert [use.name for use in every.uses] == ["serve", "QLoRA", "LoRA", "full"]
    for use in every.uses:
        plan = weigh(DENSE, use.job)
        assert [device.capacity for device in use.fitting] == sorted(one.capacity for one in cards if plan.total <= one.capacity)
    assert every.fits
    assert not overview(DENSE, cards[:1], {}).fits


def test_options_go_to_the_uses_they_belong_to() -> None:
    uses = {use.name: use.job for use in overview(DENSE, [], {"context": 100, "seq_len": 200, "batch_size": 3, "quant": "int8"}).uses}
    assert uses["serve"] == InferenceJob.of(context=100, batch_size=3, quant="int8")
    assert uses["full"] == TrainingJob.of(method="full", seq_len=200, batch_size=3)
    assert [use.name for use in overview(DENSE, [], {"method": "dora"}, "train").uses] == ["dora"]


# ------------------------------------------------------------------ in Python


def test_python_asks_the_same_question() -> None:
    found = paramcalc.fit(DENSE, gpu="24GB", context=2048)
    assert found.fits
    assert found.to_dict() == fitted(DENSE, cards_named("24GB"), context=2048).to_dict()
    with pytest.raises(UsageError, match="no device is called"):
        paramcalc.fit(DENSE, gpu="nonsense")
    with pytest.raises(UsageError):
        paramcalc.fit(DENSE, gpu="H100", gpus=0)
    with pytest.raises(UsageError, match="says 8 cards and gpus says 4"):
        paramcalc.fit(DENSE, gpu="8xH100", gpus=4)


def test_a_reported_size_is_held_against_one_card_and_divided_among_none() -> None:
    model = paramcalc.load("gpt-4")
    assert not fitted(model, cards_named("H100", 1)).fits
    assert fitted(model, cards_named("H100", 1)).changes == []
    for ask in (
        lambda: fitted(model, cards_named("H100", 1), method="full"),
        lambda: fitted(model, cards_named("8xH100")),
        lambda: most(model, cards_named("H100", 1), placed(model, InferenceJob(), 1), "context"),
        lambda: plan_layouts(model, cards_named("8xH100"), InferenceJob(), {}),
    ):
        with pytest.raises(UsageError, match="a reported size without an architecture"):
            ask()
