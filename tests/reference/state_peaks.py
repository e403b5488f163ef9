"""The fullest moments of a forward and a backward pass of models with recurrent layers, every piece of memory counted.

On fake tensors of the CPU: these layers are plain torch there as they are on a GPU. Parameters, buffers and token ids are left out.

    python tests/reference/state_peaks.py --out tests/golden/peaks_states.jsonl
"""

from __future__ import annotations

import argparse
import json
import warnings
import weakref
from pathlib import Path
from typing import Any

import torch
import transformers
from activation_cases import Case, Setting
from activation_cases_states import CASES
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

NAMES = ("mamba", "mamba2", "rwkv")
SETTINGS = (
    Setting(attention="eager", length=24),
    Setting("fp32", "eager", length=24),
    Setting(attention="eager", length=24, checkpointing="full"),
)
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class Meter(TorchDispatchMode):
    """Bytes of all storages that operations made and that still live, and the most there were."""

    def __init__(self, given: list[torch.Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known = dict.fromkeys((x.untyped_storage()._cdata for x in given), 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if isinstance(x, torch.Tensor):
                self.add(x.untyped_storage())
        return made

    def add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known[key] = size
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self.drop, key, size)

    def drop(self, key: int, size: int) -> None:
        del self.known[key]
        self.live -= size


def record(case: Case, setting: Setting) -> dict[str, int]:
    config = transformers.CONFIG_MAPPING[case.model_type].from_dict(dict(case.config))
    config.use_cache = False
    cls = getattr(transformers, case.architecture)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = cls._from_config(config, attn_implementation=setting.attention, dtype=DTYPES[setting.precision]).train()
        if setting.checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        ids = torch.zeros(setting.batch, setting.length, dtype=torch.long)
        with Meter([*model.parameters(), *model.buffers(), ids]) as meter:
            out = model(input_ids=ids, labels=ids)
            found = {"forward": meter.peak, "forward_end": meter.live}
            meter.peak = meter.live
            out.loss.backward()
    return found | {"backward": meter.peak, "backward_end": meter.live}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    PreTrainedModel.initialize_weights = lambda *_, **__: None
    lines = []
    for case in (case for case in CASES if case.name in NAMES):
        config = {**case.config, "architectures": [case.architecture], "model_type": case.model_type}
        rows = [{"settings": {k: v for k, v in each._asdict().items() if v}} | record(case, each) for each in SETTINGS]
        lines.append(json.dumps({"name": case.name, "config": config, "cases": rows}) + "\n")
    Path(options.out).write_text("".join(lines))


if __name__ == "__main__":
    main()
