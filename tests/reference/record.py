"""Record what the reference implementation holds: one JSON line per model type, task and config.

    python tests/reference/record.py llama bert --task causal_lm --out cases.jsonl
    python tests/reference/record.py --all --folder FOLDER      every type, one file each: FOLDER/<task>/<type>.jsonl

Runs in the reference environment (see the README here). Cases of a type: `default` (its default config at full size),
`tiny` (see shrink.py), `architectures` (the tiny config under each head that the type has) and `perturbed` (the tiny
config with one key changed; `changed` and `to` say which, and an unchanged total proves the key inert).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import transformers
from completed import completed
from measure import build, measure, skip_initialisers, template
from shrink import Held, perturbations, tiny
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto
from transformers.utils import logging

SECONDS_PER_BUILD = 60
PERTURBED = 45
TASKS = {
    "causal_lm": "CAUSAL_LM",
    "masked_lm": "MASKED_LM",
    "seq2seq": "SEQ_TO_SEQ_CAUSAL_LM",
    "image_text": "IMAGE_TEXT_TO_TEXT",
    "image_classification": "IMAGE_CLASSIFICATION",
    "zero_shot_image": "ZERO_SHOT_IMAGE_CLASSIFICATION",
    "speech_seq2seq": "SPEECH_SEQ_2_SEQ",
    "ctc": "CTC",
    "audio_classification": "AUDIO_CLASSIFICATION",
    "classification": "SEQUENCE_CLASSIFICATION",
    "base": None,
    "depth": "DEPTH_ESTIMATION",
    "detection": "OBJECT_DETECTION",
    "keypoints": "KEYPOINT_DETECTION",
    "matting": "IMAGE_MATTING",
    "pose": "POSE_ESTIMATION",
    "pretraining": "PRETRAINING",
    "retrieval": "RETRIEVAL",
    "semantic": "SEMANTIC_SEGMENTATION",
    "segmentation": "UNIVERSAL_SEGMENTATION",
    "tdt": "TDT",
    "waveform": "TEXT_TO_WAVEFORM",
}
LAST = [task for index, task in enumerate(TASKS) if index >= list(TASKS).index("base")]
"""Tasks of types that have none of those before; the classes of any type are recorded with its first task."""


def names_of(task: str) -> dict[str, str]:
    """Model type -> class of a task, as the library's tables say."""
    label = TASKS[task]
    table = getattr(modeling_auto, f"MODEL_FOR_{label}_MAPPING_NAMES" if label else "MODEL_MAPPING_NAMES")
    return {t: names if isinstance(names, str) else names[0] for t, names in table.items()}


def heads_of(model_type: str) -> list[str]:
    """Every class that some table gives for a type."""
    found: dict[str, None] = {}
    for key in sorted(vars(modeling_auto)):
        if key.startswith("MODEL_") and key.endswith("MAPPING_NAMES"):
            names = getattr(modeling_auto, key).get(model_type, ())
            found |= dict.fromkeys((names,) if isinstance(names, str) else names)
    return [n for n in found if hasattr(transformers, n)]


def narrowed(cls: type[PreTrainedModel], config: PreTrainedConfig) -> tuple[PreTrainedConfig, str | None]:
    """The config that a class takes: for some composites only the text part, under this class."""
    wanted = cls.config_class
    if wanted is None or isinstance(config, wanted):
        return config, None
    for key, part in vars(config).items():
        if isinstance(part, wanted):
            return part, key
    return config, None


class TooSlowError(Exception):
    """A build took longer than SECONDS_PER_BUILD."""


