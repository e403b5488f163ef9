"""Blocks that hold nothing, wherever they stand."""

from __future__ import annotations

import pytest

from paramcalc.holdings.counts import count_architecture
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import InputError


@pytest.mark.parametrize("part", [{"kind": "dropout", "rate": 0.1}, {"kind": "fourier"}], ids=["dropout", "fourier"])
def test_it_holds_no_parameters(part: dict[str, object]) -> None:
    assert count_architecture(architecture_from({"name": "x", "width": 6, "parts": {"it": part}})).total == 0


def test_a_rate_is_a_probability_below_one() -> None:
    with pytest.raises(InputError, match="rate"):
        architecture_from({"name": "x", "width": 6, "parts": {"it": {"kind": "dropout", "rate": 1.0}}})
