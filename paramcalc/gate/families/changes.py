"""Layers with sizes of their own: a config's `per_layer_config`, and kinds of layers told apart by it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from paramcalc.gate.config import Config

Changes = dict[str, int]


def stated(c: Config, layers: int, known: Collection[str], inert: Collection[str] = ()) -> list[Changes] | None:
    """What each layer has instead of the config's own sizes, by `per_layer_config`; None where the config has none.

    Keys that change nothing here are `inert`; any other than these and the `known` ones is refused.
    """
    listed = c.value("per_layer_config")
    if listed is None:
        return None
    found: dict[int, Changes] = {}
    for index, changes in listed.items() if isinstance(listed, dict) else [("", listed)]:
        if not str(index).isdigit() or not isinstance(changes, dict) or not {*known, *inert}.issuperset(changes):
            c.fail("per_layer_config", f"expected {', '.join(known)} by layer, got {index!r:.20}: {changes!r:.60}")
            continue
        layer = Config(changes, "", place=f"{c.place}per_layer_config.{index}.", root=c.root)
        found[int(index)] = {key: layer.size(key) for key in changes if key in known}
    return [found.get(index, {}) for index in range(layers)]


def told_apart(words: Sequence[str], changes: Sequence[Changes]) -> tuple[list[str], dict[str, Changes]]:
    """Words that also tell apart layers of the same word with other sizes (`local`, `local_2`), and the changes of each."""
    keys = [(word, tuple(sorted(change.items()))) for word, change in zip(words, changes, strict=True)]
    named: dict[tuple[str, tuple[tuple[str, int], ...]], str] = {}
    for key in keys:
        if key not in named:
            earlier = sum(word == key[0] for word, _ in named)
            named[key] = f"{key[0]}_{earlier + 1}" if earlier else key[0]
    return [named[key] for key in keys], {name: dict(change) for (_, change), name in named.items()}
