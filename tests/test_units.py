"""Units: what a number is, is always said beside it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from paramcalc.words.errors import UsageError
from paramcalc.words.units import parse_bytes, parse_count, parse_share


@pytest.mark.parametrize(
    ("text", "number"), [("7B", 7 * 10**9), ("124,439,808", 124_439_808), ("1.5M", 1_500_000), ("2 t", 2 * 10**12), ("0", 0)]
)
def test_a_count_is_in_powers_of_ten(text: str, number: int) -> None:
    assert parse_count(text) == number


@pytest.mark.parametrize(("text", "number"), [("24GiB", 24 * 2**30), ("80 GB", 80 * 10**9), ("0.5 MiB", 2**19), ("7b", 7)])
def test_bytes_are_in_the_unit_that_stands_there(text: str, number: int) -> None:
    assert parse_bytes(text) == number


def test_a_share_is_exact() -> None:
    assert parse_share("0.1%") == Fraction(1, 1000)
    assert parse_share("100 %") == 1
    assert parse_share("0%") == 0


@pytest.mark.parametrize("text", ["", "7", "-1GiB", "24 Gi", "GiB", "1e99GiB", "1 GiB 2", "٣GiB extra"])
def test_bytes_without_a_unit_or_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["", "7X", "-7B", "7GiB", "1e99", "B", "nan"])
def test_a_count_without_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_count(text)


@pytest.mark.parametrize("text", ["", "1", "0.01", "-1%", "%", "1%%", "1 percent", "1e3%", "1/0%", "9" * 4000 + "%"])
def test_a_share_without_its_unit_or_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_share(text)
