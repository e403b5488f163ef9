"""A CUDA device without a GPU: fake tensors that say they lie on one, so that torch dispatches as it does there.

Shapes, formats, autograd formulas, autocast's lists and fused dropout are those of CUDA; kernels never run. Which attention
kernel `scaled_dot_product_attention` takes is decided in CUDA code that a CPU build lacks, so that choice is restated here
(aten/src/ATen/native/transformers/cuda/sdp_utils.cpp and attention.cpp of torch 2.13, on a device that has all kernels).
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as functional
from torch._subclasses.fake_impls import register_op_impl
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import PreTrainedModel, masking_utils

os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] = "1"  # its checks look at values, as of how many tokens stand for images

FLASH_DIMS = 256
LOW = (torch.bfloat16, torch.float16)
_BIAS_ALIGNMENT = 16
"""Columns to which the memory-efficient kernel wants its bias padded (`pad_bias<16>`)."""

_KERNELS = torch.library.Library("aten", "IMPL")
# a CPU build takes these apart for a device that it has no kernels for; a CUDA build does not
for _name in ("silu_backward", "mish_backward"):
    _KERNELS.impl(_name, lambda gradient, x: torch.empty_like(x), "CUDA")

backends: list[str] = []
"""Kernels that attention took since this was last emptied."""


@contextmanager
def simulated() -> Iterator[FakeTensorMode]:
    """Everything made inside is fake."""
    patches = (
        (functional, "scaled_dot_product_attention", attention),
        (masking_utils, "_preprocess_mask_arguments", without_mask),
        # a look at the values, which fake tensors do not have, finds that nothing is packed
        (masking_utils, "find_packed_sequence_indices", lambda *_: None),
        (torch.nn.Module, "_apply", converted),
        (torch.cuda, "get_device_capability", lambda *_: (9, 0)),
        # rates of stochastic depth are read from such a tensor when a model is made
        (torch, "linspace", linspace),
        # looks at values: no label is out of bounds, no layer is dropped, no label is padding
        (torch.Tensor, "__bool__", lambda _: False),
        (torch.Tensor, "masked_select", lambda labels, _: labels.reshape(-1).clone()),
        (functional, "ctc_loss", ctc_loss),
        # some initialisers look at values
        (PreTrainedModel, "initialize_weights", lambda *_, **__: None),
    )
    plain = [getattr(where, name) for where, name, _ in patches]
    try:
        for where, name, new in patches:
            setattr(where, name, new)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            yield mode
    finally:
        for (where, name, _), old in zip(patches, plain, strict=True):
            setattr(where, name, old)


_preprocess = masking_utils._preprocess_mask_arguments


class Rate(float):
    """A number that says its value as a tensor does."""

    def item(self) -> float:
        return float(self)


class Rates(list[Rate]):
    """Numbers in a row, divided and read as a tensor's are."""

    def split(self, sizes: list[int]) -> list[Rates]:
        return [Rates(self[sum(sizes[:at]) : sum(sizes[: at + 1])]) for at in range(len(sizes))]

    def tolist(self) -> list[Rate]:
        return list(self)


def linspace(start: float, end: float, steps: int, **_: Any) -> Rates:
    """`torch.linspace` with values, which a fake tensor does not have."""
    return Rates(Rate(start + (end - start) * at / max(1, steps - 1)) for at in range(steps))


def without_mask(*args: Any, **options: Any) -> Any:
    """No caller hands in a mask here, so one that a model makes hides nothing, which a look at its values would find."""
    given = inspect.signature(_preprocess).bind(*args, **options)
    given.arguments["attention_mask"] = None
    return _preprocess(*given.args, **given.kwargs)


def converted(module: torch.nn.Module, fn: Any, recurse: bool = True) -> torch.nn.Module:
    """`Module._apply` with new parameters in place of the old: fake ones cannot be swapped."""
    for child in module.modules() if recurse else (module,):
        for name, held in child._parameters.items():
            if held is not None:
                child._parameters[name] = torch.nn.Parameter(fn(held.detach()), held.requires_grad)
        for name, kept in child._buffers.items():
            child._buffers[name] = None if kept is None else fn(kept)
    return module


