"""Models of images and text: an image encoder, a bridge into the language model's width, and the language model."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.nesting import beneath, nested, tower, whole
from paramcalc.gate.families.recipes import Tree, document, task_head, tree

Bridge = Callable[[Config, int, int], Tree]
"""What stands between the encoder's width and the language model's."""


def dense(path: str, inputs: int, outputs: int, bias: bool = True) -> Tree:
    return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, bias=None if bias else False)


def image_text(
    c: Config,
    bridge: Bridge | None,
    *,
    vision: tuple[str, ...] = ("vision_tower",),
    bridge_path: str = "multi_modal_projector",
    text: str = "language_model",
    beside: Callable[[Config, int], Tree] | None = None,
    base: str = "model",
    flat: bool = False,
    inner_tie: bool = False,
    narrows: bool = False,
    headed: bool = False,
    ties: bool = True,
    read: Callable[[Config, Tree], Tree] | None = None,
) -> Tree:
    """The parts of such a model under their reference names.

    `vision` names the encoder, or two of the same kind; `beside` makes parts that stand beside these, of the language
    model's width; `base` is what the whole without its head is called inside the class with one. `flat`: the language
    model's keys may stand at the top; `inner_tie`: the head is also tied where only `text_config` says so; `narrows`: the
    class for causal language modelling is the language model alone; `headed`: the head is the language model's own; `ties`:
    whether the flag at the top ties at all; `read`: the encoder with what is read of it.
    """
    task = c.task("generation")
    words = c.part("text_config", flat=flat)
    part = part_alone(c, words, task if narrows else "")
    if part:
        return part
    width = words.size("hidden_size")
    parts: Tree = {}
    for name, path in zip(("vision", "video"), vision, strict=False):
        parts |= tower(c.part("vision_config"), name, path)
        if read:
            parts[name] = read(c, parts[name])
    if bridge:
        inputs = c.part("vision_config").optional("hidden_size") or 1  # a bridge that needs it stands behind a tower that has it
        parts["projector"] = projector(bridge_path, bridge(c, inputs, width))
    if beside:
        parts |= beside(c, width)
    parts |= nested(words, "text", text, task="causal_lm" if headed else "base")
    parts = parts if task == "base" else beneath(base, parts)
    if not headed:
        parts |= head(c, words, task, inner_tie=inner_tie, ties=ties)
    return document(c, parts, width=width, context=words.optional("max_position_embeddings"))


def until(group: Tree, last: str, layers: int | None = None) -> Tree:
    """An encoder of which the model around it reads what one part makes, or so many of its layers."""
    names = [name for name, part in group.items() if isinstance(part, dict)]
    if "flow" in group or last not in names:
        return group
    found = group | {"flow": [" ".join(names[: names.index(last) + 1])]}
    if layers is not None:
        found[last] = found[last] | {"used": layers}
    return found


def layer_features(c: Config, group: Tree) -> Tree:
    """The output of one layer, counted from the last (LLaVA, Liu et al. 2023)."""
    chosen, layers = c.value("vision_feature_layer"), c.part("vision_config").optional("num_hidden_layers") or 0
    number = (layers + 1 + chosen if chosen < 0 else chosen) if isinstance(chosen, int) else 0
    return until(group, "layers", number) if 1 <= number <= layers else group


def last_norm(_: Config, group: Tree) -> Tree:
    """All patches as the encoder's last norm leaves them; what makes one vector of them is not read."""
    return until(group, "norm")


def part_alone(c: Config, words: Config, task: str) -> Tree:
    """One part, where the class is that part's: the language model (with its head for a `task` of causal language
    modelling) or the image encoder."""
    name = c.architecture()
    if task == "causal_lm" or name.endswith("TextModel"):
        return whole(words, "causal_lm" if task == "causal_lm" else "base") | {"model_type": c.model_type}
    if name.endswith("VisionModel") and "vision" not in c.model_type:  # AyaVisionModel is the whole of aya_vision
        return whole(c.part("vision_config")) | {"model_type": c.model_type}
    return {}


def projector(path: str, parts: Tree) -> Tree:
    """What stands between, as a group of its own."""
    return {"path": path, "tower": "projector", "cache": False} | parts


def head(
    c: Config, words: Config, task: str, *, inner_tie: bool = False, ties: bool = True, path: str = "lm_head", owner: str = "text.embedding"
) -> Tree:
    """The head of the task, tied to the language model's table by the flag at the top."""
    tie = ties and (c.flag("tie_word_embeddings") or (inner_tie and words.flag("tie_word_embeddings")))
    outputs = words.size("vocab_size")
    return task_head(c, task, tree(kind="head", path=path, outputs=outputs, tied=owner if tie else None))
