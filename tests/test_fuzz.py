"""Arbitrary documents and mutated valid ones: an answer or a refusal, never anything else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.gate.documents import parse_json, parse_yaml
from paramcalc.gate.families.index import HOMES
from paramcalc.model.order import parse_order
from paramcalc.words.errors import ParamcalcError

SPEC = {"family": "llama", "vocab_size": 11, "hidden_size": 6, "layers": 2, "heads": 3, "kv_heads": 1, "head_dim": 4, "ffn": 10}
FULL: dict[str, Any] = {
    "name": "hybrid",
    "width": 6,
    "parts": {
        "embedding": {"vocabulary": 11},
        "layers": {
            "path": "layers.{}",
            "kinds": {
                "dense": {
                    "flow": ["norm_1 attention +", "(norm_2 feed_forward | norm_2) +"],
                    "norm_1": "norm",
                    "attention": {"heads": 3, "kv_heads": 1},
                    "norm_2": "norm",
                    "feed_forward": {"size": 10},
                },
                "sparse": {"like": "dense", "feed_forward": {"kind": "experts", "count": 4, "visited": 2, "expert": {"size": 5}}},
            },
            "order": ["1 dense", "2 sparse"],
        },
        "norm": "norm",
        "head": {"outputs": 11, "tied": "embedding"},
    },
}

words = st.sampled_from(
    [
        *SPEC,
        *FULL,
        "kind",
        "like",
        "order",
        "flow",
        "norm_1 attention + +",
        "( attention | ",
        "| + norm_1",
        "kinds",
        "parts",
        "dense",
        "attention",
        "norm",
        "experts",
        "tied",
        "model_type",
        "stored",
        "path",
    ]
)
scalars = st.none() | st.booleans() | st.integers(-3, 10**13) | st.floats() | st.text(max_size=8) | words | st.sampled_from(sorted(HOMES))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=5), inner, max_size=4), max_leaves=8
)
documents = st.dictionaries(words | st.text(max_size=6), values, max_size=8)


def answered_or_refused(document: Any) -> None:
    try:
        counts = paramcalc.count(document)
    except ParamcalcError as error:
        assert str(error)
    else:
        assert counts.embeddings + counts.weights + counts.biases == counts.total
        json.dumps(counts.to_dict(by="tensor"), allow_nan=False)


def trained_or_refused(document: Any, job: TrainingJob) -> None:
    try:
        plan = plan_training(paramcalc.load(document), job)
    except ParamcalcError as error:
        assert str(error)
    else:
        assert plan.total == sum(term.bytes for term in plan.terms)


@given(documents)
def test_any_mapping_is_answered_or_refused(document: dict[str, Any]) -> None:
    answered_or_refused(document)


@given(st.sampled_from(sorted(HOMES)), documents)
@settings(max_examples=300)
def test_any_config_of_a_known_type_is_answered_or_refused(model_type: str, document: dict[str, Any]) -> None:
    answered_or_refused({key: value for key, value in document.items() if key not in ("family", "parts")} | {"model_type": model_type})


@st.composite
def mutations(draw: st.DrawFn, base: dict[str, Any]) -> dict[str, Any]:
    """A valid document with a few places changed, dropped or added."""
    document = copy.deepcopy(base)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = document
        while draw(st.booleans()):
            inner = [value for value in (place.values() if isinstance(place, dict) else place) if isinstance(value, dict | list) and value]
            if not inner:
                break
            place = draw(st.sampled_from(inner))
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            continue
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()):
            place[key] = draw(values)
        else:
            del place[key]
    return document


@given(mutations(SPEC) | mutations(FULL))
@settings(max_examples=400)
def test_a_mutated_spec_is_answered_or_refused(document: dict[str, Any]) -> None:
    answered_or_refused(document)
    trained_or_refused(document, TrainingJob(batch_size=2, seq_len=5))


GOLDEN = sorted(Path(__file__).with_name("golden").glob("families/*.json"))
JOBS = (
    TrainingJob(seq_len=5),
    TrainingJob("lora", batch_size=2, seq_len=7, checkpointing="full", attention="eager", precision="bf16-mixed"),
    TrainingJob("qlora", seq_len=6, checkpointing="selective", attention="flash", loss="fused"),
)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_model_of_every_type_is_trained_or_refused(path: Path) -> None:
    for task in json.loads(path.read_text())["tasks"].values():
        for job in JOBS:
            trained_or_refused(task["tiny"]["config"], job)


@given(st.text(max_size=200) | values.map(lambda value: yaml.safe_dump(value)))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    for parse in (parse_yaml, parse_json):
        try:
            parse(text, "text")
        except ParamcalcError as error:
            assert str(error).startswith("text")


@given(st.text(alphabet="abc0123(), ", max_size=30))
def test_any_order_is_read_or_refused(text: str) -> None:
    try:
        order = parse_order(text)
    except ValueError as error:
        assert str(error)
    else:
        assert parse_order(str(order)).counts() == order.counts()
