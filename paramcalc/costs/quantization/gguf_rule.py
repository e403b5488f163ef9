"""Which GGML type llama.cpp's quantizer gives each tensor, for every mix (`Q4_K_M` and the rest).

A mix names one type and makes exceptions: by what the tensor does, by how far up the model it stands, by how many
queries share a key (`gqa`) and by how many experts there are. A row that is no whole number of blocks falls back to a type
with smaller ones. Source: `llama_tensor_get_type_impl`, `tensor_type_fallback` and `llama_ftype_get_default_type` in
src/llama-quant.cpp, ggml-org/llama.cpp commit 007dbbf3fd17eefe9b47fee45f48f7ba5e62b714. Older files differ: the rule
has changed over the years.
"""

from __future__ import annotations

from typing import NamedTuple

from paramcalc.words.ggml import QUANTIZED, TYPES

SOURCE = "src/llama-quant.cpp of ggml-org/llama.cpp, commit 007dbbf"

MIXES: dict[str, str] = {
    "F32": "F32",
    "F16": "F16",
    "BF16": "BF16",
    "Q8_0": "Q8_0",
    "Q6_K": "Q6_K",
    "Q5_K_M": "Q5_K",
    "Q5_K_S": "Q5_K",
    "Q5_1": "Q5_1",
    "Q5_0": "Q5_0",
    "Q4_K_M": "Q4_K",
    "Q4_K_S": "Q4_K",
    "Q4_1": "Q4_1",
    "Q4_0": "Q4_0",
    "IQ4_NL": "IQ4_NL",
    "IQ4_XS": "IQ4_XS",
    "MXFP4_MOE": "MXFP4",
    "Q3_K_L": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_S": "Q3_K",
    "IQ3_M": "IQ3_S",
    "IQ3_S": "IQ3_S",
    "IQ3_XS": "IQ3_S",
    "IQ3_XXS": "IQ3_XXS",
    "Q2_K": "Q2_K",
    "Q2_K_S": "Q2_K",
    "Q2_0": "Q2_0",
    "IQ2_M": "IQ2_S",
    "IQ2_S": "IQ2_XS",
    "IQ2_XS": "IQ2_XS",
    "IQ2_XXS": "IQ2_XXS",
    "TQ2_0": "TQ2_0",
    "TQ1_0": "TQ1_0",
    "IQ1_M": "IQ1_M",
    "IQ1_S": "IQ1_S",
    "Q1_0": "Q1_0",
}
"""The type that each mix is named after."""

