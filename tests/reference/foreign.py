"""What the reference builds where a config states a size that its class may know nothing of.

Adds one such size to every tiny config of `tests/golden/families` (and to its `text_config`) and writes the parameters that the
class then has, on the meta device. Most classes do not look at it; some models do although their class does not declare it.

    python tests/reference/foreign.py > tests/golden/foreign_sizes.jsonl
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers

FAMILIES = Path(__file__).parents[1] / "golden" / "families"
TASKS = ("causal_lm", "masked_lm", "seq2seq", "image_text")
"""The tasks that are recorded; of a type that has none of them, its first."""
SIZES = {"head_dim": 16, "num_key_value_heads": 2, "intermediate_size": 40}


def floats(value: Any) -> Any:
    """A config as the library reads it: infinities are tagged in the file."""
    if isinstance(value, dict):
        tagged = value.keys() == {"__float__"}
        return float(value["__float__"]) if tagged else {key: floats(inner) for key, inner in value.items()}
    return [floats(inner) for inner in value] if isinstance(value, list) else value


def total(config: dict[str, Any]) -> int:
    """Parameters of the class that a config names, a shared one once."""
    read = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(floats(copy.deepcopy(config)))
    with torch.device("meta"):
        model = getattr(transformers, config["architectures"][0])(read)
    return sum({id(parameter): parameter.numel() for parameter in model.parameters()}.values())


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for path in sorted(FAMILIES.glob("*.json")):
        tasks = json.loads(path.read_text())["tasks"]
        for task in [task for task in tasks if task in TASKS] or list(tasks)[:1]:
            cases = tasks[task]
            for inside in (None, "text_config"):
                for key, size in SIZES.items():
                    config = copy.deepcopy(cases["tiny"]["config"])
                    if inside is not None and not isinstance(config.get(inside), dict):
                        continue
                    (config if inside is None else config[inside])[key] = size
                    row = {"family": path.stem, "task": task, "inside": inside, "key": key, "size": size}
                    try:
                        print(json.dumps(row | {"total": total(config)}))
                    except Exception as error:  # what the class refuses is no case
                        print(f"{path.stem} {key}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
