"""Specs written down: the canonical simple form, and the full form, as YAML that reads back to the same model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONG = 110


def full_text(document: Mapping[str, Any]) -> str:
    """A full form: parts on one line each where they fit."""
    lines: list[str] = []
    for key, value in document.items():
        lines += _lines(key, value, 0)
    return "\n".join(lines) + "\n"


def _lines(key: str, value: Any, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(value, Mapping) and value.get("kind") == key:  # a part's kind is its name unless it says otherwise
        value = {name: inner for name, inner in value.items() if name != "kind"}
    flow = _flow(value)
    block = (
        isinstance(value, Mapping)
        and value
        and (any(isinstance(inner, Mapping) for inner in value.values()) or len(pad + key + flow) > _LONG)
    )
    if not block:
        return [f"{pad}{_scalar(key)}: {flow}"]
    return [f"{pad}{_scalar(key)}:"] + [line for inner, item in value.items() for line in _lines(str(inner), item, depth + 1)]


def _flow(value: Any, *, inside: bool = False) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key, inside=True)}: {_flow(inner, inside=True)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(inner, inside=True) for inner in value) + "]"
    return _scalar(value, inside=inside)


def _scalar(value: Any, *, inside: bool = False) -> str:
    """One value; `inside` brackets, some need quotes that do not elsewhere (`layers.{}`)."""
    import yaml

    text: str = yaml.safe_dump([value] if inside else value, default_flow_style=True, allow_unicode=True, width=10**6, explicit_end=False)
    text = text.removesuffix("\n").removesuffix("\n...")
    return text[1:-1] if inside else text
