"""Record configs that differ from the tiny one in several keys at once, and that spell them as real files do.

    python tests/reference/mixed.py RECORDED_FOLDER OUT_FOLDER [--task TASK] [--types TYPE ...] [--draws 8] [--seed 1]

Runs in the reference environment on what `record.py --all` wrote: each draw takes one of a type's classes with its tiny
config, changes two to six keys at random (a change stays if the class still builds), and every other draw then writes the
config otherwise: keys under their other names, left out, null, in full, beside keys that say nothing. The seed fixes all.
A case is a record as record.py's, its `config` as drawn, with `changed` (key -> value) and `written` (what was done to it).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import transformers
from measure import build, measure, skip_initialisers
from record import TASKS, narrowed, within, write
from shrink import INERT, Given, alternatives, configured, dig, longer_lists, put, walk
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.utils import logging

SECONDS = 10  # a build may take
MOST = 6  # keys changed at once
SILENT: Given = {
    "_flash_attn_2_enabled": True,
    "auto_map": {"AutoConfig": "configuration_x.XConfig"},
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "use_cache": False,
    "pretraining_tp": 1,
    "unsloth_version": "2025.1",
    "transformers_version": "4.38.0",
    "_name_or_path": "someone/something",
}


def values_for(config: PreTrainedConfig, name: str, value: object) -> list[object]:
    """What a key may become: every value that record.py tries, and of numbers some that divide nothing."""
    found = [option for options in alternatives(config, name, value) for option in options]
    if type(value) is int and value > 0:
        odd = [1, 2, 4, 5, 7, 8] if "head" in name else [3 * value, value // 2, value + 3, value + 5]
        found += [number for number in odd if 0 < number != value]
    return found


def moves(model_type: str, given: Given) -> list[tuple[tuple[str, ...], str, object, list[object]]]:
    """(where, key, its value, what it may become) of every key of a config that may say something."""
    found = []
    for path, config in walk(configured(model_type, given)):
        for name, value in config.to_dict().items():
            options = [] if INERT.search(name) or isinstance(value, dict) else values_for(config, name, value)
            if options:
                found.append((path, name, value, options))
    return found


def read(model_type: str, raw: Given) -> PreTrainedConfig:
    """A config as the library reads it from a file."""
    return CONFIG_MAPPING[model_type].from_dict(deepcopy(PreTrainedConfig._decode_special_floats(raw)))


def builds(architecture: str, model_type: str, raw: Given) -> bool:
    cls = getattr(transformers, architecture)
    try:
        config = read(model_type, raw)
        json.dumps(PreTrainedConfig._encode_special_floats(config.to_dict()))
        part, _ = narrowed(cls, config)
        return bool(within(SECONDS, lambda: {"": build(cls, part)}))
    except Exception:
        return False


def varied(rng: random.Random, architecture: str, model_type: str, given: Given) -> tuple[Given, Given]:
    """Several keys changed at once, and which."""
    changed: Given = {}
    most, options = rng.randint(2, MOST), moves(model_type, given)
    rng.shuffle(options)
    for path, name, value, wanted in options[: 4 * most]:
        to = rng.choice(wanted)
        other = put(given, path, {name: to} | longer_lists(dig(given, path), name, value, to))
        if builds(architecture, model_type, other):
            given, changed[".".join((*path, name))] = other, to
        if len(changed) == most:
            break
    return given, changed


def renamed(rng: random.Random, raw: Given, config: PreTrainedConfig) -> Given:
    """Keys under the other name that the class takes, and rotary numbers and the format as files had them before."""
    other = config.attribute_map | {own: name for name, own in config.attribute_map.items()}
    out = {other.get(key, key) if rng.random() < 0.7 else key: value for key, value in raw.items()}
    rope = out.get("rope_parameters")
    if isinstance(rope, dict) and isinstance(rope.get("rope_theta"), int | float):
        del out["rope_parameters"]
        out |= {"rope_theta": rope["rope_theta"], "rope_scaling": None}
    if out.get("dtype"):
        out["torch_dtype"] = out.pop("dtype")
    return out


def thinned(rng: random.Random, raw: Given, share: float) -> Given:
    """Some keys left out, in the parts too."""
    kept = {key: value for key, value in raw.items() if key in ("model_type", "architectures") or rng.random() > share}
    return {key: thinned(rng, value, share) if isinstance(value, dict) and key.endswith("config") else value for key, value in kept.items()}


def nulled(rng: random.Random, raw: Given, share: float) -> Given:
    keep = ("model_type", "architectures")
    return {key: None if key not in keep and not isinstance(value, dict) and rng.random() < share else value for key, value in raw.items()}


def written(rng: random.Random, raw: Given, model_type: str) -> tuple[str, Given]:
    """A config in another writing; what was done is named."""
    config = read(model_type, raw)
    full = PreTrainedConfig._encode_special_floats({key: value for key, value in config.to_dict().items() if key != "_name_or_path"})
    how = rng.choice(("renamed", "thinned", "thinned full", "nulled", "silent", "untyped parts"))
    if how == "renamed":
        return how, renamed(rng, full if rng.random() < 0.5 else raw, config)
    if how == "thinned":
        return how, thinned(rng, raw, 0.25)
    if how == "thinned full":
        return how, thinned(rng, full, 0.5)
    if how == "nulled":
        return how, nulled(rng, full, 0.08)
    if how == "silent":
        return how, raw | {key: value for key, value in SILENT.items() if rng.random() < 0.6}
    parts = {key: {k: v for k, v in value.items() if k != "model_type"} for key, value in raw.items() if isinstance(value, dict)}
    return how, raw | parts


def drawn(rng: random.Random, row: dict[str, Any], rewrite: bool) -> dict[str, Any] | None:
    """One case from a recorded one; nothing where no change was taken."""
    architecture, model_type = row["architecture"], row["model_type"]
    start = PreTrainedConfig._decode_special_floats({k: v for k, v in row["config"].items() if k != "transformers_version"})
    given, changed = varied(rng, architecture, model_type, start)
    config = configured(model_type, given)
    config.architectures = [architecture]
    raw, how = PreTrainedConfig._encode_special_floats(config.to_diff_dict()), ""
    if rewrite:
        how, other = written(rng, raw, model_type)
        other |= {"architectures": [architecture], "model_type": model_type}
        raw, how = (other, how) if builds(architecture, model_type, other) else (raw, "")
    if not changed and not how:
        return None
    return case(raw, row) | {"changed": changed, "written": how}


def case(raw: Given, row: dict[str, Any]) -> dict[str, Any]:
    """A record as record.py makes it, of a config as it stands."""
    cls, model_type = getattr(transformers, row["architecture"]), row["model_type"]
    config = read(model_type, raw)
    full = {key: value for key, value in config.to_dict().items() if key != "_name_or_path"}
    out = {key: row[key] for key in ("task", "model_type", "architecture")} | {"group": "mixed", "config": raw}
    out["config_full"] = PreTrainedConfig._encode_special_floats(full) | {"architectures": [row["architecture"]]}
    json.dumps(out)
    part, key = narrowed(cls, config)
    return out | ({"narrowed_to": key} if key else {}) | within(SECONDS, lambda: measure(build(cls, part), config))


def cases(path: Path, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """The draws of one type and task."""
    recorded = [json.loads(line) for line in path.read_text().splitlines()]
    bases = [row for row in recorded if row["group"] == "tiny"] + [row for row in recorded if row["group"] == "architectures"]
    rng, task, model_type = random.Random(f"{seed} {path.parent.name} {path.stem}"), path.parent.name, path.stem
    for number in range(draws if bases else 0):
        row = bases[0] if number % 4 < 2 else rng.choice(bases)
        try:
            found = drawn(rng, row, rewrite=number % 2 == 1)
        except Exception as error:
            text = (str(error).strip().splitlines() or [""])[-1]
            print(f"{task}/{model_type} {number}: {type(error).__name__}: {text[:140]}", file=sys.stderr)
            continue
        if found:
            about = f"{found['architecture']} {found['written']} {json.dumps(found['changed'])[:160]}"
            yield found | {"id": f"mixed/{task}/{model_type}/{number} {about}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recorded", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", choices=TASKS, action="append")
    parser.add_argument("--types", nargs="+", default=[], metavar="TYPE")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(1)
    skip_initialisers()
    for task in options.task or TASKS:
        for path in sorted((options.recorded / task).glob("*.jsonl")):
            target = options.out / task / path.name
            if target.exists() or (options.types and path.stem not in options.types):
                continue
            start = time.monotonic()
            count = write(target, cases(path, options.draws, options.seed))
            print(f"{task}/{path.stem}: {count} cases, {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
