"""What a device holds while a model trains, phase by phase, and what autograd keeps: two steps on a simulated CUDA device.

Writes JSON lines, one for each model: its config and its cases, which are options of `paramcalc train`, the bytes that autograd
keeps, how many parameters train, and the fullest moment of each phase of the second step. Every storage that an operation makes
counts from then on until nothing refers to it, with its own size (no rounding); the model's outputs are held through the way back.

    python tests/reference/peaks.py methods --out tests/golden/training/methods_recorded.jsonl [names]
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import device  # noqa: F401, before torch
import torch
import transformers
from losses import LOSSES
from optimizers import OPTIMIZERS, state_bytes
from peak_cases import SETS, Model
from simulated_cuda import autocasting, simulated
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from trained import DEFAULTS, Options, batch, build, low, trained


class Living(TorchDispatchMode):
    """Bytes of all storages on the device that something still refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, tuple[weakref.ref[Any], int]] = {}
        self.now = self.peak = 0
        self.lock = threading.RLock()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor):
                self.see(tensor)
        return made

    def see(self, tensor: torch.Tensor) -> None:
        if tensor.device.type != "cuda":
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        with self.lock:
            if key in self.sizes and self.sizes[key][0]() is not None:
                return
            self.sizes[key] = (weakref.ref(storage, lambda _, key=key: self.gone(key)), storage.nbytes())
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def gone(self, key: int) -> None:
        with self.lock:
            self.now -= self.sizes.pop(key)[1]

    def phase(self) -> int:
        """The fullest moment since this was last asked."""
        found, self.peak = self.peak, self.now
        return found