@contextmanager
def autocasting(dtype: torch.dtype | None) -> Iterator[None]:
    """`torch.autocast("cuda", dtype)`, which itself would look for a device."""
    if dtype is None:
        yield
        return
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", dtype)
    torch.autocast_increment_nesting()
    torch.set_autocast_cache_enabled(True)
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", False)


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """`scaled_dot_product_attention` as a CUDA device runs it."""
    if torch.is_autocast_enabled("cuda"):
        low = torch.get_autocast_dtype("cuda")
        query, key, value = (x.to(low) if x.dtype == torch.float32 else x for x in (query, key, value))
        attn_mask = attn_mask.to(low) if attn_mask is not None and attn_mask.dtype == torch.float32 else attn_mask
    scale = scale or 1 / math.sqrt(query.shape[-1])
    same = query.shape[-1] == key.shape[-1] == value.shape[-1]
    grouped = query.shape[-3] != key.shape[-3]
    dense = all(x.stride(-1) == 1 for x in (query, key, value))
    if attn_mask is None and query.dtype in LOW and same and query.shape[-1] <= FLASH_DIMS and dense:
        return _flash(query, key, value, dropout_p, is_causal, scale)
    if not grouped and _aligned(query) and _aligned(value) and dense:
        return _efficient(query, key, value, attn_mask, dropout_p, is_causal, scale)
    backends.append("math")
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.where(attn_mask, 0.0, -math.inf).to(query.dtype)
    return _math(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)


def ctc_loss(log_probs: Any, targets: Any, lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean", **more: bool) -> Any:
    """`ctc_loss` as a CUDA device runs it without cuDNN (aten/src/ATen/native/LossCTC.cpp): with lengths as numbers, all of them full."""
    steps, batch, _ = log_probs.shape
    full = [steps] * batch, [targets.numel() // batch] * batch
    made = torch.ops.aten._ctc_loss.default(log_probs, targets, *full, blank, more.get("zero_infinity", False))[0]
    if more.get("zero_infinity"):
        made = torch.where(made == math.inf, torch.zeros((), dtype=made.dtype, device=made.device), made)
    if reduction == "mean":
        return (made / torch.full((batch,), full[1][0], dtype=made.dtype, device=made.device)).mean()
    return made.sum()


@register_op_impl(torch.ops.aten._ctc_loss.default)
def _ctc_loss(_: Any, __: Any, log_probs: Any, targets: Any, lengths: list[int], target_lengths: list[int], *___: Any) -> Any:
    """Shapes of aten/src/ATen/native/cuda/LossCTC.cu: a likelihood for each sequence, and the scores of all alignments."""
    steps, batch, _ = log_probs.shape
    return log_probs.new_empty(batch), log_probs.new_empty(batch, steps, 2 * max(target_lengths) + 1)


def _aligned(x: torch.Tensor) -> bool:
    return x.shape[-1] % (16 // x.element_size()) == 0


def _flash(query: Any, key: Any, value: Any, dropout: float, causal: bool, scale: float) -> torch.Tensor:
    backends.append("flash")
    size = query.shape[-1]
    if size % 8:
        query, key, value = (functional.pad(x, (0, 8 - size % 8)) for x in (query, key, value))
    made = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, dropout, causal, False, scale=scale)
    return made[0][..., :size]


def _efficient(query: Any, key: Any, value: Any, mask: Any, dropout: float, causal: bool, scale: float) -> torch.Tensor:
    backends.append("efficient")
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.where(mask, 0.0, -math.inf).to(query.dtype)
        wide = mask.shape[-1]
        if wide % _BIAS_ALIGNMENT:
            mask = functional.pad(mask, (0, _BIAS_ALIGNMENT - wide % _BIAS_ALIGNMENT))[..., :wide]
        mask = mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    grad = any(x.requires_grad for x in (query, key, value)) or (mask is not None and mask.requires_grad)
    made = torch.ops.aten._scaled_dot_product_efficient_attention(query, key, value, mask, grad, dropout, causal, scale=scale)
    return made[0]


def _math(query: Any, key: Any, value: Any, mask: Any, dropout: float, causal: bool, scale: float, grouped: bool) -> torch.Tensor:
    with torch.autocast("cuda", enabled=False):
        made = torch.ops.aten._scaled_dot_product_attention_math(
            query, key, value, mask, dropout, causal, None, scale=scale, enable_gqa=grouped
        )
    return made[0]
