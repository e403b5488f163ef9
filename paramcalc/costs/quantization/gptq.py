"""GPTQ (Frantar et al. 2022) as AutoGPTQ and GPTQModel store it.

For a matrix [outputs, inputs] in b bits and groups of g inputs: `qweight` int32 [inputs · b / 32, outputs], `qzeros` int32
[ceil(inputs / g), outputs · b / 32], `scales` fp16 [ceil(inputs / g), outputs], `g_idx` int32 [inputs]. Symmetric
checkpoints store `qzeros` too, and `g_idx` is there with or without desc_act, so neither changes the bytes. Both packed
axes are whole words of 32 bits; AutoGPTQ asks for multiples of 32 and the padding is counted where a matrix has none.
Engines that repack (Marlin, ExLlama) may drop `qzeros` or `g_idx` once loaded; that is not modelled.
Source: auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py, AutoGPTQ/AutoGPTQ commit 9f7d370.
"""

from __future__ import annotations

from paramcalc.costs.quantization.scheme import Matrix, Part, Scheme

SOURCE = "qweight, qzeros, scales and g_idx of auto_gptq/nn_modules/qlinear, AutoGPTQ commit 9f7d370"

WORD = 4


def words(values: int, bits: int) -> int:
    """Words of 32 bits that so many values fill; 32 values of 3 bits fill three."""
    return -(-values * bits // 32)


def stored(matrix: Matrix, scheme: Scheme) -> list[Part]:
    """What is stored for one matrix."""
    groups = -(-matrix.inputs // (scheme.group or matrix.inputs))
    parts = [
        Part("qweight", words(matrix.inputs, scheme.bits) * matrix.outputs * WORD),
        Part("qzeros", groups * words(matrix.outputs, scheme.bits) * WORD),
        Part("scales", groups * matrix.outputs * scheme.scale_bytes),
    ]
    return [*parts, Part("g_idx", matrix.inputs * WORD)] if scheme.group_index else parts
