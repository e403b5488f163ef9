"""Training of models that read features and look no token up."""

from __future__ import annotations

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training


def test_a_perceptron_keeps_what_its_relus_make() -> None:
    """784-128-64-10: each hidden layer's output is kept once, by the ReLU that made it and the layer that reads it."""
    plan = plan_training(paramcalc.load("mlp"), TrainingJob(precision="fp32", batch_size=3))
    assert plan.saved_for_backward == 3 * (128 + 64) * 4


def test_autocast_keeps_copies_of_the_features_and_of_the_weights_that_are_read_backwards() -> None:
    """Of the first weight no gradient of the input is asked, so its copy is not kept."""
    plan = plan_training(paramcalc.load("mlp"), TrainingJob(precision="bf16-mixed", batch_size=3))
    assert plan.saved_for_backward == 2 * (3 * (784 + 128 + 64) + 128 * 64 + 64 * 10)


def test_a_dense_layer_keeps_nothing_but_its_input() -> None:
    plan = plan_training(paramcalc.load("dense-1000-500"), TrainingJob(precision="fp32", batch_size=7))
    assert plan.saved_for_backward == 0
    assert dict(plan.phases[-1].terms)["activations"] == 7 * 1000 * 4


def test_features_are_one_row_a_sample_unless_a_length_is_given() -> None:
    short = plan_training(paramcalc.load("mlp"), TrainingJob(precision="fp32"))
    long = plan_training(paramcalc.load("mlp"), TrainingJob(precision="fp32", seq_len=5))
    assert long.saved_for_backward == 5 * short.saved_for_backward


def test_a_model_without_a_head_says_that_its_loss_is_left_out() -> None:
    plan = plan_training(paramcalc.load("linear-regression"), TrainingJob())
    assert any("loss" in text for text in plan.not_modelled)
