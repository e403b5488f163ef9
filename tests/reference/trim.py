"""Keep of the recorded cases what the tests read: one file a model type in tests/golden/families/.

    python tests/reference/trim.py RECORDED_FOLDER [MIXED_FOLDER]            # needs no torch

Of each type and task: the default config's totals, a tiny config with all its tensors in both forms, every other class, and
changed keys: those that change what is held, and a few that do not. A changed config is written as what it sets and drops
of the tiny one; its tensors as their digest. Types that paramcalc does not know are left out. Of what mixed.py recorded, one
case a type goes to tests/golden/mixed.jsonl.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from paramcalc.gate.families.index import HOMES

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "families"
COUNTS = ("total", "active", "bias", "embedding_total")
TELLING, INERT = 10, 4  # changed keys kept of each sort
TASKS = (
    "causal_lm",
    "masked_lm",
    "seq2seq",
    "image_text",
    "image_classification",
    "ctc",
    "audio_classification",
    "zero_shot_image",
    "speech_seq2seq",
    "base",
    "depth",
    "detection",
    "keypoints",
    "matting",
    "pose",
    "pretraining",
    "retrieval",
    "semantic",
    "segmentation",
    "tdt",
    "waveform",
)


def folded(tensors: list[list[Any]]) -> list[list[Any]]:
    """Tensors without those of no elements; experts that the reference keeps under a name each (`expert_0`) under one."""
    found: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for name, shape, count in tensors:
        if 0 not in shape:
            found[re.sub(r"(?<=\.experts\.expert_)\d+", "{}", name), tuple(shape)] += count
    return [[name, list(shape), count] for (name, shape), count in found.items()]


def digest(tensors: list[list[Any]]) -> str:
    """Names, shapes and copies of all tensors in one word."""
    kept = sorted(folded(tensors))
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:16]


def counts(case: dict[str, Any]) -> dict[str, Any]:
    found = {key: case[key] for key in COUNTS}
    if case["embedding_like"]:  # positions kept as bare parameters: either reading is fair
        del found["embedding_total"]
    return found


def change(tiny: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """What a config sets and drops of the tiny one."""
    sets = {key: value for key, value in config.items() if key not in tiny or tiny[key] != value}
    return {"set": sets, "drop": sorted(tiny.keys() - config.keys())}


def trimmed(cases: list[dict[str, Any]]) -> dict[str, Any] | None:
    """One task of one type."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        groups.setdefault(case["group"], []).append(case)
    if "tiny" not in groups:
        return None
    tiny = groups["tiny"][0]
    changed = groups.get("perturbed", [])
    telling = [case for case in changed if case["total"] != tiny["total"]][:TELLING]
    inert = [case for case in changed if case["total"] == tiny["total"]][:INERT]
    default = groups.get("default", [])
    return {
        "tiny": {
            "architecture": tiny["architecture"],
            "config": tiny["config"],
            "config_full": tiny["config_full"],
            "tensors": folded(tiny["tensors"]),
        }
        | counts(tiny),
        "default": [{"config": case["config"], "digest": digest(case["tensors"])} | counts(case) for case in default],
        "classes": [
            change(tiny["config"], case["config"]) | {"digest": digest(case["tensors"])} | counts(case)
            for case in groups.get("architectures", [])
        ],
        "changed": [
            {"key": case["changed"]} | change(tiny["config"], case["config"]) | {"digest": digest(case["tensors"])} | counts(case)
            for case in (*telling, *inert)
        ],
    }


def trim_mixed(folder: Path) -> None:
    """Of each type the first case that is written otherwise, else the first."""
    kept: dict[str, dict[str, Any]] = {}
    for path in sorted(path for task in TASKS for path in (folder / task).glob("*.jsonl")):
        for case in map(json.loads, path.read_text().splitlines()):
            known = kept.get(path.stem)
            if path.stem in HOMES and (known is None or (case["written"] and not known["written"])):
                kept[path.stem] = case
    with (GOLDEN.parent / "mixed.jsonl").open("w") as out:
        for case in kept.values():
            row = {key: case[key] for key in ("id", "config")} | counts(case) | {"digest": digest(case["tensors"])}
            out.write(json.dumps(row, separators=(",", ":"), sort_keys=True) + "\n")


def main() -> None:
    for mixed in sys.argv[2:]:
        trim_mixed(Path(mixed))
    folder = Path(sys.argv[1])
    GOLDEN.mkdir(parents=True, exist_ok=True)
    types = sorted({path.stem for task in TASKS for path in (folder / task).glob("*.jsonl")} & HOMES.keys())
    for model_type in types:
        tasks = {}
        for task in TASKS:
            path = folder / task / f"{model_type}.jsonl"
            if path.is_file() and (TASKS.index(task) < TASKS.index("base") or not tasks):
                kept = trimmed([json.loads(line) for line in path.read_text().splitlines()])
                if kept:
                    tasks[task] = kept
        if tasks:
            record = {"origin": "transformers 5.23.0, torch 2.13.0, meta device", "tasks": tasks}
            (GOLDEN / f"{model_type}.json").write_text(json.dumps(record, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
