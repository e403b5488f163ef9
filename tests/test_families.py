"""Every family against what its reference implementation holds: totals, kinds, and tensors by name and shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reference.trim import digest

import paramcalc
from paramcalc.gate.families.index import HOMES, family
from paramcalc.holdings.counts import Counts
from paramcalc.words.errors import InputError

GOLDEN = Path(__file__).parent / "golden" / "families"
TYPES = sorted(path.stem for path in GOLDEN.glob("*.json"))
REFUSED = re.compile(
    r"does not divide|is not divisible|expected at least 1, got 0|expected a size, or a height and a width, got \[\d+, \d+, \d+\]"
)
"""What a config may be refused for that the reference builds, because no such model could run, or a part of it is empty."""


def tasks_of(model_type: str) -> dict[str, Any]:
    tasks: dict[str, Any] = json.loads((GOLDEN / f"{model_type}.json").read_text())["tasks"]
    return tasks


def tiny_models(model_type: str) -> Iterator[tuple[dict[str, Any], paramcalc.Architecture]]:
    """Every tiny case of a type with the model it makes, but for those that no such model could run."""
    for cases in tasks_of(model_type).values():
        try:
            yield cases["tiny"], paramcalc.load(cases["tiny"]["config"])
        except InputError as error:
            assert REFUSED.search(str(error)), error


def tensors(counts: Counts) -> list[list[Any]]:
    found: dict[tuple[str, tuple[int, ...]], int] = {}
    for row in counts.rows:
        if not row.tied:
            key = row.name, tuple(map(int, row.shape))
            found[key] = found.get(key, 0) + int(row.repeat)
    return [[name, list(shape), count] for (name, shape), count in found.items()]


def unlike(config: dict[str, Any], case: dict[str, Any]) -> Iterator[str]:
    """What paramcalc counts differently from a recorded case."""
    try:
        counts = paramcalc.count(config)
    except InputError as error:
        if not REFUSED.search(str(error)):
            yield str(error)
        return
    got = {"total": counts.total, "active": counts.active, "bias": counts.biases, "embedding_total": counts.embeddings}
    for key, value in got.items():
        if key in case and case[key] != value and not (key == "active" and case[key] is None):
            yield f"{key}: {case[key]} in the reference, {value} here"
    if "digest" in case and digest(tensors(counts)) != case["digest"]:
        yield "tensors differ"
    if "tensors" in case and digest(tensors(counts)) != digest(case["tensors"]):
        yield f"tensors differ: {sorted(map(str, case['tensors']))} in the reference, {sorted(map(str, tensors(counts)))} here"


@pytest.mark.parametrize("model_type", TYPES)
def test_a_family_holds_what_its_reference_holds(model_type: str) -> None:
    wrong = []
    for task, cases in tasks_of(model_type).items():
        tiny = cases["tiny"]
        wrong += [f"{task} tiny {form}: {line}" for form in ("config", "config_full") for line in unlike(tiny[form], tiny)]
        wrong += [f"{task} default: {line}" for case in cases["default"] for line in unlike(case["config"], case)]
        for case in (*cases["classes"], *cases["changed"]):
            config = {key: value for key, value in (tiny["config"] | case["set"]).items() if key not in case["drop"]}
            wrong += [f"{task} {case.get('key', config['architectures'])}: {line}" for line in unlike(config, case)]
    assert not wrong


@pytest.mark.parametrize("model_type", TYPES)
def test_an_imported_config_counts_the_same_as_a_spec(model_type: str) -> None:
    for _, model in tiny_models(model_type):
        again = paramcalc.load(dict(model.document))
        assert tensors(paramcalc.count(again)) == tensors(paramcalc.count(model))


@pytest.mark.parametrize("model_type", TYPES)
def test_the_full_form_of_a_config_leaves_no_key_unread(model_type: str) -> None:
    for tiny, _ in tiny_models(model_type):
        assert not paramcalc.load(tiny["config_full"]).origin.unread


MIXED = [json.loads(line) for line in (GOLDEN.parent / "mixed.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("case", MIXED, ids=[case["id"].split()[0] for case in MIXED])
def test_several_changes_at_once_are_counted_as_the_reference_counts_them(case: dict[str, Any]) -> None:
    assert not list(unlike(case["config"], case))


def test_hardly_any_recorded_model_is_refused() -> None:
    refused = [model_type for model_type in TYPES if len(list(tiny_models(model_type))) < len(tasks_of(model_type))]
    assert len(refused) <= 10, refused


def test_every_family_in_the_index_is_there() -> None:
    for model_type in HOMES:
        assert callable(family(model_type))


def test_the_families_are_most_of_what_the_reference_knows() -> None:
    assert len(TYPES) >= 450


FOREIGN = [json.loads(line) for line in (GOLDEN.parent / "foreign_sizes.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("model_type", sorted({row["family"] for row in FOREIGN}))
def test_a_size_that_a_class_knows_nothing_of_changes_nothing(model_type: str) -> None:
    """BERT has no KV heads whatever its config says; OLMoE does not declare a head_dim, and takes it all the same."""
    wrong = []
    for row in (row for row in FOREIGN if row["family"] == model_type):
        config = json.loads(json.dumps(tasks_of(model_type)[row["task"]]["tiny"]["config"]))
        (config if row["inside"] is None else config[row["inside"]])[row["key"]] = row["size"]
        wrong += [f"{row}: {line}" for line in unlike(config, {"total": row["total"]})]
    assert not wrong
