"""plan: layouts that can exist, ranked by what they move, and the fewest cards."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from fitting import DENSE, SPARSE, card
from hypothesis import given, settings
from hypothesis import strategies as st

import paramcalc
from paramcalc.costs.capacity import cards_named
from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.layout_search import Candidate, Search
from paramcalc.costs.layouts import Divisible, Layout, devices_of, divisors, laid_out, layouts
from paramcalc.costs.planning import plan_layouts
from paramcalc.costs.traffic import Whole, idle_share, rows_of, traffic_of
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.weighing import Job, job_from, weigh
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError

GPT3 = paramcalc.load("gpt3")
FULL = {"method": "full", "seq_len": 256}
FULL_JOB = TrainingJob(seq_len=256)
NAMED = {"dense": DENSE, "sparse": SPARSE}
MIB = 2**20


def every(model: Architecture, job: Job, cards: int, **more: Any) -> list[Layout]:
    return list(layouts(Divisible(model, job), cards, **more))


# ------------------------------------------------------------------ which can exist


@pytest.mark.parametrize("cards", [1, 2, 3, 6, 8, 12, 48, 64])
def test_training_layouts_are_all_that_divide_and_no_others(cards: int) -> None:
    """By hand: 8 heads and 2 key-value heads, 6 layers, 8 experts, 256 tokens in pairs of chunks, ZeRO among replicas."""
    sizes = divisors(cards)
    expected = set()
    for dp, tp, pp, cp, ep, zero in product(sizes, sizes, sizes, sizes, (1, 2, 4, 8), range(4)):
        possible = dp * tp * pp * cp == cards and 8 % tp == 0 and 6 % pp == 0 and (cp == 1 or 256 % (2 * cp) == 0)
        if possible and dp * tp % ep == 0 and (zero == 0 or dp > 1) and not (zero == 2 and pp > 1):
            expected.add(Layout(dp, tp, pp, ep, cp, zero))
    found = every(SPARSE, FULL_JOB, cards)
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.parametrize("cards", [1, 2, 4, 6, 16])
def test_serving_layouts_are_all_that_divide_and_no_others(cards: int) -> None:
    """Replicas share 4 sequences; experts stand on the tensor-parallel ranks, or on as many times more."""
    expected = set()
    for dp, tp, pp, wide in product(divisors(cards), repeat=4):
        if dp * tp * pp * wide == cards and 8 % tp == 0 and 6 % pp == 0 and dp <= 4:
            choices = {1, tp} if wide == 1 else {tp * wide}
            expected |= {Layout(dp, tp, pp, ep) for ep in choices if 8 % ep == 0}
    found = every(SPARSE, InferenceJob(batch_size=4), cards)
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_tensor_parallelism_stays_inside_a_node() -> None:
    assert max(layout.tp for layout in every(GPT3, TrainingJob(), 64)) == 8
    assert max(layout.tp for layout in every(GPT3, TrainingJob(), 64, node=4)) == 4
    assert max(layout.tp for layout in every(GPT3, TrainingJob(), 64, node=32)) == 32


def test_what_is_held_stays_even_where_it_divides_unevenly() -> None:
    found = every(SPARSE, FULL_JOB, 8, fixed={"pp": 4, "zero": 1})
    assert {(layout.pp, layout.zero) for layout in found} == {(4, 1)}
    assert 6 % 4
    assert every(SPARSE, FULL_JOB, 7, fixed={"pp": 4}) == []


def test_a_prime_number_of_cards_has_only_replicas_and_sharded_states() -> None:
    assert {layout._replace(zero=0) for layout in every(DENSE, FULL_JOB, 13)} == {Layout(dp=13)}
    assert every(DENSE, InferenceJob(), 13) == []


@given(st.sampled_from([FULL_JOB, InferenceJob(batch_size=8), InferenceJob(batch_size=5, engine="vllm")]), st.integers(1, 48))
@settings(max_examples=30)
def test_a_layout_takes_all_cards(job: Job, cards: int) -> None:
    for layout in every(SPARSE, job, cards):
        made = laid_out(job, layout, cards)
        assert devices_of(made) * (1 if isinstance(job, TrainingJob) else layout.dp) == cards


def test_every_layout_trains_as_many_sequences_a_step() -> None:
    search = Search(SPARSE, TrainingJob(batch_size=3, seq_len=256), 2**40, global_batch=96)
    jobs = [option.job for option in search.options(16)]
    assert {job.dp * job.batch_size * job.grad_accum for job in jobs if isinstance(job, TrainingJob)} == {96}
    alone = Search(SPARSE, TrainingJob(batch_size=3, seq_len=256), 2**40)
    jobs = [option.job for option in alone.options(16)]
    assert {job.dp * job.batch_size * job.grad_accum for job in jobs if isinstance(job, TrainingJob)} == {48}


# ------------------------------------------------------------------ the search


def by_hand(search: Search, cards: int) -> list[Candidate]:
    """Every layout planned; those that fit and that no other one beats."""
    made = [one for one in map(search.weighed, list(search.options(cards))) if one and one.plan.total <= search.capacity]
    return [one for one in made if not any(better(other, one) for other in made)]


def figures(one: Candidate) -> tuple[int, float, int]:
    return one.traffic.total, one.idle, one.plan.total


def better(one: Candidate, other: Candidate) -> bool:
    return figures(one) != figures(other) and all(a <= b for a, b in zip(figures(one), figures(other), strict=True))


@pytest.mark.parametrize("options", [FULL, {"method": "lora", "seq_len": 512}, {"batch_size": 8, "context": 2048}], ids=str)
@pytest.mark.parametrize(("name", "size"), [("dense", 900), ("dense", 1800), ("sparse", 700), ("sparse", 2600)])
@pytest.mark.parametrize("cards", [2, 8])
def test_the_search_finds_what_planning_every_layout_finds(options: dict[str, Any], name: str, size: int, cards: int) -> None:
    model, job = NAMED[name], job_from(options)
    expected = {figures(one) for one in by_hand(Search(model, job, size * MIB), cards)}
    assert {figures(one) for one in Search(model, job, size * MIB).front(cards).fitting} == expected


@pytest.mark.parametrize("options", [FULL, {"method": "qlora"}, {"batch_size": 4}], ids=str)
@pytest.mark.parametrize("cards", [4, 12])
def test_no_layout_holds_less_than_its_bound(options: dict[str, Any], cards: int) -> None:
    """Also after others were planned, whose activations the bound remembers."""
    search = Search(SPARSE, job_from(options), 2**50)
    for option in search.options(cards):
        before = search._bound(option)
        made = search.weighed(option)
        if made is not None:
            assert before <= made.plan.total
            assert search._bound(option) <= made.plan.total


@pytest.mark.parametrize("layout", [Layout(dp=8, ep=8, zero=1), Layout(dp=4, tp=2, ep=4, zero=3), Layout(dp=2, pp=2, zero=1), Layout(tp=4)])
def test_all_cards_together_hold_at_least_the_whole_of_every_state(layout: Layout) -> None:
    """But for routers, six of [8, 256], which a plan divides with their experts."""

    def states(job: Job) -> dict[str, int]:
        phases = {phase.name: phase.terms for phase in weigh(SPARSE, job).phases}  # type: ignore[attr-defined]
        return {name: phases["optimizer"].get(name, 0) for name in ("weights", "gradients", "optimizer")}

    whole, part = states(FULL_JOB), states(laid_out(FULL_JOB, layout))
    cards = devices_of(laid_out(FULL_JOB, layout))
    routers = {"weights": 2, "gradients": 2, "optimizer": 4}
    for name, size in whole.items():
        assert part[name] * cards >= size - 6 * 8 * 256 * routers[name]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (FULL, 640),
        (FULL, 800),
        ({"method": "full", "seq_len": 2048}, 1500),
        ({"batch_size": 16, "context": 4096}, 640),
        (FULL | {"tp": 2}, 660),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_the_smallest_number_is_the_first_that_any_layout_fits(name: str, options: dict[str, Any], size: int) -> None:
    model, job = NAMED[name], job_from(options)
    fixed = {option: value for option, value in options.items() if option == "tp"}
    numbers = [*range(1, 9), *range(16, 49, 8)]
    expected = next((cards for cards in numbers if by_hand(Search(model, job, size * MIB, fixed), cards)), None)
    assert Search(model, job, size * MIB, fixed).smallest(limit=48) == expected


def test_no_number_of_cards_helps_where_one_layer_is_too_large() -> None:
    found = plan_layouts(DENSE, cards_named("400MiB"), TrainingJob(seq_len=255), {})
    assert not found.fits
    assert found.best is not None


def test_where_the_cards_are_too_few_the_number_that_does_is_named() -> None:
    found = plan_layouts(DENSE, card(900)._replace(number=1), FULL_JOB, {})
    assert not found.fits
    assert found.enough == Search(DENSE, FULL_JOB, 900 * MIB).smallest()
    assert plan_layouts(DENSE, card(900)._replace(number=found.enough), FULL_JOB, {}).fits


def test_the_first_layout_moves_the_least() -> None:
    fitting = Search(GPT3, TrainingJob(checkpointing="full"), cards_named("A100-80GB").capacity).front(64).fitting
    moved = [one.traffic.total for one in fitting]
    assert len(moved) > 3
    assert moved == sorted(moved)
    assert all(one.cards == 64 for one in fitting)


def test_a_plan_for_1024_cards_runs_few_layouts_of_many() -> None:
    """Which is why it takes half a second: benchmarks/plan.py."""
    found = Search(GPT3, TrainingJob(precision="bf16-mixed", checkpointing="full"), cards_named("A100-80GB").capacity).front(1024)
    assert found.fitting
    assert found.possible > 450
    assert found.planned < 150


# ------------------------------------------------------------------ what a layout moves


def test_what_tensor_parallelism_moves_is_four_reductions_a_layer() -> None:
    """Shoeybi et al. 2019, §3: two all-reduces forwards and two backwards, each 2(n-1) rows of 12,288 bf16 in all."""
    rows, whole = rows_of(GPT3), Whole(0, 0, 0.0)
    moved = traffic_of(Layout(tp=8), TrainingJob(tp=8), rows, whole)
    assert moved.tp == moved.total == 96 * 4 * 2 * 7 * 12288 * 2
    assert traffic_of(Layout(tp=8), TrainingJob(tp=8, checkpointing="full"), rows, whole).tp == 96 * 6 * 2 * 7 * 12288 * 2
    assert traffic_of(Layout(tp=8), InferenceJob(tp=8), rows).tp == 96 * 2 * 2 * 7 * 12288 * 2


def test_what_a_pipeline_moves_is_a_row_over_each_border_and_back() -> None:
    moved = traffic_of(Layout(pp=4), TrainingJob(pp=4), rows_of(GPT3), Whole(0, 0, 0.0))
    assert moved.pp == moved.total == 2 * 3 * 12288 * 2


def test_what_replicas_move_is_twice_the_gradients_and_thrice_for_stage_3() -> None:
    """Rajbhandari et al. 2020, §7: 2Ψ for data parallelism and stages 1 and 2, 3Ψ for stage 3, per rank."""
    job, rows, whole = TrainingJob(dp=16), rows_of(GPT3), Whole(base=1000, gradients=1000, expert_share=0.0)
    moved = [traffic_of(Layout(dp=16, zero=zero), job, rows, whole).total for zero in range(4)]
    assert moved == [15 * 2000, 15 * 2000, 15 * 2000, 15 * 3000]
    assert traffic_of(Layout(dp=16), job, rows, whole, tokens=10).total == 3000


def test_what_experts_and_contexts_move() -> None:
    rows = rows_of(SPARSE)
    experts = traffic_of(Layout(dp=4, ep=4), TrainingJob(dp=4, ep=4), rows, Whole(0, 0, 0.0))
    assert experts.ep == 6 * 2 * 256 * 2 * 4 * 3 // 4
    context = traffic_of(Layout(cp=4), TrainingJob(cp=4), rows, Whole(0, 0, 0.0))
    assert context.cp == 6 * 2 * 2 * 32 * 2 * 3 * 3
    # Served, experts on the tensor-parallel ranks meet in the reduction that is there anyway.
    assert traffic_of(Layout(tp=2, ep=2), InferenceJob(tp=2, ep=2), rows).ep == 0
    assert traffic_of(Layout(tp=2, ep=4), InferenceJob(tp=2, ep=4), rows).ep == 6 * 2 * 256 * 2 * 2 // 2


def test_how_long_stages_wait() -> None:
    """Narayanan et al. 2021, §2.2: (p-1)/m of the ideal time, so (p-1)/(m+p-1) of all."""
    assert idle_share(Layout(pp=4), TrainingJob(pp=4, grad_accum=9)) == pytest.approx(3 / 12)
    assert idle_share(Layout(pp=4), TrainingJob(pp=4, grad_accum=8, virtual_stages=2)) == pytest.approx(3 / 19)
    assert idle_share(Layout(pp=4), InferenceJob(pp=4)) == pytest.approx(3 / 4)
    assert idle_share(Layout(pp=4), InferenceJob(pp=4, batch_size=9)) == 0
    assert idle_share(Layout(dp=4), TrainingJob(dp=4)) == 0


@pytest.mark.parametrize(
    ("given_options", "more", "message"),
    [
        ({}, {"global_batch": 8}, "a global batch belongs to training"),
        ({"grad_accum": 4}, {"global_batch": 8}, "follows from the global batch"),
        ({"method": "full"}, {"global_batch": 0}, "at least one sequence"),
        ({}, {"node": 0}, "at least one card"),
    ],
)
def test_what_cannot_be_planned_is_refused(given_options: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_layouts(DENSE, cards_named("24GB"), job_from(given_options), given_options, **more)
