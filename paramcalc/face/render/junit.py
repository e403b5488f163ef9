"""A check as JUnit XML: a suite for each budget, a case for each limit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from paramcalc.gate.budget_check import Checked, Report
from paramcalc.words.errors import ParamcalcError

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write (section 2.2)."""


def junit_text(reports: Sequence[Report]) -> str:
    """One document for all budgets. A breach is a failure; what cannot be checked is an error."""
    root = Element("testsuites", name="paramcalc check")
    for report in reports:
        suite = SubElement(root, "testsuite", name=_text(report.name))
        for case in _cases(report):
            suite.append(case)
        _count(suite)
    _count(root)
    indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, encoding="unicode")}\n'


def _cases(report: Report) -> Iterator[Element]:
    if report.error:
        yield _refused(report.name, report.error)
    for model in report.models:
        if model.error:
            yield _refused(model.model, model.error)
        yield from _limits(model)


def _limits(model: Checked) -> Iterator[Element]:
    for verdict, place in zip(model.verdicts, model.places, strict=True):
        case = Element("testcase", classname=_text(model.model), name=verdict.name)
        sentence = _text(verdict.sentence())
        if verdict.breached:
            about = [sentence, place, model.limits.reason, model.limits.owner]
            SubElement(case, "failure", type="BudgetError", message=sentence).text = _text("\n".join(filter(None, about)))
        else:
            SubElement(case, "system-out").text = sentence
        yield case


def _refused(name: str, error: ParamcalcError) -> Element:
    case = Element("testcase", classname=_text(name), name="can be checked")
    SubElement(case, "error", type=type(error).__name__, message=_text(str(error.problems[0]))).text = _text(str(error))
    return case


def _count(element: Element) -> None:
    """Sets the numbers of tests, failures and errors below an element."""
    element.set("tests", str(sum(1 for _ in element.iter("testcase"))))
    element.set("failures", str(sum(1 for _ in element.iter("failure"))))
    element.set("errors", str(sum(1 for _ in element.iter("error"))))


def _text(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
