"""Ways to take the loss that spare memory, as their own packages take it, on models with a `model` and an `lm_head`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as functional

CHUNKS = 8


def shifted(labels: torch.Tensor) -> torch.Tensor:
    """transformers' `ForCausalLMLoss`, which Liger's forward follows."""
    return functional.pad(labels, (0, 1), value=-100)[..., 1:].contiguous()


def chunked(net: Any, given: dict[str, torch.Tensor]) -> Any:
    """torchtune's `CEWithChunkedOutputLoss`: output matrix and upcast piece by piece (`chunked_output`, and the loss's own)."""
    base = net.get_base_model() if hasattr(net, "get_base_model") else net
    hidden = base.model(input_ids=given["input_ids"]).last_hidden_state
    logits = [base.lm_head(piece) for piece in hidden.tensor_split(CHUNKS, dim=1)]
    labels = [piece.reshape(-1) for piece in shifted(given["labels"]).chunk(CHUNKS, dim=1)]
    total = sum(
        functional.cross_entropy(piece.reshape(-1, piece.shape[-1]).float(), wanted, reduction="sum")
        for piece, wanted in zip(logits, labels, strict=True)
    )
    return SimpleNamespace(loss=total / given["labels"].numel(), logits=logits)


class _Kernel:
    """A kernel that is launched and does nothing."""

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return lambda *_, **__: None


def returned(_: Any, *gradients: Any) -> tuple[Any, ...]:
    """Liger's backward: what was kept, scaled where it lies."""
    return gradients


def fused(net: Any, given: dict[str, torch.Tensor]) -> Any:
    """Liger's fused linear cross entropy, its own code without its kernels."""
    from liger_kernel.ops import fused_linear_cross_entropy as liger

    liger.liger_cross_entropy_kernel = _Kernel()
    liger.fused_linear_cross_entropy_backward = returned
    item, torch.Tensor.item = torch.Tensor.item, lambda self: 1
    try:
        base = net.get_base_model() if hasattr(net, "get_base_model") else net
        hidden = base.model(input_ids=given["input_ids"]).last_hidden_state
        rows = hidden.reshape(-1, hidden.shape[-1])
        loss = liger.LigerFusedLinearCrossEntropyFunction.apply(rows, base.lm_head.weight, shifted(given["labels"]).reshape(-1))[0]
    finally:
        torch.Tensor.item = item
    return SimpleNamespace(loss=loss, logits=None)


LOSSES: dict[str, Callable[[Any, dict[str, torch.Tensor]], Any]] = {
    "plain": lambda net, given: net(**given),
    "chunked": chunked,
    "fused": fused,
}
