"""Bytes of all weights under a scheme: which tensors it quantizes, and what is stored for each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from paramcalc.costs.quantization.held import Held
from paramcalc.costs.quantization.scheme import NONE, Matrix, Part, Scheme
from paramcalc.costs.quantization.tensors import Tensor, tensors
from paramcalc.model.architecture import Architecture
from paramcalc.model.rows import BIAS
from paramcalc.words.errors import UsageError
from paramcalc.words.formats import FORMATS, compute_format

KEPT_ROLES = frozenset({"router", "shared_expert_gate"})
"""Linear layers that no format quantizes unless told to: what chooses experts is small and decides much."""
_ONLY_LAYERS = frozenset({"gptq", "awq"})
"""Methods that calibrate the decoder's layers one by one and so touch nothing outside of them."""
_OUTSIDE = frozenset({"projection", "other", "embedding", "position_embedding"})


def weights_of(architecture: Architecture, scheme: Scheme = NONE, dtype: str = "bf16") -> list[Held]:
    """What the weights of an architecture weigh. Raises UsageError where the scheme does not apply to it."""
    numbered = scheme.method == "gguf" or scheme.left_out.numbered
    return weight_bytes(tensors(architecture, numbered=numbered), scheme, dtype, architecture.model_type or "")


def weight_bytes(parts: Sequence[Tensor], scheme: Scheme = NONE, dtype: str = "bf16", model_type: str = "") -> list[Held]:
    """What tensors weigh under a scheme; what it does not quantize is in `dtype`. A tied row weighs nothing and is left out.

    In fp8 without a scheme, linear layers are fp8 in blocks of 128 × 128 and the rest is bf16.
    """
    rest = compute_format(dtype).name
    if rest == "fp8_e4m3":
        rest = "bf16"
        scheme = _fp8() if scheme.method == "none" else scheme
    if scheme.method == "gguf":
        from paramcalc.costs.quantization.gguf_mix import mixed

        return mixed(parts, scheme, rest, model_type)
    held = [each for tensor in parts if not tensor.row.tied for each in _held(tensor, scheme, rest)]
    if scheme.name == "mxfp4" and all(each.format != "mxfp4" for each in held):
        raise UsageError("mxfp4 quantizes experts, and this model has none", place="quant", hint="nvfp4, or MXFP4_MOE")
    return held


def _fp8() -> Scheme:
    from paramcalc.costs.quantization.scheme import scheme_named

    return scheme_named("fp8")


def quantizes(tensor: Tensor, scheme: Scheme) -> bool:
    """Whether a scheme quantizes a tensor, exceptions that a config names aside.

    Linear layers and experts are; embeddings, norms, biases, convolutions and routers are not, and the head only where
    the scheme says so. MXFP4 takes the experts alone; GPTQ and AWQ take no tower and no projection outside of layers.
    """
    row = tensor.row
    if scheme.method == "none":
        return False
    if scheme.everything:
        return True
    if row.kind == BIAS or row.op not in ("linear", "stack") or len(row.shape) < 2 or row.role in KEPT_ROLES:
        return False
    if row.role == "head":
        return scheme.head
    if scheme.name == "mxfp4":
        return row.experts is not None
    return scheme.method not in _ONLY_LAYERS or (row.component not in _OUTSIDE and "." not in row.component)


def _held(tensor: Tensor, scheme: Scheme, rest: str) -> list[Held]:
    row, copies = tensor.row, tensor.row.repeat
    quantized = 0
    if quantizes(tensor, scheme):
        quantized = copies - scheme.left_out.copies(row.name.removesuffix(".weight"), tensor.layers, copies)
    made = []
    if quantized:
        made.append(Held(row, _format(scheme), quantized, _stored(tensor.matrices(), scheme, quantized)))
    if quantized < copies:
        size = FORMATS[rest].bytes_for(row.elements) * (copies - quantized)
        made.append(Held(row, rest, copies - quantized, (Part("values", size),)))
    return made


def _format(scheme: Scheme) -> str:
    """The format of one quantized tensor, without the scheme's options."""
    return {"gptq": f"int{scheme.bits}", "awq": f"int{scheme.bits}", "packed": f"int{scheme.bits}"}.get(scheme.method, scheme.name)


def _stored(matrices: list[tuple[int, Matrix]], scheme: Scheme, copies: int) -> tuple[Part, ...]:
    module = import_module(f"paramcalc.costs.quantization.{scheme.method}")
    sums: dict[str, int] = {}
    for count, matrix in matrices:
        for part in module.stored(matrix, scheme):
            sums[part.name] = sums.get(part.name, 0) + part.bytes * count * copies
    return tuple(Part(name, size) for name, size in sums.items())
