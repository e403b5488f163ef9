"""The JSON Schema of a spec, made from the models that read it."""

from __future__ import annotations

from typing import Any

from paramcalc.gate.aliases import ALIASES
from paramcalc.gate.families.index import HOMES
from paramcalc.model.architecture import Architecture, Reported
from paramcalc.model.parts import Group, block_class, block_kinds
from paramcalc.model.tree import GROUP_FIELDS, ROOT_FIELDS
from paramcalc.words.sizes import MAX_SIZE

_SIZE = {"type": "integer", "minimum": 0, "maximum": MAX_SIZE}
_WORDS = {"name", "source"}
_NO_SIZES = {"tie_word_embeddings": {"type": "boolean"}, "attention_bias": {"type": "boolean"}, "hidden_act": {"type": "string"}}


def spec_schema() -> dict[str, Any]:
    """Three forms in one schema: a simple spec, a full form, a reported model."""
    definitions: dict[str, Any] = {}
    for kind in block_kinds():
        found = block_class(kind)
        if found is not None:
            definitions[f"block-{kind}"] = _definition(found.model_json_schema(ref_template="#/$defs/{model}"), definitions, kind)
    definitions["group"] = _group()
    definitions["part"] = {
        "anyOf": [
            {"enum": block_kinds(), "description": "A kind of block, all fields at their defaults."},
            *({"$ref": f"#/$defs/block-{kind}"} for kind in block_kinds()),
            {"$ref": "#/$defs/group"},
        ]
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "paramcalc architecture",
        "anyOf": [_simple(), _full(), _reported()],
        "$defs": dict(sorted(definitions.items())),
    }


def budget_schema() -> dict[str, Any]:
    """A budget file."""
    from paramcalc.costs.budgets import BudgetFile

    schema = BudgetFile.model_json_schema()
    for limits in schema["$defs"].values():
        limits["properties"]["max_memory"] = limits["properties"]["max_inference"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema | {"title": "paramcalc budget"}


def _definition(schema: dict[str, Any], definitions: dict[str, Any], kind: str) -> dict[str, Any]:
    definitions.update(schema.pop("$defs", {}))
    schema.setdefault("properties", {})["kind"] = {"const": kind}
    return schema


def _group() -> dict[str, Any]:
    schema = Group.model_json_schema()
    fields = {name: field for name, field in schema["properties"].items() if name in GROUP_FIELDS}
    inner = {"type": "object", "additionalProperties": {"$ref": "#/$defs/part"}}
    order = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    more = {"kinds": inner, "order": order, "kind": {"const": "group"}, "like": {"type": "string"}}
    return {
        "type": "object",
        "description": schema.get("description", ""),
        "properties": fields | more,
        "additionalProperties": {"$ref": "#/$defs/part"},
    }


def _simple() -> dict[str, Any]:
    keys = {name for canonical, names in ALIASES.items() for name in (canonical, *names) if canonical not in _NO_SIZES}
    flags = {name: _NO_SIZES[canonical] for canonical, names in ALIASES.items() if canonical in _NO_SIZES for name in (canonical, *names)}
    properties: dict[str, Any] = {name: {"type": "string"} for name in sorted(_WORDS)}
    properties |= dict.fromkeys(sorted(keys), _SIZE) | flags
    properties["family"] = {"enum": sorted(HOMES), "description": "Whose defaults to take; gpt2 if left out."}
    return {
        "title": "simple form",
        "type": "object",
        "properties": properties,
        "not": {"anyOf": [{"required": ["parts"]}, {"required": ["kind"]}]},
    }


def _full() -> dict[str, Any]:
    schema = Architecture.model_json_schema()
    about = {name: field for name, field in schema["properties"].items() if name in ROOT_FIELDS - {"reported"}}
    group = _group()["properties"]
    parts = {"parts": {"type": "object", "additionalProperties": {"$ref": "#/$defs/part"}}}
    return {
        "title": "full form",
        "type": "object",
        "properties": about | group | parts,
        "required": ["parts"],
        "additionalProperties": False,
    }


def _reported() -> dict[str, Any]:
    schema = Reported.model_json_schema()
    fields = schema["properties"] | {"kind": {"const": "reported"}, "name": {"type": "string"}, "source": {"type": "string"}}
    return {
        "title": "reported",
        "type": "object",
        "properties": fields,
        "required": ["kind", *schema["required"]],
        "additionalProperties": False,
    }
