"""Write down what timm's names stand for: paramcalc/gate/networks/tables/<module>.json.

    python tests/reference/timm_tables.py [MODULE...]

Each entry point of timm is called, and the arguments that it hands to the network's class are kept where paramcalc's recipe
knows them; a name with an argument that it does not know is left out, and said. Classes and functions are kept by name.
A tag could change a network only by a fixed input size; that none does is checked here.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from typing import Any

import timm
from timm.models import _builder, _efficientnet_builder
from timm.models._registry import _deprecated_models, _model_default_cfgs, _module_to_models, model_entrypoint

from paramcalc.gate.config import Config
from paramcalc.gate.networks.index import TABLES
from paramcalc.gate.networks.options import INERT, laid_over

SOURCES = {
    "beit": ["beit"],
    "classic": ["densenet", "vgg"],
    "convnext": ["convnext"],
    "eva": ["eva"],
    "fastvit": ["fastvit"],
    "mobile": ["efficientnet", "mobilenetv3", "mobilenetv5"],
    "regnet": ["regnet"],
    "repvit": ["repvit"],
    "resnet": ["resnet"],
    "resnetv2": ["resnetv2"],
    "swin": ["swin_transformer", "swin_transformer_v2"],
    "vit": ["vision_transformer", "deit"],
}
"""Recipe to the modules of timm whose names it builds."""
DROPPED = {
    "feature_cfg",
    "pretrained_filter_fn",
    "pretrained_strict",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "cache_dir",
    "features_only",
}


class Caught(Exception):  # noqa: N818
    """Carries the arguments out of the builder."""


def written(value: Any) -> Any:
    """An argument as JSON: what is called by its name, a partial by that of its function with what it sets."""
    if isinstance(value, functools.partial):
        sets = {key: written(item) for key, item in value.keywords.items() if key not in ("eps", "bn_eps", "inplace")}
        name = written(value.func)
        return f"{name}({', '.join(f'{key}={item}' for key, item in sets.items())})" if sets else name
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    if isinstance(value, dict):
        return {key: written(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [written(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {key: written(getattr(value, key)) for key in value.__dataclass_fields__}
    return value


def undecoded(arch_def: Any, depth_multiplier: Any = 1.0, depth_trunc: str = "ceil", **rest: Any) -> dict[str, Any]:
    """EfficientNet's blocks as timm writes them, and how their number is multiplied, in place of what it makes of them."""
    return {"arch_def": arch_def, "depth_multiplier": depth_multiplier, "depth_trunc": depth_trunc} | rest


def arguments(name: str) -> dict[str, Any]:
    """What the class under a name is built with."""

    def catch(cls: Any, variant: str, pretrained: bool, **kwargs: Any) -> None:
        cfg = _builder.resolve_pretrained_cfg(variant, pretrained_cfg=kwargs.get("pretrained_cfg")).to_dict()
        _builder._update_default_model_kwargs(cfg, kwargs, kwargs.pop("kwargs_filter", None))
        parts = [key for key in ("model_cfg", "block_args") if key == "model_cfg" or "arch_def" in (kwargs.get(key) or {})]
        inside: dict[str, Any] = {}
        for key in parts:
            held = written(kwargs.pop(key, None)) or {}
            inside |= held if isinstance(held, dict) else {"cfg": held}
        raise Caught(cls, kwargs | inside)

    entry = model_entrypoint(name)
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("timm.models")]
    holders = [module for module in modules if hasattr(module, "build_model_with_cfg")]
    before = _builder.build_model_with_cfg
    for holder in holders:
        holder.build_model_with_cfg = catch
        if hasattr(holder, "decode_arch_def"):
            holder.decode_arch_def = undecoded
    try:
        entry(pretrained=False)
    except Caught as caught:
        cls, kwargs = caught.args
    finally:
        for holder in holders:
            holder.build_model_with_cfg = before
            if hasattr(holder, "decode_arch_def"):
                holder.decode_arch_def = _efficientnet_builder.decode_arch_def
    found = {key: written(value) for key, value in kwargs.items() if key not in DROPPED | {"in_chans", "num_classes"}}
    return {"model_cls": cls.__name__} | found


def table(recipe: str) -> dict[str, Any]:
    """The rows of a recipe: what differs from its defaults, or of an older name the present one."""
    default, rows = importlib.import_module(f"paramcalc.gate.networks.{recipe}").DEFAULT, {}
    names = [name for module in SOURCES[recipe] for name in sorted(_module_to_models[module])]
    for name in [name for name in names if not _deprecated_models.get(name)]:
        given, c = arguments(name), Config({}, "timm_wrapper")
        laid = laid_over(c, name, default, given)
        given = {key: value for key, value in given.items() if value is not None or hasattr(default, key)}
        if c.problems:
            print("; ".join(f"{problem.place}: {problem.message}" for problem in c.problems), file=sys.stderr)
        else:
            told = {key: value if value is None else getattr(laid, key) for key, value in given.items() if key not in INERT}
            rows[name] = {key: given[key] for key, value in told.items() if value != getattr(default, key)}
    return rows | {name: present for name, present in older(names).items() if present in rows}


def older(names: list[str]) -> dict[str, str]:
    """The present names of older ones, without those whose tag is gone, which timm no longer builds."""
    found = {}
    for name in names:
        present, _, tag = (_deprecated_models.get(name) or "").partition(".")
        if present and (not tag or tag in _model_default_cfgs[present].cfgs):
            found[name] = present
    return found


def check_tags() -> None:
    """No tag of a network whose input size is fixed has another size, or pools differently, than the first one."""
    for name, cfgs in _model_default_cfgs.items():
        first = cfgs.default.to_dict()
        for tag, cfg in cfgs.cfgs.items():
            other = cfg.to_dict()
            kept = ["fixed_input_size", "global_pool"] + (["input_size"] if first.get("fixed_input_size") else [])
            assert all(other.get(key) == first.get(key) for key in kept), f"{name}.{tag}"


def main() -> None:
    check_tags()
    for recipe in sys.argv[1:] or SOURCES:
        rows = table(recipe)
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(rows.items()))
        TABLES.mkdir(exist_ok=True)
        source = json.dumps(f"timm {timm.__version__}, {', '.join(SOURCES[recipe])}")
        (TABLES / f"{recipe}.json").write_text(f'{{"source": {source}, "networks": {{\n{lines}\n}}}}\n')
        print(recipe, len(rows))


if __name__ == "__main__":
    main()
