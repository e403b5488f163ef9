"""Integers as compressed-tensors packs them (`pack-quantized`), and its int8 without packing (`int-quantized`).

For a matrix [outputs, inputs] in b bits: `weight_packed` int32 [outputs, ceil(inputs · b / 32)] (or int8 [outputs,
inputs]), `weight_scale` in the model's 16-bit format [outputs, ceil(inputs / g)] (or one an output, or one in all),
`weight_zero_point` packed [ceil(outputs · b / 32), groups] where it is not symmetric, `weight_g_idx` int32 [inputs] where
the groups follow the activations' order, and `weight_shape`, two int64, beside packed weights.
Source: compressors/pack_quantized and quantization/lifecycle/initialize.py of compressed-tensors 0.20.
"""

from __future__ import annotations

from paramcalc.costs.quantization.scheme import Matrix, Part, Scheme

SOURCE = "compressed-tensors: weight_packed, weight_scale, weight_zero_point, weight_g_idx, weight_shape"

WORD, SHAPE = 4, 16


def stored(matrix: Matrix, scheme: Scheme) -> list[Part]:
    """What is stored for one matrix."""
    packed = scheme.packed
    whole = scheme.block == (0, 0)
    groups = 1 if whole else -(-matrix.inputs // (scheme.group or matrix.inputs))
    rows = 1 if whole else matrix.outputs
    line = -(-matrix.inputs * scheme.bits // 32) * WORD if packed else matrix.inputs
    parts = [Part("quants", matrix.outputs * line), Part("scales", rows * groups * scheme.scale_bytes)]
    if scheme.zero_points:
        zeros = -(-rows * scheme.bits // 32) * WORD if packed else rows
        parts.append(Part("zero_points", zeros * groups))
    if scheme.group_index:
        parts.append(Part("g_idx", matrix.inputs * WORD))
    if packed:
        parts.append(Part("shape", SHAPE))
    if scheme.input_scales:
        parts.append(Part("input_scale", scheme.input_scales * WORD))
    return parts
