"""How long a budget takes against one count, both cold. Timing decides no test; run it by hand.

    python benchmarks/check.py

A budget of 50 entries, each a spec of its own, is checked in turn with one `paramcalc count` of one of these specs; the
median of the ratios of 15 pairs is to stay under 2. First with limits on parameters, then with limits on parameters,
inference and growth for every entry, then with a limit on training too.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENTRIES, PAIRS = 50, 15
LIMITS = {
    "parameters": ("max_params: 10B",),
    "parameters, inference, growth": ("max_params: 10B", "max_inference: 1TiB", "max_growth: 1%"),
    "parameters, inference, growth, training": ("max_params: 10B", "max_inference: 1TiB", "max_growth: 1%", "max_training: 9TiB"),
}


def spec(number: int) -> str:
    """Specs of two families and many sizes."""
    return (
        f"family: {('gpt2', 'llama')[number % 2]}\nvocab_size: {1000 + number}\nhidden_size: {64 * (1 + number % 8)}\n"
        f"layers: {2 + number}\nheads: 4\nintermediate_size: 512\nmax_position_embeddings: 1024\n"
    )


def seconds(folder: Path, *arguments: str) -> float:
    command = [sys.executable, "-m", "paramcalc", *arguments]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(folder: Path, name: str, limits: tuple[str, ...]) -> None:
    entries = [f"  - model: models/{number}.yaml\n    reason: a reason\n    owner: an owner\n" for number in range(ENTRIES)]
    body = "".join(f"    {line}\n" for line in limits)
    (folder / "budget.yaml").write_text("budgets:\n" + "".join(entry + body for entry in entries))
    seconds(folder, "check", "--update")
    pairs = [(seconds(folder, "check"), seconds(folder, "count", "models/1.yaml")) for _ in range(PAIRS)]
    ratios = [check / count for check, count in pairs]
    checks, counts = (min(times) for times in zip(*pairs, strict=True))
    print(
        f"{ENTRIES} entries, {name}: {statistics.median(ratios):.2f} × one count (from {min(ratios):.2f} to {max(ratios):.2f}; "
        f"at best {checks * 1e3:.0f} ms against {counts * 1e3:.0f} ms)"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "models").mkdir()
        for number in range(ENTRIES):
            (Path(scratch) / "models" / f"{number}.yaml").write_text(spec(number))
        for name, limits in LIMITS.items():
            measure(Path(scratch), name, limits)
