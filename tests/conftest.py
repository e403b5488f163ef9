"""What tests share: running the program in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The same cases in every run, so that a red build means a change; PARAMCALC_FUZZ=random looks for new ones.
settings.register_profile("stable", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None, max_examples=2000)
settings.load_profile("random" if os.environ.get("PARAMCALC_FUZZ") == "random" else "stable")

Run = Callable[..., subprocess.CompletedProcess[str]]

GPT3 = """\
name: GPT-3 175B
family: gpt2
vocab_size: 50257
hidden_size: 12288
num_hidden_layers: 96
num_attention_heads: 96
intermediate_size: 49152
max_position_embeddings: 2048
"""


@pytest.fixture
def gpt3(tmp_path: Path) -> Path:
    """The contract's simplest spec, as a file."""
    path = tmp_path / "gpt3.yaml"
    path.write_text(GPT3)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The program as a user runs it, in a folder of its own, without a terminal."""

    def call(*arguments: object, env: dict[str, str] | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "paramcalc", *map(str, arguments)]
        clean = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, cwd=tmp_path, env=clean | (env or {}), encoding="utf-8"
        )

    return call


Called = Callable[..., tuple[int, str, str]]


@pytest.fixture
def called(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Called:
    """The same in this process, for many calls in little time: exit code, stdout and stderr. An exception is no exit."""
    from paramcalc.face.cli.app import main

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["paramcalc", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return int(str(left.value.code or 0)), *capsys.readouterr()

    return call