def within(seconds: int, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    def stop(*_: object) -> None:
        raise TooSlowError(f"more than {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        return work()
    finally:
        signal.alarm(0)


def case(group: str, task: str, architecture: str, given: dict[str, object], model_type: str) -> dict[str, object]:
    """One record. The config is written down before the build, which may alter it."""
    cls = getattr(transformers, architecture)
    config = CONFIG_MAPPING[model_type](**deepcopy(given))
    config.architectures = [architecture]
    encode = PreTrainedConfig._encode_special_floats
    row = {
        "id": f"{group}/{task}/{model_type}",
        "group": group,
        "task": task,
        "model_type": model_type,
        "architecture": architecture,
        "config": encode(config.to_diff_dict()),
        "config_full": encode({k: v for k, v in config.to_dict().items() if k != "_name_or_path"}),
    }
    json.dumps(row)  # a config that cannot be written is no case
    part, key = narrowed(cls, config)

    def work() -> dict[str, object]:
        return measure(build(cls, part), config)

    return row | ({"narrowed_to": key} if key else {}) | within(SECONDS_PER_BUILD, work)


class Recorder:
    """The cases of one type and task; what fails is said in one line and left out."""

    def __init__(self, model_type: str, task: str, architecture: str) -> None:
        self.model_type, self.task, self.architecture = model_type, task, architecture

    def attempt(self, group: str, given: dict[str, object], architecture: str | None = None) -> dict[str, object] | None:
        name = architecture or self.architecture
        try:
            return case(group, self.task, name, given, self.model_type)
        except Exception as error:
            text = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            self.say(f"{group} {name}: {type(error).__name__}: {text[:140]}")
            return None

    def say(self, text: str) -> None:
        print(f"{self.task}/{self.model_type}: {text}", file=sys.stderr, flush=True)

    def builds(self, given: dict[str, object]) -> Held | None:
        """The total and the tensors under a config, or nothing where it does not build."""
        cls = getattr(transformers, self.architecture)
        try:
            config = CONFIG_MAPPING[self.model_type](**deepcopy(given))
            json.dumps(config.to_dict())
            part, _ = narrowed(cls, config)
            held = within(10, lambda: dict(build(cls, part).named_parameters()))
            return sum(p.numel() for p in held.values()), frozenset((template(n), tuple(p.shape)) for n, p in held.items())
        except Exception:
            return None

    def cases(self, heads: bool, perturbed: bool) -> Iterator[dict[str, object]]:
        usual = completed(self.model_type, self.task)
        default = self.attempt("default", usual)
        if default:
            yield default | ({"completed_with": usual} if usual else {})
        full = (0, frozenset((n, tuple(shape)) for n, shape, _ in default["tensors"])) if default else None
        small = tiny(self.model_type, usual, full, self.builds)
        base = self.attempt("tiny", small)
        if base is None:
            return
        yield base
        for name in heads_of(self.model_type) if heads else []:
            row = self.attempt("architectures", small, name) if name != self.architecture else None
            if row:
                yield row | {"id": f"architectures/{name}/{self.model_type}"}
        if perturbed:
            yield from self.perturbed(small, base["total"])

    def perturbed(self, small: dict[str, object], total: int) -> Iterator[dict[str, object]]:
        """Those that change the total first, up to PERTURBED of them."""
        built = []
        for key, options in perturbations(self.model_type, small):
            for to, given in options:
                held = self.builds(given)
                if held:
                    built.append((key, to, given, held[0] == total))
                    break
        for key, to, given, _ in sorted(built, key=lambda c: c[3])[:PERTURBED]:
            row = self.attempt("perturbed", given)
            if row:
                label = json.dumps(to) if not isinstance(to, (list, dict)) else "changed"
                yield row | {"id": f"perturbed/{self.task}/{self.model_type}/{key}={label}", "changed": key, "to": to}


def write(path: Path | None, rows: Iterator[dict[str, object]]) -> int:
    """One line each; a file appears under its name when it is complete."""
    if path is None:
        return sum(print(json.dumps(row)) is None for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    half, count = path.with_suffix(".part"), 0
    with half.open("w") as out:
        for row in rows:
            out.write(json.dumps(row) + "\n")
            count += 1
    if count:
        half.replace(path)
    else:
        half.unlink()
    return count


def record_all(folder: Path, tasks: list[str]) -> None:
    """Every type of every task in turn; finished files are left as they are, so that a run can be resumed."""
    seen: set[str] = set()
    for task in tasks:
        for model_type, architecture in names_of(task).items():
            known, path = model_type in seen, folder / task / f"{model_type}.jsonl"
            seen.add(model_type)
            if path.exists() or (known and task in (*LAST, "classification")) or not hasattr(transformers, architecture):
                continue
            start = time.monotonic()
            try:
                recorder = Recorder(model_type, task, architecture)
                count = write(path, recorder.cases(heads=not known, perturbed=task != "classification"))
            except Exception as error:
                print(f"{task}/{model_type}: {type(error).__name__}: {error}"[:200], file=sys.stderr)
                continue
            print(f"{task}/{model_type}: {count} cases, {time.monotonic() - start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("types", nargs="*", metavar="MODEL_TYPE")
    parser.add_argument("--task", choices=TASKS, action="append", help="may be repeated; causal_lm")
    parser.add_argument("--out", type=Path, help="a file; standard output without it")
    parser.add_argument("--all", action="store_true", help="every type of every task, into --folder")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(1)
    skip_initialisers()
    if options.all:
        record_all(options.folder, options.task or list(TASKS))
        return
    chosen = [(t, task) for task in options.task or ["causal_lm"] for t in options.types]
    rows = (
        row
        for model_type, task in chosen
        for row in Recorder(model_type, task, names_of(task)[model_type]).cases(heads=True, perturbed=True)
    )
    print(f"{write(options.out, rows)} cases", file=sys.stderr)


if __name__ == "__main__":
    main()
