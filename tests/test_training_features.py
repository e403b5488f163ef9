"""Training of models that read features and look no token up."""

from __future__ import annotations

from typing import Any

import pytest

import paramcalc
from paramcalc.costs.training import checked
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.words.errors import UsageError


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


def flowing(flow: list[str], **parts: Any) -> dict[str, Any]:
    return {"name": "flowing", "width": 6, "parts": {"net": {"flow": flow, **parts}}}


UP, DOWN = {"kind": "dense", "inputs": 6, "outputs": 10, "activation": "relu"}, {"kind": "dense", "inputs": 10, "outputs": 6}


def test_a_model_may_begin_in_branches_that_read_the_same_features() -> None:
    """TimesFM's: two layers with a ReLU between them, and one beside; only what the ReLU makes is kept, twice read."""
    net = flowing(["( up down | beside )"], up=UP, down=DOWN, beside={"kind": "dense"})
    plan = plan_training(paramcalc.load(net), TrainingJob(precision="fp32", batch_size=3, seq_len=1))
    assert plan.saved_for_backward == 3 * 10 * 4
    assert dict(plan.phases[-1].terms)["activations"] == 3 * 6 * 4


@pytest.mark.parametrize("step", ["( up down", "up ]", "upp down"], ids=["not closed", "no word of a flow", "no part"])
def test_a_flow_that_is_none_is_refused(step: str) -> None:
    with pytest.raises(UsageError, match="flow"):
        plan_training(paramcalc.load(flowing([step], up=UP, down=DOWN)), TrainingJob(seq_len=1))


def test_layers_without_anything_before_them_are_refused() -> None:
    layers = {"path": "", "kinds": {"one": {"norm": "norm", "up": UP, "down": DOWN}}, "order": "2 one"}
    with pytest.raises(UsageError, match="where the model begins"):
        plan_training(paramcalc.load({"name": "headless", "width": 6, "parts": {"layers": layers}}), TrainingJob(seq_len=1))


def test_an_encoder_on_its_own_is_a_stream_too() -> None:
    """T5EncoderModel: what its encoder hands on would be read by a decoder, and nothing else follows."""
    config = {"model_type": "t5", "architectures": ["T5EncoderModel"], "num_layers": 2, "d_model": 8, "d_kv": 4, "num_heads": 2, "d_ff": 6}
    plan = plan_training(paramcalc.load(config), TrainingJob(seq_len=5))
    assert plan.saved_for_backward
    assert any("loss" in text for text in plan.not_modelled)


@pytest.mark.parametrize(("model_type", "says"), [("llama", ""), ("bitnet", "within 5 % of the reference"), (None, "were not compared")])
def test_a_type_that_is_not_equal_to_the_reference_says_so(model_type: str | None, says: str) -> None:
    assert says in checked.about(model_type)
    assert bool(says) == bool(checked.about(model_type))
