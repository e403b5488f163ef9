"""Causal convolutions over tokens, in closed form."""

from __future__ import annotations

from paramcalc.holdings.counts import count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(**fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": 6, "parts": {"mixer": {"kind": "causal_convolution", "kernel": 4, **fields}}})


def test_it_holds_one_filter_for_each_channel() -> None:
    assert count_architecture(model()).total == 6 * 4
    assert count_architecture(model(channels=10)).total == 10 * 4
    assert count_architecture(model(channels=10, bias=True)).biases == 10


def test_taps_made_from_the_stream_stand_beside_static_ones() -> None:
    assert count_architecture(model(channels=10, heads=5)).total == 4 * 10 + 5 * 4 * 6


def test_it_remembers_a_kernel_of_tokens() -> None:
    assert [(row.shape, row.dtype) for row in caches(model(channels=10, state_dtype="fp32"))] == [((10, 4), "fp32")]
