"""Recurrent networks, in closed form."""

from __future__ import annotations

import pytest

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
