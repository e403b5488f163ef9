"""Recurrent networks, in closed form."""

from __future__ import annotations

import pytest

from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "recurrent", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


@pytest.mark.parametrize(("type_", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_a_cell_holds_its_gates_over_inputs_and_state_with_two_biases(type_: str, gates: int) -> None:
    counts = held(type=type_, size=5)
    assert counts.weights == gates * 5 * 6 + gates * 5 * 5
    assert counts.biases == 2 * gates * 5
    assert held(type=type_, size=5, bias=False).total == counts.weights


def test_names_and_shapes_are_those_of_torch() -> None:
    rows = [(row.name, row.shape) for row in held(size=5, layers=2, bidirectional=True, bias=False).rows]
    assert rows == [
        ("mixer.weight_ih_l0", (20, 6)), ("mixer.weight_hh_l0", (20, 5)),
        ("mixer.weight_ih_l0_reverse", (20, 6)), ("mixer.weight_hh_l0_reverse", (20, 5)),
        ("mixer.weight_ih_l1", (20, 10)), ("mixer.weight_hh_l1", (20, 5)),
        ("mixer.weight_ih_l1_reverse", (20, 10)), ("mixer.weight_hh_l1_reverse", (20, 5)),
    ]  # fmt: skip


def test_a_projected_lstm_feeds_back_the_projection() -> None:
    counts = held(size=5, layers=2, projection=3)
    assert counts.weights == 4 * 5 * (6 + 3) + 3 * 5 + 4 * 5 * (3 + 3) + 3 * 5
    assert states(size=5, layers=2, projection=3) == {"hidden_state": ((2, 3), "compute"), "cell_state": ((2, 5), "compute")}


def test_only_an_lstm_has_a_cell_and_only_one_direction_can_decode() -> None:
    assert list(states(type="gru", size=5)) == ["hidden_state"]
    assert states(size=5, bidirectional=True) == {}


def test_a_projection_of_another_network_is_refused() -> None:
    with pytest.raises(InputError, match="only an lstm has a projection"):
        model(type="gru", size=5, projection=3)


@pytest.mark.parametrize(("type_", "aside", "begins"), [("lstm", 5, 2), ("gru", 6, 1), ("rnn", 1, 1)])
@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("bf16", 2)])
def test_training_keeps_what_the_kernel_sets_aside_and_the_state_at_the_beginning(
    type_: str, aside: int, begins: int, precision: str, size: int
) -> None:
    """Three layers of 7 units, 2 sequences of 11 tokens: input and output, what is set aside for each layer with the outputs
    between layers, and the state of each layer."""
    t, h, layers = 22, 7, 3
    parts = {
        "embedding": {"vocabulary": 9, "size": h},
        "cells": {"kind": "recurrent", "type": type_, "inputs": h, "size": h, "layers": layers},
    }
    plan = plan_training(architecture_from({"name": "x", "parts": parts}), TrainingJob(precision=precision, batch_size=2, seq_len=11))
    assert plan.saved_for_backward == size * (2 * t * h + t * h * (layers * aside + layers - 1) + layers * 2 * h * begins)
    assert {term.basis for term in plan.terms if term.name == "activations"} == {"model"}


def test_both_directions_are_kept_and_autocast_copies_all_weights_for_the_call() -> None:
    t, h, weights = 22, 7, 2 * 3 * 7 * (7 + 7 + 2)
    document = {"name": "x", "parts": {"gru": {"kind": "recurrent", "type": "gru", "inputs": h, "size": h, "bidirectional": True}}}
    plan = plan_training(architecture_from(document), TrainingJob(precision="bf16-mixed", batch_size=2, seq_len=11))
    kinds = {kept.name: kept.bytes * times for kept, times in plan.kept}
    assert kinds["reserve space"] == 2 * t * 2 * h * 6
    assert kinds["recurrent cells"] == 2 * t * 2 * h
    assert kinds["state at the beginning"] == 2 * 2 * 2 * h
    assert sum(kept.bytes for kept, _ in plan.kept if kept.name == "cast") == 2 * (weights + t * h)
