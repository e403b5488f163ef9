"""How long a search of layouts takes, as a user waits for it. Timing decides no test; run it by hand.

    python benchmarks/plan.py

Prints seconds of the search in this process, the shortest of three, and of the whole command: for GPT-3 175B on 1,024
cards (to be under 2 s), for DeepSeek-V3 on 2,048, and for the smallest number of cards for each.
"""

from __future__ import annotations

import subprocess
import sys
import time

import paramcalc
from paramcalc.costs.capacity import cards_named
from paramcalc.costs.layout_search import Search
from paramcalc.costs.weighing import job_from

CASES = (
    ("gpt3", "A100-80GB", 1024, {"precision": "bf16-mixed", "checkpointing": "full"}),
    ("gpt3", "A100-80GB", None, {"precision": "bf16-mixed", "checkpointing": "full"}),
    ("deepseek-v3", "H100", 2048, {"precision": "bf16-master", "checkpointing": "full"}),
    ("deepseek-v3", "H100", None, {"precision": "bf16-master", "checkpointing": "full"}),
)


def searched(name: str, gpu: str, cards: int | None, options: dict[str, str]) -> tuple[float, Search]:
    model, capacity = paramcalc.load(name), cards_named(gpu).capacity
    start = time.perf_counter()
    search = Search(model, job_from(options), capacity)
    number = cards or search.smallest()
    if number is not None:
        search.front(number)
    return time.perf_counter() - start, search


def command(name: str, gpu: str, cards: int | None, options: dict[str, str]) -> float:
    words = [word for option, value in options.items() for word in (f"--{option}", value)]
    number = ["--gpus", str(cards)] if cards else []
    start = time.perf_counter()
    call = [sys.executable, "-m", "paramcalc", "plan", name, "--gpu", gpu, *number, *words]
    subprocess.run(call, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    for case in CASES:
        runs = [searched(*case) for _ in range(3)]
        seconds, search = min(runs, key=lambda run: run[0])
        print(f"{case[0]} on {case[2] or 'the fewest'}: {seconds:.2f} s, {search.planned} plans; the command {command(*case):.2f} s")
