"""A check as SARIF 2.1.0, the format in which code scanning takes findings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paramcalc import __version__
from paramcalc.costs.budgets import LIMITS
from paramcalc.costs.verdicts import Verdict
from paramcalc.face.render.github import from_root, split_place
from paramcalc.gate.budget_check import COMMAND_LINE, Checked, Report
from paramcalc.words.errors import ParamcalcError

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
REFUSED = "cannot-be-checked"
_RULES = {
    "max_params": "More parameters than the budget allows",
    "max_active": "More active parameters per token than the budget allows",
    "max_embeddings": "More parameters in tables than the budget allows",
    "max_trainable": "More trainable parameters than the budget allows",
    "max_inference": "More bytes for inference than the budget allows",
    "max_training": "More bytes for training than the budget allows",
    "fits": "Inference does not fit the device",
    "trains_on": "Training does not fit the device",
    "max_growth": "The model grew more than the budget allows",
    REFUSED: "A model or its budget cannot be read",
}


def sarif_text(reports: Sequence[Report]) -> str:
    """One run with a result for each breach and each problem."""
    results = [result for report in reports for result in _results(report)]
    rules = [{"id": name, "shortDescription": {"text": _RULES[name]}} for name in (*LIMITS, REFUSED)]
    driver = {"name": "paramcalc", "version": __version__, "semanticVersion": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False) + "\n"


def _results(report: Report) -> Iterator[dict[str, Any]]:
    if report.error:
        yield from _refused(report.error, report.name)
    for model in report.models:
        if model.error:
            yield from _refused(model.error, model.file or report.name)
        for verdict, place in zip(model.verdicts, model.places, strict=True):
            if verdict.breached:
                yield _breach(model, verdict, place)


def _breach(model: Checked, verdict: Verdict, place: str) -> dict[str, Any]:
    file, number = split_place(place)
    properties = {key: value for key, value in verdict.to_dict().items() if key in ("unit", "limit", "value", "excess", "largest")}
    properties |= {key: text for key in ("owner", "reason") if (text := getattr(model.limits, key))}
    result = _result(verdict.name, f"{model.model}: {verdict.sentence()}", model.file or file, 1 if model.file else number)
    # the same limit of the same model is the same finding, however its figures move
    result["partialFingerprints"] = {"paramcalcLimit/v1": f"{model.model}:{verdict.name}"}
    if model.file and file:
        result["relatedLocations"] = [{"id": 0, "message": {"text": "the limit"}} | _location(file, number)]
    return result | {"properties": properties}


def _refused(error: ParamcalcError, name: str) -> Iterator[dict[str, Any]]:
    for problem in error.problems:
        file, number = split_place(problem.place)
        yield _result(REFUSED, str(problem), file or name, number)


def _result(rule: str, message: str, file: str, number: int) -> dict[str, Any]:
    result = {"ruleId": rule, "ruleIndex": [*LIMITS, REFUSED].index(rule), "level": "error", "message": {"text": message}}
    return result | ({"locations": [_location(file, number)]} if file and file != COMMAND_LINE else {})


def _location(file: str, number: int) -> dict[str, Any]:
    """A place in the repository; a file outside of it is named by its own URI."""
    path = from_root(file)
    uri = Path(file).resolve().as_uri() if path.startswith("../") else _quoted(path)
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": max(number, 1)}}}


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path)
