"""Networks of timm's under its wrappers: the name in a config stands for a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, document, labels, under
from paramcalc.gate.families.vision import refuse
from paramcalc.gate.networks import resnet
from paramcalc.gate.networks.index import Network, network
from paramcalc.gate.networks.options import Options, laid_over

WRAPPED = "architecture"


def named(c: Config, key: str) -> Network:
    """The network under a config's key. Raises UnknownArchitectureError for a name that is not known."""
    return network(c.text(key), f"{c.place}{key}")


def frozen(content: Any) -> Any:
    """Parts whose batch norms keep their gain and bias as buffers."""
    if not isinstance(content, dict):
        return content
    if content.get("kind") == "norm" and content.get("type") == "batch":
        return content | {"scale": False, "bias": False}
    return {key: frozen(value) for key, value in content.items()}


def maps(c: Config, key: str, *, channels: int = 3, kept: int = 4) -> tuple[Tree, list[int]]:
    """The parts of the ResNet that `key` names, up to stage `kept`, and the widths of its stem and stages."""
    options = named(c, key).options
    if not isinstance(options, resnet.ResNet):
        c.fail(key, f"the maps of {c.text(key)!r:.60} are not modelled, only those of ResNets")
        return {}, [1] * 5
    parts = resnet.network(replace(options, in_chans=channels, num_classes=0))
    return {name: part for name, part in parts.items() if name <= f"stage_{kept}"}, resnet.widths(options)


def kept_stages(c: Config, count: int = 4) -> list[int]:
    """The stages whose maps are given out, 0 for the stem."""
    indices = c.listed("out_indices") or [-1]
    if not all(type(index) is int and -count - 1 <= index <= count for index in indices):
        c.fail("out_indices", f"expected some of 0 to {count}, got {indices!r:.60}")
        return [count]
    return [index % (count + 1) for index in indices]


def timm_backbone(c: Config) -> Tree:
    """A backbone of timm's: all up to the last map that it gives out."""
    kept = kept_stages(c)
    if not c.flag("features_only", True):
        c.fail("features_only", "only backbones that give out maps are modelled")
    c.ignore("output_stride", "out_features", "use_pretrained_backbone")
    parts, widths = maps(c, "backbone", channels=c.size("num_channels"), kept=max(kept))
    parts = frozen(parts) if c.flag("freeze_batch_norm_2d") else parts
    if c.task("backbone") not in ("backbone", "base"):
        refuse(c)
    return document(c, under("_backbone.", parts), width=widths[0], cache=False)


def timm_wrapper(c: Config) -> Tree:
    """A whole model of timm's; one without classes has no head."""
    task = c.task("image_classification")
    known, given = named(c, WRAPPED), arguments(c)
    c.ignore("global_pool", "hidden_size", "num_features", "pretrained_cfg", "do_pooling", "label_names", "num_classes")
    if task not in ("base", "image_classification"):
        refuse(c)
    options = laid_over(c, "model_args", known.options, given)
    options = replace(options, num_classes=classes(c) if task == "image_classification" else 0)
    return document(c, built(c, known, options), width=1, cache=False)


def gemma3n_vision(c: Config) -> Tree:
    """Gemma 3n's image side: a network of timm's without a head, whose vocabulary is the whole model's."""
    known = named(c, WRAPPED)
    options = laid_over(c, "model_args", known.options, arguments(c))
    if c.task("base") != "base":
        refuse(c)
    return document(c, built(c, known, replace(options, num_classes=0)), width=c.size("hidden_size"), cache=False)


def built(c: Config, known: Network, options: Options) -> Tree:
    """The parts under the wrapper's name; nothing where the config has a problem, such as arguments that contradict each other."""
    if c.root.problems:
        return {}
    try:
        return under("timm_model.", known.recipe(options))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        c.fail("model_args", f"make no network: {type(error).__name__}: {error}"[:160])
        return {}


def arguments(c: Config) -> dict[str, Any]:
    """What the config hands to timm beside the name."""
    given = c.value("model_args")
    if given is not None and not isinstance(given, dict):
        c.fail("model_args", f"expected a mapping, got {given!r:.60}")
    return given if isinstance(given, dict) else {}


def classes(c: Config) -> int:
    """How many classes there are: timm's own key, its names of them, or this library's."""
    names = c.listed("label_names") if c.states("label_names") else None
    if c.value("num_classes") is not None:
        return c.zero_or("num_classes")
    return len(names) if names else labels(c)


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "gemma3n_vision": gemma3n_vision,
    "timm_backbone": timm_backbone,
    "timm_wrapper": timm_wrapper,
}
