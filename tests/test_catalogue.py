"""Every bundled architecture against the reference implementation, and the classical ones in closed form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run

import paramcalc
from paramcalc.gate.load import bundled_names

RECORDED = json.loads((Path(__file__).parent / "golden" / "catalogue.json").read_text())["totals"]
CLOSED_FORM = {
    "linear-regression": 2,
    "logistic-regression": 4 + 1,
    "linear-svm": 4 + 1,
    "gaussian-naive-bayes": 3 * 4 + 3 * 4 + 3,
    "dense-1000-500": 500_000 + 500,
    "mlp": 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10,
    "lenet-5": 61_706,
    "vgg-16": 138_357_544,  # torchvision's vgg16, and Simonyan & Zisserman 2015, Table 2 (138M)
    "rnn": 65 * 64 + 128 * (64 + 128 + 2) + 128 * 65 + 65,
    "lstm-lm": 10_000 * 650 + 2 * 4 * 650 * (650 + 650 + 2) + 650 * 10_000 + 10_000,
    "gru": 2 * 3 * 256 * (300 + 256 + 2) + 512 * 2 + 2,
    # the reference refuses this one, as 40 heads do not divide 5,140: 4 projections of 5,140 × 5,120, as the paper's table has it
    "gpt3-13b": (50257 + 2048) * 5140 + 40 * (4 * 5140 * 5120 + 3 * 5120 + 5140 + 8 * 5140**2 + 5 * 5140 + 4 * 5140) + 2 * 5140,
}
REPORTED = {"gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-4.5", "gemini-3", "claude-3.5-sonnet"}
STATED = {  # makers' or papers' own figures, to the digits they print
    "resnet-18": 11_689_512,
    "resnet-50": 25_557_032,
    "gpt3": 174_604_259_328,
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "llama-3-8b": 8_030_261_248,
    "mixtral-8x7b": 46_702_792_704,
    "deepseek-v3": 671_026_404_352,
}
ACTIVE = {"mixtral-8x7b": 12_879_925_248, "deepseek-v3": 37_552_282_624}


@pytest.mark.parametrize("name", bundled_names())
def test_a_bundled_architecture_counts_as_its_reference(name: str) -> None:
    if name in REPORTED:
        assert paramcalc.load(name).reported
        return
    assert paramcalc.count(name).total == CLOSED_FORM.get(name, RECORDED.get(name))


def test_the_reference_and_the_published_figures_agree() -> None:
    for name, total in STATED.items():
        assert RECORDED[name] == total


@pytest.mark.parametrize("name", ACTIVE)
def test_active_is_what_a_token_visits(name: str) -> None:
    assert paramcalc.count(name).active == ACTIVE[name]


def test_models_lists_every_one_and_prints_a_spec(run: Run) -> None:
    listed = json.loads(run("models", "-f", "json").stdout)["models"]
    assert [row["name"] for row in listed] == bundled_names()
    assert run("models", "mixtral-8x7b").stdout.startswith("# yaml-language-server")
    assert run("models", "mixtral-8x77b").returncode == 4


@pytest.mark.parametrize("written", ["llama3-8b", "LLaMA-3-8B", "llama-3-8b.yaml"])
def test_a_name_may_leave_out_punctuation_and_is_named_in_the_output(written: str, run: Run) -> None:
    assert json.loads(run("count", written, "-f", "json").stdout)["model"]["source"] == "llama-3-8b.yaml"


@pytest.mark.parametrize("name", sorted(REPORTED))
def test_a_reported_size_is_printed_as_reported_and_never_split(name: str, run: Run) -> None:
    answer = json.loads(run("count", name, "-f", "json").stdout)
    assert answer["parameters"] is None
    assert answer["components"] == []
    assert len(answer["reported"]["total"]) == 2
    assert "reported" in run("count", name).stdout.splitlines()[0]


def test_the_bundled_schema_is_the_one_the_program_prints_and_accepts_every_spec(run: Run) -> None:
    import yaml
    from jsonschema import Draft202012Validator

    from paramcalc.gate.load import bundled_folder

    text = (bundled_folder() / "spec.schema.json").read_text()
    assert run("schema").stdout == text
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for name in bundled_names():
        validator.validate(yaml.safe_load((bundled_folder() / f"{name}.yaml").read_text()))
    assert not validator.is_valid({"family": "gpt2", "hidden_size": "wide"})
    assert not validator.is_valid({"parts": {"attention": {"kind": "attention", "hedas": 3}}})
