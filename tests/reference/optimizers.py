"""The optimizers of `paramcalc train` as their own packages make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def state_bytes(optimizer: Any) -> int:
    """Bytes of all tensors that an optimizer keeps, each once; counters that lie on the host are none."""
    found: dict[int, int] = {}
    for state in optimizer.state.values():
        for kept in state.values():
            if isinstance(kept, torch.Tensor) and (kept.device.type == "cuda" or hasattr(kept, "is_paged")):
                storage = kept.untyped_storage()
                found[storage._cdata] = storage.nbytes()
    return sum(found.values())


class Both:
    """Two optimizers that step one after the other."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers

    @property
    def state(self) -> dict[Any, Any]:
        return {key: state for optimizer in self.optimizers for key, state in optimizer.state.items()}

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)


def muon(model: nn.Module) -> Both:
    """`torch.optim.Muon` for the matrices inside of the layers; AdamW for tables, the head, vectors and stacks of matrices."""
    outside = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if head is not None:
        outside.add(id(head.weight))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    inside = [parameter for parameter in trained if parameter.ndim == 2 and id(parameter) not in outside]
    known = {id(parameter) for parameter in inside}
    rest = [parameter for parameter in trained if id(parameter) not in known]
    return Both(*([torch.optim.Muon(inside)] if inside else []), *([torch.optim.AdamW(rest, foreach=True)] if rest else []))


def adafactor(model: nn.Module) -> Any:
    """transformers' own, as its trainer makes it."""
    from transformers.optimization import Adafactor

    return Adafactor([x for x in model.parameters() if x.requires_grad], scale_parameter=False, relative_step=False, lr=1e-3)


def lion(model: nn.Module) -> Any:
    """lion-pytorch 0.2.5: momentum in the parameter's format (bitsandbytes' Lion, which the trainer names, keeps it in fp32)."""
    from lion_pytorch import Lion

    return Lion([x for x in model.parameters() if x.requires_grad])


def eight_bit(model: nn.Module, *, paged: bool = False) -> Any:
    """bitsandbytes' AdamW in 8 bits, with tables in 32 as transformers' trainer asks for; its kernels do nothing here."""
    import bitsandbytes
    from bitsandbytes import functional
    from bitsandbytes.optim import optimizer

    for name in ("optimizer_update_32bit", "optimizer_update_8bit_blockwise", "prefetch_tensor", "fill"):
        setattr(functional, name, lambda *_, **__: None)
    functional.get_paged = managed
    functional.create_dynamic_map = lambda signed=True: torch.empty(256)
    optimizer.sync_gpu = lambda _: None
    manager = bitsandbytes.optim.GlobalOptimManager.get_instance()
    manager.initialize()
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            manager.register_module_override(module, "weight", {"optim_bits": 32})
    return bitsandbytes.optim.AdamW([x for x in model.parameters() if x.requires_grad], optim_bits=8, is_paged=paged)


def managed(*shape: int, dtype: torch.dtype, device: Any = None) -> torch.Tensor:
    """Memory that moves between device and host and is not the allocator's: here on the host."""
    made = torch.empty(shape, dtype=dtype, device="cpu")
    made.is_paged = True
    return made


def _torch(kind: Any, **options: Any) -> Callable[[nn.Module], Any]:
    return lambda model: kind([parameter for parameter in model.parameters() if parameter.requires_grad], **options)


OPTIMIZERS: dict[str, Callable[[nn.Module], Any]] = {
    "adafactor": adafactor,
    "adamw": _torch(torch.optim.AdamW, foreach=True),
    "adamw-8bit": eight_bit,
    "adamw-forloop": _torch(torch.optim.AdamW, foreach=False),
    "adamw-fused": _torch(torch.optim.AdamW, fused=True),
    "adamw-paged-8bit": lambda model: eight_bit(model, paged=True),
    "lion": lion,
    "muon": muon,
    "sgd": _torch(torch.optim.SGD, lr=1e-3, foreach=True),
    "sgd-momentum": _torch(torch.optim.SGD, lr=1e-3, momentum=0.9, foreach=True),
}
"""foreach is what torch picks by itself on a CUDA device."""