MIX_ALIASES = {"FP16": "F16", "FP32": "F32", "Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
"""Shorter names, as the quantizer accepts them; fp16 and fp32 reach here in capitals only."""

TINY = frozenset({"IQ1_M", "IQ1_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS"})
"""Mixes below 3 bits, which have exceptions of their own."""
NEEDS_IMATRIX = TINY | {"IQ3_XS", "IQ3_XXS", "Q2_K_S"}
"""Mixes that the quantizer refuses to make without an importance matrix (`tensor_requires_imatrix`)."""

_WIDER = {
    **dict.fromkeys(("IQ1_M", "IQ1_S", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ3_S", "IQ3_XXS", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_0", "Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
"""What a type falls back to where a row is not a whole number of its blocks."""


class About(NamedTuple):
    """What the rule asks about the model."""

    layers: int
    experts: int = 0
    gqa: int = 1
    """Queries per key in the first layer; 0 where it has no keys."""
    values: int = 0
    """Tensors that make values (see VALUE)."""
    tied: bool = False
    """Whether there is no output matrix of its own."""
    falcon: bool = False
    seventy: bool = False
    """Whether llama.cpp calls it a 70B: 80 layers of the Llama, Qwen2 or OLMo kind, with shared keys for Llama."""
    imatrix: bool = False


class Slot(NamedTuple):
    """What the rule asks about one tensor."""

    use: str
    """One of the uses below."""
    columns: int
    """Elements of a row."""
    stacked: bool = False
    """Whether it has a third axis (experts)."""
    place: int = 0
    """How many tensors of this use stand before it."""
    layer: int = 0


class Case(NamedTuple):
    """One tensor, of one model, under one mix."""

    mix: str
    default: str
    slot: Slot
    about: About

    @property
    def depth(self) -> int:
        """Where a feed-forward matrix stands: its layer with experts, else how many of its use went before."""
        return self.slot.layer if self.about.experts > 1 else self.slot.place


OUTPUT, TABLE, VALUE, KEY, QUERY, ATTENTION_OUT, DOWN, GATE, UP, OTHER = (
    "output",
    "table",
    "value",
    "key",
    "query",
    "attention_out",
    "down",
    "gate",
    "up",
    "other",
)
"""Uses of tensors. VALUE covers fused q-k-v and MLA's undivided k-v expansion too."""


def type_of(mix: str, slot: Slot, about: About) -> str:
    """The type of one tensor that the quantizer may quantize."""
    default = MIXES[mix]
    if default not in QUANTIZED:
        return default
    return _fallback(_chosen(Case(mix, default, slot, about)), slot.columns)


def _fallback(wanted: str, columns: int) -> str:
    """The wanted type, or one whose blocks divide the row; fp16 as the last resort."""
    if TYPES[wanted].fits(columns):
        return wanted
    wider = _WIDER.get(wanted, "F16")
    return wider if TYPES[wider].fits(columns) else "F16"


def _chosen(at: Case) -> str:
    if at.slot.use == OUTPUT or (at.slot.use == TABLE and at.about.tied):
        return _output(at)
    if at.mix == "MXFP4_MOE":
        return "MXFP4" if at.slot.stacked else "Q8_0"
    if at.slot.use == TABLE:
        return _TABLE.get(at.mix, at.default)
    if at.mix in TINY:
        return _tiny(at)
    rule = {VALUE: _value, KEY: _key, QUERY: _query, DOWN: _down, ATTENTION_OUT: _attention_out, GATE: _gate_up, UP: _gate_up}.get(
        at.slot.use
    )
    return rule(at) if rule else at.default


def more_bits(layer: int, layers: int) -> bool:
    """Whether a layer is among those that get more bits: the first and last eighth, and every third between them."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


_TABLE = {
    **dict.fromkeys(("IQ1_M", "IQ1_S", "IQ2_XS", "IQ2_XXS"), "Q2_K"),
    **dict.fromkeys(("IQ2_M", "IQ2_S", "IQ3_XXS"), "IQ3_S"),
    **dict.fromkeys(("Q2_0", "TQ1_0", "TQ2_0"), "Q4_K"),
}
"""The token table, where the mix does not give it its own type."""


def _output(at: Case) -> str:
    """The output matrix, or the table that serves as one."""
    if at.mix == "MXFP4_MOE" or at.about.falcon or not TYPES[at.default].fits(at.slot.columns):
        return "Q8_0"
    if at.mix in TINY or at.mix == "IQ3_XXS":
        return "Q5_K"
    return "Q8_0" if at.default == "Q8_0" else "Q6_K"


def _tiny(at: Case) -> str:
    """Mixes below 3 bits. The down projections' place is how many of them went before, experts or not."""
    larger = at.mix in ("IQ2_M", "IQ2_S")
    if at.slot.use == VALUE:
        return "Q4_K" if at.about.gqa >= 4 or at.about.experts >= 4 else "IQ3_S" if larger else "Q2_K"
    if at.slot.use == KEY and at.about.experts == 8:
        return "Q4_K"
    if at.slot.use == DOWN and at.slot.place < at.about.layers // 8:
        return "IQ3_S" if larger else "Q2_K"
    if at.slot.use == ATTENTION_OUT:
        if at.about.experts == 8:
            return "Q5_K"
        return "IQ2_XXS" if at.mix in ("IQ1_M", "IQ1_S") else "IQ3_S" if larger else at.default
    return at.default


def _value(at: Case) -> str:
    if at.about.experts == 8:
        return "Q8_0"
    chosen = _value_by_mix(at)
    return "Q5_K" if at.about.seventy and chosen in ("Q3_K", "Q4_K") else chosen


def _value_by_mix(at: Case) -> str:
    shared = at.about.gqa >= 4
    if at.mix == "Q2_K":
        return "Q4_K" if shared else "Q3_K"
    if at.mix == "IQ3_XXS":
        return "Q4_K" if shared else "IQ3_XXS" if at.about.imatrix else "IQ3_S"
    if at.mix in ("Q2_K_S", "IQ3_XS", "IQ3_S"):
        return "Q4_K" if shared else at.default
    if at.mix in ("IQ4_NL", "IQ4_XS"):
        return "Q5_K" if shared else at.default
    if at.mix in ("Q4_K_M", "Q5_K_M"):
        return "Q6_K" if more_bits(at.slot.place, at.about.values) else at.default
    if at.mix == "Q3_K_M":
        return "Q5_K" if at.slot.place < 2 else "Q4_K"
    if at.mix == "Q4_K_S":
        return "Q5_K" if at.slot.place < 4 else at.default
    return {"IQ3_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(at.mix, at.default)


def _key(at: Case) -> str:
    return "Q8_0" if at.about.experts == 8 else _query(at)


def _query(at: Case) -> str:
    return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(at.mix, at.default)


def _down(at: Case) -> str:
    """The feed-forward network's second matrix: by its layer with experts, else by how many went before."""
    place, layers = at.depth, at.about.layers
    first = place < layers // 8
    if at.mix == "Q3_K_M":
        if place < layers // 16:
            return "Q5_K"
        return "Q4_K" if not at.about.falcon or more_bits(place, layers) else "Q3_K"
    if at.mix == "IQ3_XXS" and not at.about.imatrix:
        return "Q4_K" if first else "Q3_K"
    if at.mix == "IQ3_M":
        return "Q4_K" if first or (at.about.experts == 8 and more_bits(place, layers)) else at.default
    if at.mix == "Q4_K_M" and at.about.falcon:
        return "Q6_K" if place < layers // 16 else "Q5_K" if more_bits(place, layers) else "Q4_K"
    if at.mix in ("Q4_K_M", "Q5_K_M"):
        return "Q6_K" if more_bits(place, layers) else at.default
    if at.mix in ("Q2_K", "Q3_K_L"):
        return "Q3_K" if at.mix == "Q2_K" else "Q4_K" if at.about.falcon else "Q5_K"
    return _first_layers(at) if first else at.default


def _first_layers(at: Case) -> str:
    """Exceptions for the first eighth of the down projections alone."""
    if at.mix in ("IQ4_NL", "IQ4_XS"):
        return at.default if at.about.imatrix else "Q5_K"
    if at.mix == "Q4_K_S":
        return at.default if at.about.falcon else "Q5_K"
    if at.mix in ("Q4_0", "Q5_0"):
        return {"Q4_0": "Q4_1", "Q5_0": "Q5_1"}[at.mix] if at.about.imatrix else at.default
    return "Q4_K" if at.mix == "Q2_K_S" else at.default


_EIGHT_EXPERTS = frozenset({"IQ3_M", "IQ3_S", "IQ3_XS", "IQ3_XXS", "IQ4_NL", "IQ4_XS", "Q2_K", "Q3_K_M", "Q3_K_S", "Q4_K_M", "Q4_K_S"})
_OUT = {"IQ3_M": "Q4_K", "IQ3_XXS": "IQ3_S", "Q2_K": "Q3_K", "Q3_K_L": "Q5_K", "Q3_K_M": "Q4_K"}


def _attention_out(at: Case) -> str:
    if at.about.falcon:
        return "Q4_K" if at.mix == "Q3_K_L" else at.default
    if at.about.experts == 8:
        return "Q5_K" if at.mix in _EIGHT_EXPERTS else at.default
    return _OUT.get(at.mix, at.default)


def _gate_up(at: Case) -> str:
    place, layers = at.depth, at.about.layers
    return "IQ3_XXS" if at.mix == "IQ3_XS" and layers // 8 <= place < 7 * layers // 8 else at.default
