"""max: the value fits, the next does not."""

from __future__ import annotations

from typing import Any

import pytest
from fitting import DENSE, MODELS, RECURRENT, SPARSE, card
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paramcalc.costs.capacity import Cards, cards_named
from paramcalc.costs.placing import placed
from paramcalc.costs.search import LIMIT, Most, largest, most
from paramcalc.costs.weighing import budget, changed, job_from, weigh
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError

QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("context", {}),
    ("context", {"quant": "nf4", "batch_size": 3}),
    ("context", {"engine": "vllm"}),
    ("context", {"engine": "llama.cpp", "quant": "Q4_K_M", "kv_dtype": "q8_0"}),
    ("context", {"attention": "eager", "dtype": "fp32"}),
    ("batch", {"context": 700}),
    ("sequences", {"engine": "vllm", "context": 333}),
    ("sequences", {"engine": "llama.cpp", "quant": "F16", "context": 100}),
    ("batch", {"method": "full", "seq_len": 128}),
    ("batch", {"method": "full", "seq_len": 130, "checkpointing": "full", "loss": "fused"}),
    ("context", {"method": "lora", "attention": "eager"}),
    ("context", {"method": "qlora", "checkpointing": "full"}),
    ("rank", {"method": "lora", "seq_len": 128}),
    ("rank", {"method": "dora", "seq_len": 64, "lora_targets": "all-linear"}),
]


def solved(model: Architecture, cards: Cards, solve: str, options: dict[str, Any]) -> Most:
    return most(model, cards, placed(model, job_from(options), cards.number, options), solve, options)


def totals(found: Most, value: int) -> tuple[int, int]:
    """What a value needs and may take, from a plan made by hand."""
    plan = weigh(found.architecture, changed(found.job, {found.option: value}))
    return plan.total, budget(found.cards.capacity, plan)


@settings(max_examples=60)
@given(st.sampled_from(QUESTIONS), st.sampled_from(MODELS), st.integers(min_value=300, max_value=24_000))
def test_the_value_fits_and_the_next_does_not(question: tuple[str, dict[str, Any]], model: Architecture, size: int) -> None:
    solve, options = question
    try:
        found = solved(model, card(size), solve, options)
    except UsageError:  # one engine or method does not know one of the models
        return
    value = found.boundary.value
    if value:
        needs, room = totals(found, value)
        assert needs <= room
        assert found.plan.total == needs
    if found.boundary.bounded:
        needs, room = totals(found, value + 1)
        assert needs > room
        assert found.beyond in (None, needs)
    assert found.fits is (value > 0)


@given(st.integers(min_value=0, max_value=LIMIT))
@example(0)
@example(1)
@example(LIMIT - 1)
@example(LIMIT)
def test_the_search_finds_any_end(end: int) -> None:
    asked: list[int] = []
    found = largest(lambda value: asked.append(value) or value <= end)  # type: ignore[func-returns-value]
    assert found.value == end
    assert found.bounded is (end < LIMIT)
    assert len(asked) <= 2 * 31 + 2


@given(st.lists(st.booleans(), min_size=2, max_size=40))
def test_where_fitting_comes_and_goes_the_answer_is_still_an_end(answers: list[bool]) -> None:
    def fits(value: int) -> bool:
        return value <= len(answers) and answers[value - 1]

    found = largest(fits)
    assert found.value == 0 or fits(found.value)
    assert not fits(found.value + 1)


@given(st.integers(min_value=1, max_value=500), st.integers(min_value=1, max_value=500))
def test_a_limit_is_not_passed(end: int, limit: int) -> None:
    found = largest(lambda value: value <= end, at_most=limit)
    assert found.value == min(end, limit)
    assert found.bounded is (end < limit)


def test_a_value_that_cannot_be_planned_ends_the_search_and_says_why() -> None:
    found = solved(DENSE, cards_named("H100"), "batch", {"engine": "vllm", "slots": 5, "context": 100})
    assert found.boundary.value == 5
    assert "6 sequences need as many slots" in found.boundary.refusal
    assert found.beyond is None


def test_memory_is_not_linear_in_length() -> None:
    """Eager attention keeps scores: twice the memory is far from twice the context."""
    options = {"method": "full", "attention": "eager"}
    small, large = (solved(DENSE, card(size), "context", options).boundary.value for size in (8_000, 16_000))
    assert small < large < 1.7 * small


def test_a_state_of_fixed_size_leaves_the_context_to_activations() -> None:
    found = solved(RECURRENT, cards_named("24GB"), "context", {})
    assert found.boundary.value > 100_000


def test_more_than_the_model_was_made_for_is_said() -> None:
    found = solved(DENSE, cards_named("24GB"), "context", {})
    assert found.model_limit == 4096
    assert found.boundary.value > 4096
    assert sum("4,096 that the model was made for" in warning for warning in found.to_dict()["warnings"]) == 1


def test_a_prompt_is_cut_where_the_context_is_shorter() -> None:
    short, long = (solved(DENSE, cards_named("2GB"), "context", {"prompt": prompt}).boundary.value for prompt in (1000, 10**6))
    assert long < 10**6
    assert short > long


def test_not_even_one_fits() -> None:
    found = solved(SPARSE, card(100), "batch", {"method": "full"})
    assert (found.boundary.value, found.fits) == (0, False)
    assert found.plan.total > found.budget


def test_on_several_cards_the_usual_layout_is_solved() -> None:
    found = solved(DENSE, cards_named("4x24GB"), "batch", {"engine": "vllm", "context": 1000})
    assert found.to_dict()["devices"] == 4
    assert {each.name: each.origin for each in found.inputs}["tp"] == "default"
    assert {each.name: each.origin for each in found.inputs}["batch_size"] == "solved"


@pytest.mark.parametrize(
    ("solve", "options", "message"),
    [
        ("rank", {}, "a rank belongs to LoRA"),
        ("rank", {"method": "full"}, "a rank belongs to LoRA"),
        ("sequences", {"method": "lora"}, "training has a batch"),
        ("bach", {}, "did you mean batch"),
        ("batch", {"batch_size": 4}, "it is given"),
    ],
)
def test_what_cannot_be_solved_is_refused(solve: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        solved(DENSE, cards_named("24GB"), solve, options)
