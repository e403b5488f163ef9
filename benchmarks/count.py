"""How fast counting is, as ratios in one run. Timing decides no test; run it by hand.

    python benchmarks/count.py [FLOOR.py]

Prints three figures:
- depth: counting 100,000 layers of 10,000 experts against 10 layers of 8 (the cost is that of distinct layers);
- configs: milliseconds to read and count one config.json, over 500 different ones in this process;
- cold start: `paramcalc count gpt3.yaml --format json` and `--help` against FLOOR.py, a script with one Typer command, one
  Pydantic model and one YAML file, where such a script is given; in turn, the median of the ratios.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import paramcalc
from paramcalc.gate.load import bundled_folder


def seconds(run: Callable[[], object], repeats: int = 50) -> float:
    """The shortest of several runs: what the work itself takes."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def sparse(layers: int, experts: int) -> dict[str, object]:
    kinds = {
        "dense": {"norm_1": "norm", "attention": {"heads": 16, "kv_heads": 2}, "norm_2": "norm", "feed_forward": {"size": 4096}},
        "sparse": {"like": "dense", "feed_forward": {"kind": "experts", "count": experts, "visited": 8, "expert": {"size": 512}}},
    }
    return {"width": 2048, "parts": {"layers": {"kinds": kinds, "order": f"3 dense, {layers - 3} sparse"}}}


def depth() -> None:
    small, large = (seconds(lambda spec=spec: paramcalc.count(spec)) for spec in (sparse(10, 8), sparse(100_000, 10_000)))
    print(f"depth: 10 layers {small * 1e3:.2f} ms, 100,000 layers {large * 1e3:.2f} ms, ratio {large / small:.2f}")


def configs(number: int = 500) -> None:
    families = {
        "llama": {"num_key_value_heads": 2},
        "gpt2": {},
        "mixtral": {"num_local_experts": 4, "num_key_value_heads": 2},
        "gemma2": {"head_dim": 16, "num_key_value_heads": 2},
        "bloom": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index in range(number):
            model_type, more = list(families.items())[index % len(families)]
            sizes = {"hidden_size": 64 * (1 + index % 16), "num_hidden_layers": 2 + index % 30, "num_attention_heads": 4}
            paths.append(Path(folder) / f"{index}.json")
            paths[-1].write_text(json.dumps({"model_type": model_type, "vocab_size": 1000 + index} | sizes | more))
        for path in paths[: len(families)]:
            paramcalc.count(path)
        start = time.perf_counter()
        for path in paths:
            paramcalc.count(path)
        spent = time.perf_counter() - start
    print(f"configs: {number} different configs, {spent / number * 1e3:.2f} ms each")


def cold(floor: str) -> None:
    spec = str(bundled_folder() / "gpt3.yaml")
    commands = {
        "count": [sys.executable, "-m", "paramcalc", "count", spec, "--format", "json"],
        "--help": [sys.executable, "-m", "paramcalc", "--help"],
        "--version": [sys.executable, "-m", "paramcalc", "--version"],
    }
    for name, command in commands.items():
        ratios = []
        for _ in range(15):
            times = [
                seconds(lambda call=call: subprocess.run(call, capture_output=True, check=True), 1)
                for call in (command, [sys.executable, floor, spec])
            ]
            ratios.append(times[0] / times[1])
        print(
            f"cold start of {name}: {statistics.median(ratios):.2f} × the floor (from {min(ratios):.2f} to {max(ratios):.2f} in 15 pairs)"
        )


if __name__ == "__main__":
    depth()
    configs()
    if len(sys.argv) > 1:
        cold(sys.argv[1])
