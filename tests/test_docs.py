"""Every example in the documentation is a command and what it really prints.

python tests/test_docs.py        writes the outputs of all examples anew
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import test_ci_page

from paramcalc.face.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(text: str) -> list[tuple[str, str]]:
    """(command, output) of every console block."""
    found = []
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def printed(command: str) -> str:
    """What a command prints in a pipe, in the folder of the documentation's own files; a `; echo $?` shows its exit code."""
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    words = shlex.split(command.removesuffix("; echo $?"))
    assert words[0] == "paramcalc", command
    call = [sys.executable, "-m", "paramcalc", *words[1:]]
    done = subprocess.run(
        call,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        cwd=ROOT / "docs" / "examples",
        env=environment,
    )
    return done.stdout + (f"{done.returncode}\n" if command.endswith("; echo $?") else "")


CASES = [pytest.param(command, output, id=f"{page.name}: {command}") for page in PAGES for command, output in examples(page.read_text())]


@pytest.mark.parametrize(("command", "output"), CASES)
def test_an_example_prints_what_the_page_says(command: str, output: str) -> None:
    assert printed(command) == output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert any(f"paramcalc {command}" in page.read_text() for page in PAGES)


def rewrite(page: Path) -> None:
    """Replace every example's output by what its command prints now."""

    def block(match: re.Match[str]) -> str:
        commands = re.findall(r"^\$ (.*)$", match[1], flags=re.MULTILINE)
        return "```console\n" + "".join(f"$ {command}\n{printed(command)}" for command in commands) + "```"

    page.write_text(BLOCK.sub(block, page.read_text()))


if __name__ == "__main__":
    for each in PAGES:
        rewrite(each)
    with tempfile.TemporaryDirectory() as scratch:
        test_ci_page.rewrite(Path(scratch))
