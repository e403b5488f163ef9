"""Hold paramcalc's counts against the recorded ones.

    python tests/reference/compare.py FILE.jsonl... [-v] [--summary] [--no-names] [--only TEXT]

One line per file, `met/total`; each miss with its numbers and the tensors that are missing or too many. Needs no torch.
Totals, active totals, embeddings and biases are asked from both forms of each config, the tensors from the short one.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import paramcalc
from paramcalc.holdings.inventory import inventory

LINES = 12  # of tensors shown per miss
Tensors = Counter[tuple[str, tuple[int, ...]]]


def held(architecture: Any, names: bool) -> Tensors:
    """What paramcalc lists: (name, shape) -> how many. A tied row is the same tensor again."""
    out: Tensors = Counter()
    for row in inventory(architecture):
        if row.tied is None:
            out[row.name if names else "", tuple(row.shape)] += row.repeat
    return out


def recorded(case: dict[str, Any], names: bool) -> Tensors:
    """What the reference holds, less tensors of no elements (DINOv3 with no register tokens has one); experts that it keeps
    under a name each (Switch's `expert_0`) count as one name."""
    out: Tensors = Counter()
    for name, shape, count in case["tensors"]:
        if 0 not in shape:
            out[re.sub(r"(?<=\.experts\.expert_)\d+", "{}", name) if names else "", tuple(shape)] += count
    return out


def numbers(config: dict[str, Any], case: dict[str, Any]) -> Iterator[str]:
    """What differs in the four counts."""
    counts = paramcalc.count(paramcalc.load(config))
    wanted = {"total": case["total"], "biases": case["bias"]}
    if not case["embedding_like"]:  # positions kept as bare parameters: either reading is fair
        wanted["embeddings"] = case["embedding_total"]
    if case["active"] is not None:
        wanted["active"] = case["active"]
    for key, value in wanted.items():
        if getattr(counts, key) != value:
            yield f"{key}: expected {value:,} got {getattr(counts, key)!r}"


def listed(case: dict[str, Any], names: bool) -> Iterator[str]:
    """What differs in the tensors."""
    want, got = recorded(case, names), held(paramcalc.load(case["config"]), names)
    for sign, rest in (("missing", want - got), ("extra", got - want)):
        for (name, shape), count in rest.items():
            yield f"{sign}: {name} {list(shape)} x{count}"


def differences(case: dict[str, Any], names: bool) -> list[str]:
    out: list[str] = []
    crashed = False
    for form in ("config", "config_full"):
        try:
            out += [f"{form} {line}" for line in numbers(case[form], case)]
        except Exception as error:
            out.append(f"{form} {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            crashed = crashed or form == "config"
    if crashed:
        return out
    tensors = list(listed(case, names))
    more = [f"and {len(tensors) - LINES} more"] if len(tensors) > LINES else []
    return out + tensors[:LINES] + more


def show(results: list[tuple[str, list[str]]], verbose: bool) -> None:
    """Each miss; those that say word for word the same stand together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, found in results:
        alike.setdefault(tuple(found), []).append(name)
    for found, names in alike.items():
        if found or verbose:
            more = f" and {len(names) - 1} more" if found and len(names) > 1 else ""
            print(*(f"  {n}" for n in (names[:1] if found else names)), sep="\n", end=f"{more}\n")
            print(*(f"    {line}" for line in found or ["met"]), sep="\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("-v", "--verbose", action="store_true", help="also name the cases that are met")
    parser.add_argument("--summary", action="store_true", help="one line per file, and no more")
    parser.add_argument("--names", action=argparse.BooleanOptionalAction, default=True, help="compare tensor names too")
    parser.add_argument("--only", default="", help="cases whose id has this in it")
    options = parser.parse_args()
    met = total = 0
    for path in options.files:
        cases = [json.loads(line) for line in path.read_text().splitlines()]
        results = [(c["id"], differences(c, options.names)) for c in cases if options.only in c["id"]]
        good = sum(not found for _, found in results)
        met, total = met + good, total + len(results)
        print(f"{path.parent.name}/{path.stem}: {good}/{len(results)}")
        if not options.summary:
            show(results, options.verbose)
    if len(options.files) > 1:
        print(f"all: {met}/{total}")
    return 0 if met == total else 1


if __name__ == "__main__":
    sys.exit(main())