class Kept:
    """A tensor in the hands of autograd; without its graph, which would hold on to itself where a result is kept."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor.detach()


class Saved:
    """What autograd keeps, each storage once; known ones (parameters, buffers, inputs) are left out."""

    def __init__(self, model: torch.nn.Module, given: dict[str, torch.Tensor]) -> None:
        self.known = {x.untyped_storage()._cdata for x in (*model.parameters(), *model.buffers(), *given.values())}
        self.packed: list[weakref.ref[Kept]] = []
        self.stack: list[str] = []
        self.where: list[str] = []
        self.handles = []
        for name, module in model.named_modules():
            self.handles.append(module.register_forward_pre_hook(lambda m, a, n=name: self.stack.append(n)))
            self.handles.append(module.register_forward_hook(lambda m, a, o: self.stack.__delitem__(-1), always_call=True))

    def pack(self, x: torch.Tensor) -> Kept:
        held = Kept(x)
        self.packed.append(weakref.ref(held))
        self.where.append(self.stack[-1] if self.stack else "")
        return held

    @contextmanager
    def watching(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda held: held.tensor):
            yield
        for handle in self.handles:
            handle.remove()

    def tensors(self) -> list[tuple[int, str, tuple[int, ...], str]]:
        """Those that are still there: (bytes, module that kept it first, shape, format)."""
        found: dict[int, tuple[int, str, tuple[int, ...], str]] = {}
        for reference, where in zip(self.packed, self.where, strict=True):
            held = reference()
            if held is None:
                continue
            x = held.tensor
            at = x.untyped_storage()._cdata
            if at not in self.known and at not in found:
                found[at] = (x.untyped_storage().nbytes(), where, tuple(x.shape), str(x.dtype)[6:])
        return list(found.values())


def record(model: Model, asked: Options, detail: bool = False) -> dict[str, Any]:
    options = DEFAULTS | asked
    with simulated(), counted():
        living = Living()
        net = build(model.config, options)
        given = batch(options)
        saved = Saved(net, given)
        tensors = kept(net, given, saved, options)
        for x in (*net.parameters(), *net.buffers(), *given.values()):
            living.see(x)
        loaded = living.now
        with living:
            phases, state = steps(net, given, options, living)
    row = {"options": asked, "saved": sum(size for size, *_ in tensors), "trained": sum(x.numel() for x in trained(net))}
    row |= {"state": state, "phases": {"loaded": loaded, **phases}}
    if detail:
        row["tensors"] = tensors
    return row


def kept(net: Any, given: dict[str, torch.Tensor], saved: Saved, options: Options) -> list[tuple[int, str, tuple[int, ...], str]]:
    """What autograd keeps of one forward pass."""
    with saved.watching(), autocasting(low(options)):
        out = LOSSES[options["loss"]](net, given)
    assert out.loss.requires_grad
    gc.collect()
    return saved.tensors()


def steps(net: Any, given: dict[str, torch.Tensor], options: Options, living: Living) -> tuple[dict[str, int], int]:
    """Two steps; the phases of the second, the fullest moment of the first, and what the optimizer keeps."""
    optimizer = OPTIMIZERS[options["optimizer"]](net)
    average = Average(net) if options.get("ema") else None
    scaler = Scaler() if options["precision"] == "fp16-mixed" else None
    found: dict[str, int] = {}
    for step in range(2):
        living.phase()
        found = {"first_step": max(found.values())} if step else {}
        for _ in range(options["grad_accum"]):
            one = passes(net, given, options, living, scaler)
            found |= {name: max(size, found.get(name, 0)) for name, size in one.items()}
        living.phase()
        if scaler is not None:
            scaler.unscale(net)
        if options.get("clip"):
            torch.nn.utils.clip_grad_norm_(list(trained(net)), 1.0, foreach=True)
        optimizer.step()
        if average is not None:
            average.update()
        found["optimizer"] = living.phase()
        optimizer.zero_grad()
    return found, state_bytes(optimizer)


def passes(net: Any, given: dict[str, torch.Tensor], options: Options, living: Living, scaler: Any = None) -> dict[str, int]:
    """One forward and one backward pass."""
    with autocasting(low(options)):
        out = LOSSES[options["loss"]](net, given)
    found = {"forward": living.phase(), "forward_end": living.now}
    loss = out.loss if scaler is None else scaler.scale(out.loss)
    loss.backward()
    return found | {"backward": living.phase(), "backward_end": living.now}


class Scaler:
    """What `torch.amp.GradScaler` does to tensors: a factor on the loss, and gradients divided by it where they are."""

    def __init__(self) -> None:
        self.factor = torch.full((1,), 65536.0, device="cuda")

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        return loss * self.factor

    def unscale(self, net: Any) -> None:
        infinite = torch.zeros(1, device="cuda")
        gradients = [x.grad for x in trained(net)]
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, infinite, self.factor.double().reciprocal().float())


class Average:
    """An exponential moving average of what trains (`torch.optim.swa_utils.get_ema_multi_avg_fn`)."""

    def __init__(self, net: Any) -> None:
        self.net = net
        self.copies = [parameter.detach().clone() for parameter in trained(net)]

    def update(self) -> None:
        torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)(self.copies, [x.detach() for x in trained(self.net)], None)


@contextmanager
def counted() -> Iterator[None]:
    """Steps are counted without a look at the counter's value, which a fake tensor does not have."""
    places = [sys.modules["torch.optim.adam"]]
    plain = [(place, place._get_value) for place in places]
    try:
        for place, _ in plain:
            place._get_value = lambda x: 2.0 if isinstance(x, torch.Tensor) else x
        yield
    finally:
        for place, old in plain:
            place._get_value = old


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("set", choices=SETS)
    parser.add_argument("names", nargs="*", help="models; all of the set if left out")
    parser.add_argument("--out")
    parser.add_argument("--detail", action="store_true")
    parser.add_argument("--setting", help="only cases whose words are all of these")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    lines = []
    for model, cases in SETS[options.set]:
        if options.names and model.name not in options.names:
            continue
        chosen = [case for case in cases if all(word in str(case) for word in (options.setting or "").split())]
        rows = [row for case in chosen if (row := attempt(model, case, detail=options.detail)) is not None]
        lines.append({"name": model.name, "config": model.config, "cases": rows})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    if options.out:
        Path(options.out).write_text(text)
    else:
        print(text, end="")


def attempt(model: Model, case: Options, *, detail: bool) -> dict[str, Any] | None:
    """One record; none where the model or PEFT refuses the options, and the reason on stderr."""
    try:
        return record(model, case, detail)
    except Exception as error:
        print(f"{model.name} {case}: {type(error).__name__} {str(error)[:300]}", file=sys.stderr)
        return None


if __name__ == "__main__":
    main()
