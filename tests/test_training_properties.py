"""What must hold whatever the numbers are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_cases import named, small

from paramcalc.costs.training.job import PRECISIONS, TrainingJob
from paramcalc.costs.training.optimizers import OPTIMIZERS
from paramcalc.costs.training.plan import TrainingPlan, plan_training

MODEL = small(num_hidden_layers=24, hidden_size=96, vocab_size=211)
JOBS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["full", "lora", "dora", "qlora", "ia3", "last-n"]),
        "precision": st.sampled_from(["fp32", "bf16", "bf16-mixed", "fp16-mixed"]),
        "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
        "batch_size": st.integers(1, 4),
        "seq_len": st.integers(1, 80),
        "grad_accum": st.integers(1, 3),
        "checkpointing": st.sampled_from(["none", "selective", "full"]),
        "attention": st.sampled_from(["eager", "sdpa", "flash"]),
        "loss": st.sampled_from(["plain", "fused", "chunked"]),
    }
).map(lambda fields: TrainingJob(**fields))


def of(**options: Any) -> TrainingPlan:
    return plan_training(MODEL, TrainingJob(**options))


def phase(plan: TrainingPlan, name: str) -> int:
    return next(each.bytes for each in plan.phases if each.name == name)


@given(JOBS)
def test_terms_sum_to_the_peak_and_no_phase_is_above_it(job: TrainingJob) -> None:
    plan = plan_training(MODEL, job)
    assert sum(term.bytes for term in plan.terms) == plan.total
    assert plan.allocated == max(each.bytes for each in plan.phases)
    assert plan.allocated == next(each.bytes for each in plan.phases if each.name == plan.peak_phase)
    assert all(size >= 0 for each in plan.phases for size in each.terms.values())
    assert plan.low <= plan.total <= plan.high
    assert {term.basis for term in plan.terms} <= {"exact", "model", "measured"}
    assert all(term.source and term.note for term in plan.terms)


@given(JOBS)
def test_doubling_the_batch_doubles_the_activations_and_nothing_else(job: TrainingJob) -> None:
    """What each token keeps doubles; what is there once (tables of positions, copies of weights, states of random numbers,
    one sequence's uncopied labels) stays."""
    job = job._replace(batch_size=2)
    once, twice, four = (plan_training(MODEL, job._replace(batch_size=b)) for b in (2, 4, 8))
    step = twice.saved_for_backward - once.saved_for_backward
    assert four.saved_for_backward - twice.saved_for_backward == 2 * step
    standing = [
        {name: each.terms.get(name, 0) for name in ("weights", "adapters", "optimizer")}
        for plan in (once, twice)
        for each in plan.phases
        if each.name != "first_step"
    ]
    assert standing[: len(standing) // 2] == standing[len(standing) // 2 :]


@given(JOBS)
def test_more_checkpointing_never_keeps_more(job: TrainingJob) -> None:
    none, selective, full = (plan_training(MODEL, job._replace(checkpointing=how)) for how in ("none", "selective", "full"))
    assert selective.saved_for_backward <= none.saved_for_backward
    if job.method not in ("lora", "dora", "qlora", "ia3", "last-n"):
        assert full.saved_for_backward <= selective.saved_for_backward
    if job.method != "last-n":  # one layer trains: to keep its input and compute it again gains nothing
        assert full.allocated <= none.allocated or (job.seq_len is not None and job.seq_len < 16)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_more_sharding_never_costs_more(precision: str) -> None:
    stages = [of(precision=precision, dp=8, zero=stage, checkpointing="full", seq_len=64) for stage in (0, 1, 2, 3)]
    for less, more in pairwise(stages):
        assert more.allocated <= less.allocated
    ranks = [of(precision=precision, dp=dp, zero=3, checkpointing="full", seq_len=64).allocated for dp in (2, 4, 8, 16)]
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize("option", ["tp", "pp", "cp"])
def test_more_ranks_never_hold_more_each(option: str) -> None:
    held = [of(**{option: number}, seq_len=64).allocated for number in (1, 2)]
    assert held[1] < held[0]


def test_offloading_moves_states_to_the_host_and_keeps_nothing_of_them() -> None:
    plain, states, weights = of(), of(offload="optimizer"), of(offload="params")
    assert weights.allocated < states.allocated < plain.allocated
    assert plain.host == 0
    assert "optimizer" not in {term.name for term in states.terms}
    assert weights.host > states.host >= 2 * 2 * plain.trained


def test_fewer_trainable_parameters_never_cost_more() -> None:
    layers = [plan_training(MODEL, TrainingJob(method="last-n", last_n=n, seq_len=64)).allocated for n in (1, 4, 12, 24)]
    assert layers == sorted(layers)
    ranks = [plan_training(MODEL, TrainingJob(method="lora", lora_r=r, seq_len=64)).allocated for r in (1, 4, 16, 64)]
    assert ranks == sorted(ranks)


@given(st.integers(1, 4), st.integers(2, 60))
def test_nothing_shrinks_when_the_batch_or_the_sequence_grows(batch: int, length: int) -> None:
    first = of(batch_size=batch, seq_len=length)
    assert of(batch_size=batch + 1, seq_len=length).allocated >= first.allocated
    assert of(batch_size=batch, seq_len=length + 1).allocated >= first.allocated


def test_the_work_does_not_grow_with_depth() -> None:
    """Forty layers are the same operations as four, more often."""
    shallow, deep = (plan_training(small(num_hidden_layers=n), TrainingJob(seq_len=32)) for n in (4, 40))
    assert len(shallow.kept) == len(deep.kept)
    per_layer = (deep.saved_for_backward - shallow.saved_for_backward) // 36
    assert deep.saved_for_backward == shallow.saved_for_backward + 36 * per_layer


def test_gradient_accumulation_costs_the_gradients_once() -> None:
    one, many, more = (of(grad_accum=number, seq_len=16) for number in (1, 2, 8))
    assert phase(many, "forward") - phase(one, "forward") == 2 * one.trained
    assert [each.bytes for each in many.phases] == [each.bytes for each in more.phases]


def test_the_answer_is_the_contracts() -> None:
    answer = of(seq_len=16, batch_size=2).to_dict()
    assert next(iter(answer)) == "schema"
    assert answer["schema"] == "paramcalc/train/1"
    assert list(answer)[-1] == "warnings"
    device = answer["per_device"]
    assert sum(term["bytes"] for term in device["terms"]) == device["total"]
    assert {"name": "batch_size", "value": 2, "from": "given"} in answer["inputs"]
    assert {"name": "optimizer", "value": "adamw", "from": "default"} in answer["inputs"]
    assert all(type(term["bytes"]) is int for term in device["terms"])
    assert answer["not_modelled"]


@pytest.mark.parametrize("name", ["gpt2", "bert-base", "t5-small", "mixtral-8x7b", "gemma-2-9b", "pythia-1.4b", "opt-1.3b", "qwen3-8b"])
def test_tensor_parallel_ranks_hold_about_a_share(name: str) -> None:
    """Two ranks: all but norms, positions and what divides unevenly is halved."""
    whole, half = (plan_training(named(name), TrainingJob(tp=tp, seq_len=64)) for tp in (1, 2))
    weights = [next(term.bytes for term in plan.terms if term.name == "weights") for plan in (whole, half)]
    assert weights[0] / 2 <= weights[1] <= weights[0] * 0.52
    assert half.trained == whole.trained
    assert half.devices == 2
