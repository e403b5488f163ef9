"""timm's networks against what timm itself builds under transformers' wrappers: totals, biases, tensors by name and shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reference.trim import digest
from test_families import tensors

import paramcalc
from paramcalc.gate.networks.index import known_names, network, recipes, row, table
from paramcalc.words.errors import InputError, UnknownArchitectureError

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "timm_networks.json").read_text())
CLASSES = {"base": "TimmWrapperModel", "image_classification": "TimmWrapperForImageClassification"}


def wrapper(architecture: str, task: str = "image_classification", **fields: Any) -> dict[str, Any]:
    about = {"model_type": "timm_wrapper", "architectures": [CLASSES[task]], "num_classes": GOLDEN["classes"]}
    return about | {"architecture": architecture} | fields


def held(config: dict[str, Any]) -> list[Any]:
    counts = paramcalc.count(config)
    return [counts.total, counts.biases, digest(tensors(counts))]


@pytest.mark.parametrize("recipe", recipes())
def test_a_network_holds_what_timm_builds_under_its_name(recipe: str) -> None:
    wrong = []
    for name in (name for name in table(recipe) if not isinstance(row(name), str)):
        for task in CLASSES:
            got, expected = held(wrapper(name, task)), GOLDEN["names"][name][task]
            wrong += [f"{name} {task}: {expected} in timm, {got} here"] if got != expected else []
    assert not wrong


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_arguments_change_a_network_as_they_do_in_timm(case: str) -> None:
    for task in CLASSES:
        assert held(wrapper(task=task, **json.loads(case))) == GOLDEN["cases"][case][task]


@pytest.mark.parametrize("case", GOLDEN["backbones"])
def test_a_backbone_holds_what_leads_to_its_maps(case: str) -> None:
    assert held({"model_type": "timm_backbone"} | json.loads(case)) == GOLDEN["backbones"][case]


def test_a_name_that_is_not_known_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        UnknownArchitectureError, match=r"architecture: unknown network of timm: 'resnet500.a1_in1k'.*\n?.*resnet50"
    ) as error:
        paramcalc.load(wrapper("resnet500.a1_in1k"))
    assert error.value.exit_code == 5


def test_an_older_name_stands_for_a_present_one() -> None:
    older = [name for name in known_names() if isinstance(row(name), str)]
    assert len(older) > 80
    assert all(network(name, "architecture") == network(row(name), "architecture") for name in older)


def test_a_tag_is_no_part_of_a_network() -> None:
    assert network("resnet50.a1_in1k", "architecture") == network("resnet50", "architecture")
    assert len(set(known_names())) == len(known_names())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"layer": [1, 1, 1, 1]}, r"model_args.layer: an argument of timm's that is not modelled for this network.*\n?.*layers"),
        ({"layers": [1, "2", 1, 1]}, r"model_args.layers: expected a list, each a whole number"),
        ({"avg_down": 1}, r"model_args.avg_down: expected true or false, got 1"),
        ([1], r"model_args: expected a mapping"),
    ],
    ids=["unknown", "no size", "no flag", "no mapping"],
)
def test_an_argument_that_is_not_understood_is_refused(arguments: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        paramcalc.load(wrapper("resnet50", model_args=arguments))


def test_a_config_as_the_hub_has_it_says_no_type_and_counts_as_the_wrapper() -> None:
    """timm's files name the network and the classes, and hold a `pretrained_cfg`; one without classes has no head."""
    about = {
        "architecture": "resnet18",
        "num_features": 512,
        "global_pool": "avg",
        "pretrained_cfg": {"tag": "a1_in1k", "num_classes": 1000},
    }
    whole, bare = (paramcalc.count(about | {"num_classes": classes}).total for classes in (1000, 0))
    assert whole - bare == 512 * 1000 + 1000
    assert bare == GOLDEN["names"]["resnet18"]["base"][0]
