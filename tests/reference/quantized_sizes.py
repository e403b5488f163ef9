"""Records what libraries store for one linear layer in their formats: a JSON of bytes by tensor.

    python tests/reference/quantized_sizes.py > tests/golden/quantized_sizes.json

Needs torch, transformers, bitsandbytes and compressed-tensors; runs on a CPU.
"""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version

import torch

SHAPES = ((96, 256), (200, 640), (130, 96), (33, 65))
"""[outputs, inputs]; the last two are no multiples of a block."""

Sizes = dict[str, int]


def size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def bitsandbytes_4bit(weight: torch.Tensor, kind: str, *, double: bool) -> Sizes:
    from bitsandbytes.functional import quantize_4bit

    packed, state = quantize_4bit(weight, quant_type=kind, compress_statistics=double)
    found = {"quants": size(packed), "absmax": size(state.absmax), "code": size(state.code)}
    if double:
        found |= {"nested_absmax": size(state.state2.absmax), "nested_code": size(state.state2.code), "offset": size(state.offset)}
    return found


def bitsandbytes_8bit(weight: torch.Tensor) -> Sizes:
    from bitsandbytes.functional import int8_vectorwise_quant

    quants, statistics, _ = int8_vectorwise_quant(weight.half())
    return {"quants": size(quants), "SCB": size(statistics)}


def transformers_fp8(outputs: int, inputs: int, block: tuple[int, int] | None) -> Sizes:
    from transformers.integrations.finegrained_fp8 import FP8Linear

    with torch.device("meta"):
        layer = FP8Linear(inputs, outputs, block_size=block)
    return {name: size(parameter) for name, parameter in layer.named_parameters()}


def compressed(weight: torch.Tensor, layout: str, **arguments: object) -> Sizes:
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme, apply_quantization_config

    layer = torch.nn.Sequential(torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.bfloat16))
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**arguments))
    apply_quantization_config(layer, QuantizationConfig(config_groups={"group_0": scheme}))
    state = {name: parameter.data for name, parameter in layer[0].named_parameters()}
    packed = BaseCompressor.get_value_from_registry(layout).compress(state, layer[0].quantization_scheme)
    return {name: size(tensor) for name, tensor in packed.items()}


def recorded() -> dict[str, dict[str, Sizes]]:
    found: dict[str, dict[str, Sizes]] = {}
    for outputs, inputs in SHAPES:
        weight = torch.randn(outputs, inputs, dtype=torch.bfloat16)
        sizes = found.setdefault(f"{outputs}x{inputs}", {})
        for kind in ("nf4", "fp4"):
            sizes[kind] = bitsandbytes_4bit(weight, kind, double=False)
            sizes[f"{kind}-dq"] = bitsandbytes_4bit(weight, kind, double=True)
        sizes["llm-int8"] = bitsandbytes_8bit(weight)
        sizes["fp8"] = transformers_fp8(outputs, inputs, (128, 128))
        sizes["fp8-tensor"] = transformers_fp8(outputs, inputs, None)
        if inputs % 32 == 0:
            group = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32}
            sizes["int4-g32"] = compressed(weight, "pack-quantized", **group)
            sizes["int4-g32-asymmetric"] = compressed(weight, "pack-quantized", **group, symmetric=False)
        sizes["int8-channel"] = compressed(weight, "naive-quantized", num_bits=8, type="int", strategy="channel")
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    names = ("bitsandbytes", "compressed-tensors", "torch", "transformers")
    origin = "bytes of every tensor stored for a linear layer [outputs, inputs] by " + ", ".join(
        f"{name} {version(name)}" for name in names
    )
    lines = ",\n".join(f"  {json.dumps(shape)}: {json.dumps(sizes)}" for shape, sizes in recorded().items())
    print(f'{{\n "origin": {json.dumps(origin)},\n "layers": {{\n{lines}\n }}\n}}')
