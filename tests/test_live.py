"""Live modules, counted by what they say themselves; a small look-alike of torch.nn.Module stands for torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import paramcalc


class Parameter:
    """A tensor's shape and whether it trains."""

    def __init__(self, *shape: int, requires_grad: bool = True) -> None:
        self.shape, self.requires_grad = shape, requires_grad


class Module:
    """The part of torch.nn.Module that is asked: named parameters and modules, duplicates left out unless wanted."""

    def __init__(self, **members: Any) -> None:
        self.members = members

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, member in self.members.items():
            if isinstance(member, Module):
                yield from member.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, member in module.members.items():
                if isinstance(member, Parameter) and not (remove_duplicate and id(member) in seen):
                    seen.add(id(member))
                    yield (f"{path}.{name}" if path else name), member


class Embedding(Module):
    """A table, by the name of its class."""


class Linear(Module):
    def __init__(self, outputs: int, inputs: int, **flags: bool) -> None:
        super().__init__(weight=Parameter(outputs, inputs, **flags), bias=Parameter(outputs, **flags))


class Policy(Module):
    """A table of 7 × 4 that the head shares, three layers, the first of them frozen."""

    def __init__(self) -> None:
        table = Parameter(7, 4)
        layers = {str(number): Linear(4, 4, requires_grad=number > 0) for number in range(3)}
        super().__init__(embed=Embedding(weight=table), layers=Module(**layers), head=Module(weight=table), scale=Parameter())


TOTAL = 7 * 4 + 3 * (16 + 4) + 1


def test_shared_tensors_count_once_and_frozen_ones_do_not_train() -> None:
    counts = paramcalc.count(Policy())
    assert (counts.total, counts.trainable, counts.active) == (TOTAL, TOTAL - 20, None)
    assert (counts.embeddings, counts.biases, counts.weights) == (28, 12, 48 + 1)
    assert {row.name: row.tied for row in counts.rows if row.tied} == {"head.weight": "embed.weight"}
    answer = counts.to_dict("tensor")
    assert sum(row["total"] for row in answer["rows"]) == answer["parameters"]["total"] == TOTAL
    assert answer["model"] == {"name": "Policy", "source": "live module", "model_type": None}


def test_layers_of_one_shape_are_one_row_with_their_copies() -> None:
    rows = {(row.name, row.trainable): row.repeat for row in paramcalc.count(Policy()).rows}
    assert (rows["layers.{}.weight", True], rows["layers.{}.weight", False]) == (2, 1)


def test_a_module_that_cannot_list_duplicates_counts_the_same() -> None:
    class Old(Policy):
        def named_parameters(self) -> Iterator[tuple[str, Parameter]]:  # type: ignore[override]
            return super().named_parameters()

    assert paramcalc.count(Old()).total == TOTAL


def test_packed_and_partitioned_parameters_count_as_what_they_stand_for() -> None:
    packed, split = Parameter(24, 1), Parameter(0)
    packed.quant_state = type("QuantState", (), {"shape": (8, 6)})()  # type: ignore[attr-defined]
    split.ds_shape = (5, 3)  # type: ignore[attr-defined]
    assert paramcalc.count(Module(a=packed, b=split)).total == 48 + 15


def test_a_parameter_without_a_shape_is_refused_by_its_name() -> None:
    class Lazy:
        @property
        def shape(self) -> tuple[int, ...]:
            raise RuntimeError("not initialized")

    module = Module()
    module.named_parameters = lambda **_: iter([("head.weight", Lazy())])  # type: ignore[method-assign]
    with pytest.raises(paramcalc.InputError, match=r"head\.weight: has no shape yet"):
        paramcalc.count(module)


def test_a_budget_within_its_limits_returns_the_verdicts() -> None:
    verdicts = paramcalc.assert_budget(Policy(), max_params=TOTAL, max_trainable=TOTAL - 20)
    assert [(verdict.name, verdict.excess) for verdict in verdicts] == [("max_params", 0), ("max_trainable", 0)]


def test_a_breach_is_an_assertion_that_names_limit_value_excess_and_largest() -> None:
    with pytest.raises(AssertionError) as caught:
        paramcalc.assert_budget(Policy(), max_params=TOTAL - 1, max_embeddings=20, reason="a phone", owner="edge")
    assert isinstance(caught.value, paramcalc.BudgetError)
    assert isinstance(caught.value, paramcalc.ParamcalcError)
    assert str(caught.value).splitlines() == [
        "Policy: max_params: 89 parameters, limit 88: 1 over (1.1% of the limit); largest: layers.{}.weight, 48; "
        "why this limit: a phone; owner: edge",
        "Policy: max_embeddings: 28 parameters in tables, limit 20: 8 over (40.0% of the limit); largest: embed.weight, 28; "
        "why this limit: a phone; owner: edge",
    ]


def test_a_spec_is_held_to_memory_as_well() -> None:
    paramcalc.assert_budget("llama-3-8b", max_params="8.1B", max_inference="24GiB", fits="24GB", inference={"context": 4096})
    with pytest.raises(AssertionError, match=r"max_inference: .* largest: weights"):
        paramcalc.assert_budget("gpt3", max_inference="24GiB")


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({}, "no limit is given"),
        ({"max_growth": "1%"}, "growth needs a baseline"),
        ({"max_params": "7X"}, "max_params: expected a number of parameters"),
        ({"max_parms": 1}, "did you mean max_params"),
        ({"max_inference": "1GiB"}, "a live module does not say what inference takes"),
        ({"fits": "H100"}, "a live module does not say what inference takes"),
    ],
)
def test_a_wrong_limit_is_a_mistaken_call_and_no_failed_assertion(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(paramcalc.UsageError, match=says):
        paramcalc.assert_budget(Policy(), **limits)
