"""What pipelines read of a check: annotations and summaries, JUnit XML, SARIF; and that nothing in a budget can forge them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import GPT3, Called, Run

BUDGET = """\
budgets:
  - model: models/gpt3.yaml
    max_params: 175B
    max_embeddings: 600M
    reason: "50% of a card, no more"
    owner: serving
  - model: gpt2
    max_params: 1K
  - model: models/nope.yaml
    max_params: 1K
"""
EMBEDDINGS = (50257 + 2048) * 12288


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A breach in a file, a breach of a bundled model, and a model that is not there."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "gpt3.yaml").write_text(GPT3)
    (tmp_path / "budget.yaml").write_text(BUDGET)
    return tmp_path


def commands(out: str) -> list[tuple[dict[str, str], str]]:
    """The workflow commands of a log, as a runner reads them: properties and message."""
    lines = out.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    assert re.fullmatch(r"[0-9a-f]{32}", token)
    found = []
    for line in lines[lines.index(f"::{token}::") + 1 :]:
        match = re.fullmatch(r"::error (?P<properties>[^:]*)::(?P<message>.*)", line)
        assert match, line
        pairs = dict(pair.split("=", 1) for pair in match["properties"].split(","))
        found.append(({key: unescaped(value) for key, value in pairs.items()}, unescaped(match["message"])))
    return found


def unescaped(text: str) -> str:
    for sign, code in ((":", "%3A"), (",", "%2C"), ("\n", "%0A"), ("\r", "%0D"), ("%", "%25")):
        text = text.replace(code, sign)
    return text


def test_annotations_stand_on_the_file_of_the_model_or_the_line_of_the_limit(repository: Path, run: Run) -> None:
    done = run("check", "-f", "github", env={"GITHUB_WORKSPACE": str(repository)})
    assert done.returncode == 1
    first, second, third = commands(done.stdout)
    assert first[0] == {"file": "models/gpt3.yaml", "line": "1", "title": "models/gpt3.yaml is over max_embeddings"}
    assert first[1].splitlines() == [
        f"max_embeddings: {EMBEDDINGS:,} (643M) parameters in tables, limit 600,000,000 (600M): {EMBEDDINGS - 600_000_000:,} (42.7M) over "
        "(7.1% of the limit); largest: embedding, 617,558,016 (618M)",
        "why: 50% of a card, no more",
        "owner: serving",
        "limit: budget.yaml:4: budgets.0.max_embeddings",
    ]
    assert second[0] == {"file": "budget.yaml", "line": "8", "title": "gpt2 is over max_params"}
    assert third[0] == {"file": "budget.yaml", "line": "9", "title": "models/nope.yaml cannot be checked"}
    assert "no such file" in third[1]


def test_paths_of_annotations_are_those_of_the_repository(repository: Path, run: Run) -> None:
    done = run("check", "-f", "github", env={"GITHUB_WORKSPACE": str(repository.parent)})
    assert commands(done.stdout)[0][0]["file"] == f"{repository.name}/models/gpt3.yaml"


def test_a_name_with_commas_and_colons_stays_one_property(repository: Path, called: Called) -> None:
    name = "models/a,line=7::50%: b.yaml"
    (repository / "models" / "gpt3.yaml").rename(repository / name)
    (repository / "budget.yaml").write_text("budgets: [{model: models/*.yaml, max_params: 1}]\n")
    ((properties, _),) = commands(called("check", "-f", "github")[1])
    assert properties == {"file": name, "line": "1", "title": f"{name} is over max_params"}


def test_the_summary_is_appended_where_github_wants_it(repository: Path, run: Run) -> None:
    summary = repository / "summary.md"
    summary.write_text("before\n")
    run("check", "-f", "github", env={"GITHUB_STEP_SUMMARY": str(summary)})
    text = summary.read_text()
    assert text.startswith("before\n### budget.yaml · 2 of 3 limits breached (3 models, 1 cannot be checked)\n")
    assert f"| models/gpt3.yaml | max_embeddings | 600,000,000 | {EMBEDDINGS:,} |  | over |" in text
    assert "### models/nope.yaml · cannot be checked" in text
    assert "- owner: serving" in text


def test_a_summary_longer_than_github_takes_is_cut_at_a_line(repository: Path, run: Run) -> None:
    names = "".join(f"  - {{model: gpt2, max_params: 1K, reason: '{'long ' * 2000}{number}'}}\n" for number in range(120))
    (repository / "budget.yaml").write_text(f"budgets:\n{names}")
    summary = repository / "summary.md"
    run("check", "-f", "github", env={"GITHUB_STEP_SUMMARY": str(summary)})
    assert 900_000 < summary.stat().st_size < 2**20
    assert summary.read_text().endswith("(cut off: the summary is longer than GitHub shows)\n")


def test_a_summary_that_cannot_be_written_does_not_hide_the_verdict(repository: Path, run: Run) -> None:
    done = run("check", "-f", "github", env={"GITHUB_STEP_SUMMARY": str(repository / "no" / "such.md")})
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "GITHUB_STEP_SUMMARY: cannot be written" in done.stderr
    assert len(commands(done.stdout)) == 3


def test_nothing_in_a_budget_becomes_a_workflow_command_or_another_line(repository: Path, run: Run) -> None:
    evil = '"x\\n::error::forged\\n::add-mask::e\\r::warning::x"'
    (repository / "budget.yaml").write_text(
        f"budgets:\n  - {{model: gpt2, max_params: 1K, reason: {evil}, owner: {evil}}}\n  - {{model: {evil}, max_params: 1}}\n"
    )
    summary = repository / "summary.md"
    done = run("check", "-f", "github", env={"GITHUB_STEP_SUMMARY": str(summary)})
    assert len(commands(done.stdout)) == 2  # all that follows the part of the log in which no command is heard
    assert "forged" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.lstrip().startswith("::")]
    assert not [line for line in re.split(r"[\r\n]", summary.read_text()) if line.lstrip().startswith("::")]


def test_junit_has_a_case_for_every_limit_and_counts_what_it_holds(repository: Path, run: Run) -> None:
    root = ElementTree.fromstring(run("check", "-f", "junit").stdout)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "2", "1")
    cases = [(case.get("classname"), case.get("name"), [child.tag for child in case]) for case in root.iter("testcase")]
    assert cases == [
        ("models/gpt3.yaml", "max_params", ["system-out"]),
        ("models/gpt3.yaml", "max_embeddings", ["failure"]),
        ("gpt2", "max_params", ["failure"]),
        ("models/nope.yaml", "can be checked", ["error"]),
    ]
    failure = root.find(".//failure")
    assert failure is not None
    assert "600,000,000" in (failure.get("message") or "")


def test_junit_stays_xml_whatever_a_reason_holds(repository: Path, run: Run) -> None:
    (repository / "budget.yaml").write_text('budgets:\n  - {model: gpt2, max_params: 1, reason: "\\x01 ]]> <&\\uFFFE"}\n')
    failure = ElementTree.fromstring(run("check", "-f", "junit").stdout).find(".//failure")
    assert failure is not None
    assert "]]> <&" in (failure.text or "")


def test_sarif_names_the_rule_the_place_and_the_figures(repository: Path, run: Run) -> None:
    document: dict[str, Any] = json.loads(run("check", "-f", "sarif").stdout)
    assert document["version"] == "2.1.0"
    (session,) = document["runs"]
    rules = [rule["id"] for rule in session["tool"]["driver"]["rules"]]
    embeddings, bundled, missing = session["results"]
    for result in session["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert (result["level"], bool(result["message"]["text"])) == ("error", True)
    place = embeddings["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("models/gpt3.yaml", 1)
    related = embeddings["relatedLocations"][0]["physicalLocation"]
    assert (related["artifactLocation"]["uri"], related["region"]["startLine"]) == ("budget.yaml", 4)
    assert embeddings["properties"] == {
        "unit": "parameters", "limit": 600_000_000, "value": EMBEDDINGS, "excess": EMBEDDINGS - 600_000_000,
        "largest": {"name": "embedding", "parameters": 50257 * 12288}, "owner": "serving", "reason": "50% of a card, no more",
    }  # fmt: skip
    assert bundled["locations"][0]["physicalLocation"]["region"]["startLine"] == 8
    assert missing["ruleId"] == "cannot-be-checked"
    assert missing["locations"][0]["physicalLocation"]["region"]["startLine"] == 9


def test_sarif_places_what_is_in_a_file_and_nothing_else(repository: Path, called: Called) -> None:
    def places(*arguments: str) -> list[bool]:
        return ["locations" in result for result in json.loads(called("check", *arguments, "-f", "sarif")[1])["runs"][0]["results"]]

    assert places("nope.yaml") == [True]
    assert places("models/gpt3.yaml", "gpt2", "--max-params", "1") == [True, False]


def test_a_finding_keeps_its_fingerprint_when_its_figures_move(repository: Path, run: Run) -> None:
    def prints() -> list[Any]:
        return [result.get("partialFingerprints") for result in json.loads(run("check", "-f", "sarif").stdout)["runs"][0]["results"]]

    before = prints()
    (repository / "models" / "gpt3.yaml").write_text(GPT3.replace("50257", "60000"))
    assert prints() == before
    assert len({json.dumps(each) for each in before}) == 3


def test_reports_are_written_beside_the_answer(repository: Path, run: Run) -> None:
    done = run("check", "-f", "json", "--report", "junit=out.xml", "--report", "sarif=out.sarif", "--report", "markdown=out.md")
    assert json.loads(done.stdout)["breached"] == 2
    assert ElementTree.parse(repository / "out.xml").getroot().tag == "testsuites"
    assert json.loads((repository / "out.sarif").read_text())["version"] == "2.1.0"
    assert (repository / "out.md").read_text().startswith("### budget.yaml")


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "github", "junit", "sarif"])
def test_every_format_exits_alike(form: str, repository: Path, called: Called) -> None:
    assert called("check", "-f", form)[0] == 1
    (repository / "budget.yaml").write_text("budgets: [{model: gpt2, max_params: 1B}]\n")
    assert called("check", "-f", form)[0] == 0
    (repository / "budget.yaml").write_text("budgets: 1\n")
    assert called("check", "-f", form)[0] == 3
