"""Groups that the reference freezes hold parameters that are counted and not trained."""

from __future__ import annotations

from paramcalc.holdings.counts import count_architecture
from paramcalc.model.tree import architecture_from


def test_a_frozen_group_is_counted_and_not_trained() -> None:
    frozen = {"trainable": False, "inner": {"first": {"kind": "dense", "bias": False}}}
    document = {"name": "x", "width": 6, "parts": {"frozen": frozen, "free": {"kind": "dense", "outputs": 5, "bias": False}}}
    counts = count_architecture(architecture_from(document))
    assert (counts.total, counts.trainable) == (6 * 6 + 5 * 6, 5 * 6)


def test_a_group_inside_a_frozen_one_may_be_trained() -> None:
    frozen = {"trainable": False, "inner": {"trainable": True, "first": {"kind": "dense", "bias": False}}}
    counts = count_architecture(architecture_from({"name": "x", "width": 6, "parts": {"frozen": frozen}}))
    assert counts.trainable == counts.total == 6 * 6
