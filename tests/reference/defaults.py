"""Write the defaults of every config class of transformers to paramcalc/gate/families/defaults/<model_type>.json.

    python tests/reference/defaults.py [MODEL_TYPE...] [--out FOLDER]

Runs in the reference environment (see the README here), never as part of paramcalc. One JSON object per type:

- `aliases`: canonical name -> the class's own name (`attribute_map`).
- `defaults`: what the class declares, less the keys of the base class that say nothing about the architecture. A key
  that the class computes from others is null here (or what is declared), so that it is computed from the actual sizes.
- `derived`: those keys; `computed`: what they come to with every other key at its default.
- `parts`: sub-config -> its model type (`owner.part`, with a file of its own, for a class that has none).
  `defaults[part]` holds only what differs from that type's own defaults, or
  null where the part is optional and absent. It holds for a part that is not given at all: a part that is given takes
  the defaults of its type alone, as the library does, unless it is one of `merged`.
- `fixed`: the parts whose class does not depend on the `model_type` written inside them.
- `merged`: the parts of which a given one has this class's values where it is silent, too.
- `reads`: keys that the class does not declare and its models take all the same, as `foreign.py` recorded.
- `divides`: true where the class refuses heads that do not divide the width.
- `note`: why the class could not be built with its defaults, if so.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path

import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.utils import logging

ROOT = Path(__file__).resolve().parents[2]
SOURCE = f"transformers {transformers.__version__}"
# What the base class carries for tasks, output and loading; `is_encoder_decoder` is the one that shapes a model.
NOT_ARCHITECTURE = ({f.name for f in fields(PreTrainedConfig)} - {"is_encoder_decoder"}) | {
    "_name_or_path",
    "output_attentions",
    "model_type",
    "_attn_implementation",
    "torch_dtype",
}


def plain(value: object) -> object:
    """JSON of a value as save_pretrained would write it: infinities tagged, sequences as lists."""
    if isinstance(value, PreTrainedConfig):
        value = value.to_dict()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    return PreTrainedConfig._encode_special_floats(value)


def declared(cls: type[PreTrainedConfig]) -> dict[str, object]:
    """What the class's fields declare; factories are called, a field without a default is left out. A field that bears the
    alias of another (Kimi Linear's `num_experts_per_tok`) is that other."""
    out: dict[str, object] = {}
    for field in fields(cls):
        if field.default is not MISSING:
            out[field.name] = field.default
        elif field.default_factory is not MISSING:
            out[field.name] = field.default_factory()
    for alias, own in cls.attribute_map.items():
        if alias in out and out.get(own) is None:
            out[own] = out.pop(alias)
    return out


def built(config: PreTrainedConfig) -> dict[str, object]:
    """What an instance holds about the architecture, sub-configs left out."""
    parts = parts_of(config)
    return {k: plain(v) for k, v in config.to_dict().items() if k not in NOT_ARCHITECTURE and k not in parts}


def parts_of(config: PreTrainedConfig) -> dict[str, PreTrainedConfig]:
    return {k: v for k, v in vars(config).items() if isinstance(v, PreTrainedConfig)}


def derived_keys(config: PreTrainedConfig) -> set[str]:
    """Keys that no field declares, or that hold something else once built than null, a word or a size declared."""
    fixed = declared(type(config))
    return {k for k, v in built(config).items() if v is not None and (fixed.get(k) is None or is_replaced(fixed[k], v))}


def is_replaced(stated: object, value: object) -> bool:
    """Does the class put another size, or a list of sizes, in the place of a declared size or of a word such as "auto"?"""
    return type(stated) in (int, str) and type(value) in (int, list) and stated != value


def difference(config: PreTrainedConfig) -> dict[str, object]:
    """What sets a sub-config apart from its own type's defaults, recursively."""
    usual, parts = type(config)(), parts_of(config)
    before = built(usual)
    apart = {k: v for k, v in built(config).items() if k not in before or before[k] != v}
    for name, part in parts.items():
        inner = difference(part)
        if not isinstance(getattr(usual, name, None), type(part)):
            inner = {"model_type": part.model_type, **inner}
        if inner:
            apart[name] = inner
    if config.num_labels != usual.num_labels:
        apart["num_labels"] = config.num_labels
    given = {k: v for k, v in apart.items() if k not in derived_keys(usual)}
    values = built(config)  # a computed key may be the class's usual one, where these sizes would make another of it
    stated = apart | {k: values[k] for k in derived_keys(usual) if k in values}
    return next((made for made in (given, apart, stated) if rebuilds(config, made)), apart)


def rebuilds(config: PreTrainedConfig, given: dict[str, object]) -> bool:
    """Does the class make the same config of these values alone?"""
    try:
        return plain(type(config)(**given)) == plain(config)
    except Exception:
        return False


def type_of_part(owner: str, key: str, cls: type) -> str:
    """The model type of a part; a class that its model type does not lead to is named after its place."""
    name = getattr(cls, "model_type", "")
    return name if name in CONFIG_MAPPING and CONFIG_MAPPING[name] is cls else f"{owner}.{key}"


def part_classes(cls: type[PreTrainedConfig]) -> dict[str, type[PreTrainedConfig]]:
    """Part -> its class: what an instance holds, else what is declared (the default type where any type may stand)."""
    found: dict[str, type[PreTrainedConfig]] = {}
    for key, spec in cls.sub_configs_defaults.items():
        # Nougat declares "donut_swin" for the type that is registered as "donut-swin".
        kind = next((k for k in (spec.model_type, spec.model_type.replace("_", "-")) if k in CONFIG_MAPPING), None)
        if issubclass(spec.config_class, PreTrainedConfig):
            found[key] = spec.config_class
        elif kind:
            found[key] = CONFIG_MAPPING[kind]
    try:
        return found | {k: type(v) for k, v in parts_of(cls()).items()}
    except Exception:
        return found


def divides(cls: type[PreTrainedConfig], config: PreTrainedConfig) -> bool:
    """Does the class refuse a width that its heads do not divide, though it takes another that they do?"""
    values, own = built(config), cls.attribute_map
    width, number = (values.get(own.get(key, key)) for key in ("hidden_size", "num_attention_heads"))
    if type(width) is not int or type(number) is not int or number < 2 or width % number:
        return False
    try:
        cls(hidden_size=2 * width)
    except Exception:
        return False
    try:
        cls(hidden_size=width + 1)
    except Exception:
        return True
    return False


def merges(cls: type[PreTrainedConfig], key: str, part: PreTrainedConfig) -> bool:
    """Does a part that is given with nothing but its type come out as one that is not given?"""
    try:
        return plain(getattr(cls(**{key: {"model_type": part.model_type}}), key)) == plain(part)
    except Exception:
        return False


@cache
def foreign() -> dict[str, set[str]]:
    """Keys that changed what a class builds when `foreign.py` stated them, by model type."""
    golden, found = ROOT / "tests" / "golden", {}
    for line in (golden / "foreign_sizes.jsonl").read_text().splitlines():
        row = json.loads(line)
        tiny = json.loads((golden / "families" / f"{row['family']}.json").read_text())["tasks"][row["task"]]["tiny"]
        config = tiny["config"] if row["inside"] is None else tiny["config"][row["inside"]]
        if row["total"] != tiny["total"] and "model_type" in config:
            found.setdefault(config["model_type"], set()).add(row["key"])
    return found


def record(name: str, cls: type[PreTrainedConfig]) -> dict[str, object]:
    """The record of one class, as described at the top."""
    fixed = {k: v for k, v in declared(cls).items() if k not in NOT_ARCHITECTURE}
    kinds = {k: type_of_part(name, k, part) for k, part in part_classes(cls).items()}
    out: dict[str, object] = {"aliases": dict(cls.attribute_map), "parts": kinds, "source": SOURCE}
    fixed_parts = sorted(k for k, spec in cls.sub_configs_defaults.items() if issubclass(spec.config_class, PreTrainedConfig))
    if fixed_parts:
        out["fixed"] = fixed_parts
    try:
        config = cls()
    except Exception as error:
        note = str(error).strip().splitlines()[-1].strip()[:160]
        defaults = {k: plain(v) for k, v in fixed.items() if k not in kinds}
        return out | {"defaults": defaults, "derived": [], "computed": {}, "note": f"not buildable: {note}"}
    if merged := sorted(k for k, v in parts_of(config).items() if difference(v) and merges(cls, k, v)):
        out["merged"] = merged
    if divides(cls, config):
        out["divides"] = True
    derived, parts, values = derived_keys(config), parts_of(config), built(config)
    defaults = {k: plain(fixed.get(k)) if k in derived else v for k, v in values.items()}
    if reads := sorted(foreign().get(name, set()) - values.keys() - cls.attribute_map.keys() - set(cls.attribute_map.values())):
        out["reads"] = reads
    defaults |= {k: None for k in kinds if k not in parts}
    defaults |= {k: difference(v) for k, v in parts.items()}
    if config.num_labels != 2:  # the base class's default
        defaults["num_labels"] = config.num_labels
    return out | {"defaults": defaults, "derived": sorted(derived), "computed": {k: values[k] for k in derived}}


def lines(data: dict[str, object]) -> str:
    """Sorted, one key of the record or of its defaults per line."""
    flat = {k: v for k, v in data.items() if k != "defaults"}
    body = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in sorted(data["defaults"].items()))
    rows = [f" {json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in flat.items()]
    rows.append(' "defaults": {\n' + body + "\n }" if body else ' "defaults": {}')
    return "{\n" + ",\n".join(sorted(rows)) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("types", nargs="*", metavar="MODEL_TYPE")
    parser.add_argument("--out", type=Path, default=ROOT / "paramcalc" / "gate" / "families" / "defaults")
    options = parser.parse_args()
    logging.set_verbosity_error()
    options.out.mkdir(parents=True, exist_ok=True)
    waiting = {name: CONFIG_MAPPING[name] for name in options.types or sorted(CONFIG_MAPPING)}
    while waiting:
        name, cls = waiting.popitem()
        data = record(name, cls)
        (options.out / f"{name}.json").write_text(lines(data))
        if "note" in data:
            print(f"{name}: {data['note']}")
        inner = {type_of_part(name, k, part): part for k, part in part_classes(cls).items()}
        waiting |= {kind: part for kind, part in inner.items() if kind not in CONFIG_MAPPING}


if __name__ == "__main__":
    main()
