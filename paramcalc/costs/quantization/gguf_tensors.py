"""The tensors of a GGUF file, from those of an architecture: what llama.cpp's converter merges, splits and keeps in fp32.

Experts are one tensor with three axes, with gate and up apart; MLA's expansion of the latent is two tensors (its key half
with the head's dims as rows); everything with one axis, norms, routers, positions, convolutions of state-space layers and
parameters that are no weight of a layer stay in fp32. Vision and audio towers live in a file of their own (mmproj), which
is kept in 16 bits. Source: conversion/base.py and src/llama-quant.cpp (`tensor_allows_quantization`,
`tensor_get_category`), ggml-org/llama.cpp, June 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from paramcalc.costs.quantization.gguf_rule import (
    ATTENTION_OUT,
    DOWN,
    GATE,
    KEY,
    OTHER,
    OUTPUT,
    QUERY,
    TABLE,
    UP,
    VALUE,
    About,
)
from paramcalc.costs.quantization.tensors import Tensor
from paramcalc.model.rows import BIAS
from paramcalc.words.sizes import product

MAX_LAYERS = 512
"""LLAMA_MAX_LAYERS in src/llama-hparams.h."""

FULL, HALF = "full", "half"
"""Uses that no mix touches: kept in fp32, or in the 16 bits of the file it is made from."""

LLAMA_KIN = frozenset({"internlm3", "llama", "mistral", "mixtral"})
"""Model types that the converter writes as architecture `llama`."""
_SEVENTY = frozenset({"olmo", "qwen2"})
"""Others whose 80-layer size llama.cpp calls a 70B (src/models)."""
_KEYS_PER_LAYER = frozenset({"bamba", "granitemoehybrid", "jamba", "kimi_linear", "lfm2", "lfm2_moe", "nemotron_h"})
"""Types whose converter states the number of keys layer by layer, 0 for a layer without attention."""
_WHOLE_LATENT = frozenset({"minicpm3", "plm"})
"""Types with MLA whose expansion of the latent stays one tensor."""

_USES = {
    "q_proj": QUERY,
    "k_proj": KEY,
    "v_proj": VALUE,
    "qkv_proj": VALUE,
    "gate_proj": GATE,
    "up_proj": UP,
    "gate_up_proj": UP,
    "down_proj": DOWN,
}
_FULL_COMPONENTS = frozenset({"norm", "router", "position_embedding"})
_MIXERS = frozenset({"state_space", "linear_attention", "recurrent", "convolution"})
"""Components whose convolutions and matrices of their own kind are not quantized."""


class GgufTensor(NamedTuple):
    """One tensor of the file, with all its copies."""

    tensor: Tensor
    use: str
    columns: int
    """Elements of a row, the axis that blocks run along."""
    rows: int
    stacked: bool = False
    order: str = ""
    """Where it stands among its layer's tensors of the same use, in the file's order by name."""


def gguf_tensors(tensors: Sequence[Tensor], model_type: str = "") -> list[GgufTensor]:
    """Every tensor of the file. A tied head is none."""
    return [made for tensor in tensors if not tensor.row.tied for made in _of(tensor, model_type)]


def _of(tensor: Tensor, model_type: str) -> Iterator[GgufTensor]:
    row = tensor.row
    shape = tuple(int(size) for size in row.shape)
    columns = shape[-1] if shape else 1
    use = _use(tensor, len(shape))
    if use in (FULL, HALF):
        yield GgufTensor(tensor, use, columns, product(shape[:-1]))
    elif row.role == "kv_b_proj" and model_type not in _WHOLE_LATENT:
        yield from _latent(tensor, shape)
    elif row.role == "qkvz_proj":
        yield from _gated(tensor, shape)
    else:
        (count, matrix), *_ = tensor.matrices()
        order = "b" if row.experts else "c" if row.component.endswith("shared_experts") else "a"
        yield GgufTensor(tensor, use, matrix.inputs, matrix.outputs * count, row.op == "stack", order)


def _use(tensor: Tensor, axes: int) -> str:
    row = tensor.row
    if in_tower(tensor):
        return HALF if axes > 1 and row.kind != BIAS and row.op != "norm" else FULL
    component = row.component
    if row.op == "embedding" and axes == 2:
        return _table(tensor)
    if axes < 2 or row.kind == BIAS or row.op in ("norm", "") or component in _FULL_COMPONENTS or row.role == "shared_expert_gate":
        return FULL
    if row.op == "convolution":
        return FULL if component in _MIXERS else HALF
    if row.role == "head":
        return OUTPUT
    role = row.role.rpartition(".")[2]
    if role == "o_proj" and component == "attention":
        return ATTENTION_OUT
    if role == "kv_b_proj":
        return VALUE
    return _USES.get(role, OTHER)


def _table(tensor: Tensor) -> str:
    """The token table is quantized; positions and token types stay in fp32, relative positions in 16 bits."""
    row = tensor.row
    if row.role == "position" or "type" in row.part.rpartition(".")[2]:
        return FULL
    return TABLE if row.component == "embedding" else HALF


def in_tower(tensor: Tensor) -> bool:
    """Whether it belongs to a vision or audio tower, which is a file of its own."""
    return "." in tensor.row.component


def _latent(tensor: Tensor, shape: tuple[int, ...]) -> Iterator[GgufTensor]:
    """MLA's expansion as two stacks over heads: keys [heads, kv_rank, nope_dim] and values [heads, v_dim, kv_rank]."""
    outputs, rank = shape
    nope, value = getattr(tensor.block, "nope_dim", 0), getattr(tensor.block, "v_dim", 0)
    if not nope or not value:
        yield GgufTensor(tensor, OTHER, rank, outputs)
        return
    heads = outputs // (nope + value)
    yield GgufTensor(tensor, OTHER, nope, heads * rank, stacked=True)
    yield GgufTensor(tensor, OTHER, rank, heads * value, stacked=True)


