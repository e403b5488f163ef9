"""fp8 weights (one byte each) with a scale per tensor, per output row, or per block of outputs × inputs.

A matrix [outputs, inputs] has outputs · inputs bytes and

- per tensor: one fp32 scale;
- per channel: one scale an output, fp32 (fbgemm) or in the model's own format (compressed-tensors);
- per block [128, 128] (DeepSeek-AI 2024, DeepSeek-V3, §3.3): `weight_scale_inv` fp32 [ceil(outputs / 128), ceil(inputs /
  128)]; with `scale_fmt: ue8m0` a scale is one byte. MXFP8 is the block [1, 32] with such scales.

A static activation scale is one fp32 more. Every expert's gate, up and down is a matrix of its own, as in checkpoints.
Source: `FP8Linear` in transformers/integrations/finegrained_fp8.py, transformers 5.23.
"""

from __future__ import annotations

from paramcalc.costs.quantization.scheme import Matrix, Part, Scheme

SOURCE = "FP8Linear of transformers 5.23: weight and weight_scale_inv, one scale a block"

FLOAT = 4


def stored(matrix: Matrix, scheme: Scheme) -> list[Part]:
    """What is stored for one matrix."""
    outputs, inputs = scheme.block or (0, 0)
    scales = -(-matrix.outputs // (outputs or matrix.outputs)) * -(-matrix.inputs // (inputs or matrix.inputs))
    parts = [Part("quants", matrix.outputs * matrix.inputs), Part("scales", scales * scheme.scale_bytes)]
    return [*parts, Part("input_scale", scheme.input_scales * FLOAT)] if scheme.input_scales else parts
