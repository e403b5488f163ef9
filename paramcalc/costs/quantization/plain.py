"""Plain integers: int8 or int4 with one scale an output row, symmetric, weights only.

A matrix [outputs, inputs] is stored as outputs × ceil(inputs · bits / 8) bytes (a row begins at a byte) and one bf16
scale a row; no zero points. With `--quant-all` a vector is one row. Source: the weight-only int8 linear of gpt-fast
(pytorch-labs/gpt-fast, quantize.py, commit 0055c42: int8 weight, one bf16 scale per output); int4 is the same with two
values a byte, which no widespread checkpoint uses: those group their scales (see gptq, awq).
"""

from __future__ import annotations

from paramcalc.costs.quantization.scheme import Matrix, Part, Scheme

SOURCE = "one bf16 scale an output row, symmetric: gpt-fast, quantize.py (int8 weight-only)"


def stored(matrix: Matrix, scheme: Scheme) -> list[Part]:
    """What is stored for one matrix."""
    row = -(-matrix.inputs * scheme.bits // 8)
    return [Part("quants", matrix.outputs * row), Part("scales", matrix.outputs * scheme.scale_bytes)]
