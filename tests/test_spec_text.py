"""Full forms written as YAML read back to what they were."""

from __future__ import annotations

from collections.abc import Mapping

from paramcalc.gate.documents import parse_yaml
from paramcalc.gate.spec_text import full_text


def read_back(document: Mapping[str, object]) -> object:
    return parse_yaml(full_text(document), "x")


def test_the_braces_of_a_name_are_quoted_between_the_braces_of_a_mapping() -> None:
    document = {"width": 7, "parts": {"norm": {"type": "layer", "path": "downsample.{}"}}}
    assert "'downsample.{}'" in full_text(document)
    assert read_back(document) == document


def test_a_name_on_a_line_of_its_own_needs_no_quotes() -> None:
    assert full_text({"path": "layers.{}"}) == "path: layers.{}\n"


def test_what_looks_like_a_number_or_a_truth_stays_the_text_it_is() -> None:
    document = {"model_type": "1e3", "parts": {"head": {"path": "yes", "names": {"weight": "0x10"}}}}
    assert read_back(document) == document