def _gated(tensor: Tensor, shape: tuple[int, ...]) -> Iterator[GgufTensor]:
    """Qwen3-Next's fused projection: queries, keys and values in one tensor, the output gate z in another."""
    outputs, inputs = shape
    gate = getattr(tensor.block, "value_heads", 0) * getattr(tensor.block, "value_dim", 0)
    yield GgufTensor(tensor, VALUE, inputs, outputs - gate)
    if gate:
        yield GgufTensor(tensor, OTHER, inputs, gate)


def about(made: Sequence[GgufTensor], model_type: str = "", *, imatrix: bool = False) -> About:
    """What the quantizer's rule asks about the model."""
    made = [item for item in made if not in_tower(item.tensor)]
    rows = [item.tensor.row for item in made]
    layers = 1 + max((layer for item in made for layer in item.tensor.layers), default=0)
    gqa, heads_differ = _sharing(made, model_type)
    return About(
        layers=layers,
        experts=max((row.experts[0] for row in rows if row.experts), default=0),
        gqa=gqa,
        values=sum(item.tensor.row.repeat for item in made if item.use == VALUE),
        tied=all(item.use != OUTPUT for item in made),
        falcon=model_type == "falcon",
        seventy=layers == 80 and (model_type in _SEVENTY or (model_type in LLAMA_KIN and heads_differ)),
        imatrix=imatrix,
    )


def _sharing(made: Sequence[GgufTensor], model_type: str) -> tuple[int, bool]:
    """Queries per key in the first layer that has them, and whether there is more than one."""
    found = sorted((item.tensor.layers[:1] or (0,), _gqa(item.tensor)) for item in made if _gqa(item.tensor))
    if not found:
        return (0 if model_type in _KEYS_PER_LAYER else 1), False
    (layer,), gqa = found[0]
    return (0 if layer and model_type in _KEYS_PER_LAYER else gqa), gqa != 1


def _gqa(tensor: Tensor) -> int:
    """Queries per key of the attention that a tensor belongs to; 0 for any other tensor. MLA has one key for all."""
    heads = getattr(tensor.block, "heads", None)
    if not isinstance(heads, int) or tensor.row.role not in ("q_proj", "qkv_proj", "kv_b_proj", "query_key_value"):
        return 0
    if hasattr(tensor.block, "kv_rank"):
        return heads
    return heads // (getattr(tensor.block, "kv_heads", None) or heads)
