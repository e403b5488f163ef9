"""Peaks of whole steps: simulated ones, and those that others measured."""

from __future__ import annotations

from statistics import median

import pytest
from training_cases import Row, job, plan, rows, small

from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training

PUBLISHED = rows("published.jsonl")


@pytest.mark.parametrize("row", rows("peaks.jsonl"), ids=lambda row: row["id"])
def test_a_simulated_peak_is_met_within_one_percent(row: Row) -> None:
    assert plan(row).allocated == pytest.approx(row["expected"], rel=0.01)


def error(row: Row) -> float:
    return abs(plan(row).allocated / row["expected"] - 1)


OLDER = [row for row in PUBLISHED if row.get("stack") == "bitsandbytes before 0.44"]
MODELLED = [row for row in PUBLISHED if "stack" not in row]


@pytest.mark.parametrize("row", MODELLED, ids=lambda row: row["id"])
def test_a_measured_peak_is_met(row: Row) -> None:
    assert error(row) <= 0.12


def test_half_of_the_measured_peaks_are_within_five_percent() -> None:
    assert len(MODELLED) >= 28
    assert median(map(error, MODELLED)) <= 0.05


@pytest.mark.parametrize("row", OLDER, ids=lambda row: row["id"])
def test_an_older_bitsandbytes_held_the_inputs_of_quantized_layers_for_two_steps(row: Row) -> None:
    """Why litgpt's QLoRA figures are a quarter above ours: each 4-bit product held its input on the autograd node, so that a step
    ran beside what the step before had left. For a token and layer in bf16: the norms' outputs and the feed-forward's product now;
    the same and attention's output (now kept by attention itself) from before. Its head is quantized, and made whole for the logits."""
    config, options = row["config"], job(row["args"])
    width, inner, table = config["hidden_size"], config["intermediate_size"], config["hidden_size"] * config["vocab_size"]
    tokens = options.batch_size * (options.seq_len or 0) * config["num_hidden_layers"]
    inputs = 2 * tokens * (2 * width + inner) + 2 * tokens * (3 * width + inner)
    head = table * 9 // 16  # 4.5 bits an element in place of 16, and for the moment the 16 as well
    held = plan(row).allocated + inputs + head
    assert held == pytest.approx(row["expected"], rel=0.06)
    assert error(row) > 0.12, "no explanation is needed"


def phases(**options: object) -> dict[str, int]:
    found = plan_training(small(num_hidden_layers=3, vocab_size=4001), TrainingJob(seq_len=64, **options))  # type: ignore[arg-type]
    return {phase.name: phase.bytes for phase in found.phases}


def test_the_loss_holds_ten_bytes_a_logit_at_the_end_and_fourteen_at_the_start_of_the_way_back() -> None:
    """bf16: logits 2 and their upcast 4 and log-softmax 4; then logits 2, log-softmax 4, two fp32 gradients 8."""
    logits = 64 * 4001
    found = phases(optimizer="sgd", checkpointing="full")
    assert found["forward"] - found["forward_end"] == pytest.approx(4 * logits, rel=0.001)
    assert found["backward_start"] - found["forward_end"] == pytest.approx(8 * logits, rel=0.001)


@pytest.mark.parametrize(
    ("optimizer", "states", "step"), [("adamw", 2, 1), ("adamw-fused", 2, 0), ("sgd", 0, 0), ("sgd-momentum", 1, 0), ("lion", 1, None)]
)
def test_the_optimizer_phase_is_weights_gradients_states_and_its_copies(optimizer: str, states: int, step: int | None) -> None:
    """bf16 AdamW with foreach: 10 bytes for a parameter at the step, 8 fused and a counter for each of 48 tensors, 4 for plain SGD;
    lion-pytorch: two copies of the largest tensor."""
    model = small()
    parameters = 2 * 24 * 50 + 24 + 5 * (2 * 24 + 24 * 8 * (6 + 2 + 2 + 6) + 3 * 24 * 40)
    largest = max(24 * 50, 24 * 48, 24 * 40)
    plan = plan_training(model, TrainingJob(optimizer=optimizer, seq_len=8))
    found = next(phase for phase in plan.phases if phase.name == "optimizer")
    extra = 2 * largest * 2 if step is None else 2 * parameters * step + (4 * 48 if optimizer == "adamw-fused" else 0)
    assert found.bytes == 2 * parameters * (2 + states) + extra + 2 * 8 * 8


def test_a_tied_table_holds_two_gradients_and_their_sum_at_the_end_of_the_way_back() -> None:
    """Its two uses are summed into new memory: one table more than untied, at the deepest point."""
    size = 2 * 4001 * 24
    found = plan_training(small(vocab_size=4001, tie_word_embeddings=True), TrainingJob(seq_len=8, optimizer="sgd"))
    backward = next(phase for phase in found.phases if phase.name == "backward")
    assert backward.terms["gradients"] + backward.terms["workspace"] >= 3 * size


def test_the_first_step_is_smaller_than_later_ones_or_equal() -> None:
    found = phases()
    assert found["first_step"] <= max(found.values())


def test_a_fused_loss_never_holds_all_logits_and_a_chunked_one_no_upcast_copy() -> None:
    plain, chunked, fused = (phases(loss=loss, optimizer="sgd", checkpointing="full") for loss in ("plain", "chunked", "fused"))
    assert fused["backward_start"] < chunked["backward_start"] < plain["backward_start"]
    assert fused["forward_end"] < 64 * 4001 * 2 + plain["loaded"]
