"""bitsandbytes: LLM.int8() rows, and NF4 or FP4 in blocks of 64 with or without double quantization.

- LLM.int8 (Dettmers et al. 2022): int8 [outputs, inputs] and one fp32 row statistic (`SCB`) [outputs].
- NF4, FP4 (Dettmers et al. 2023, QLoRA, §3): two values a byte over the flattened matrix, one fp32 `absmax` per block of
  64, and the 16 fp32 values of the code. A block may span rows.
- Double quantization: `absmax` becomes one byte each, with one fp32 `nested_absmax` per 256 of them, an fp32 offset and
  the 256 fp32 values of the second code.

Every matrix holds its own code tables: `quantize_4bit` makes them anew each time. Not counted: what a checkpoint adds in
JSON (`quant_state.bitsandbytes__nf4`, some hundred bytes). Source: bitsandbytes/functional.py (`quantize_4bit`,
`quantize_blockwise`, `QuantState`) and nn/modules.py (`Int8Params`), bitsandbytes-foundation/bitsandbytes commit 95f9af3.
"""

from __future__ import annotations

from paramcalc.costs.quantization.scheme import Matrix, Part, Scheme

SOURCE = "bitsandbytes/functional.py (quantize_4bit, quantize_blockwise, QuantState), commit 95f9af3"

SCALES_PER_BLOCK = 256
"""Scales that share a second scale (QLoRA §3, blocksize=256 in `quantize_4bit`)."""
FLOAT = 4


def stored(matrix: Matrix, scheme: Scheme) -> list[Part]:
    """What is stored for one matrix."""
    elements = matrix.outputs * matrix.inputs
    if scheme.bits == 8:
        return [Part("quants", elements), Part("scales", matrix.outputs * FLOAT)]
    blocks = -(-elements // scheme.group)
    quants, code = Part("quants", -(-elements // 2)), Part("code", 16 * FLOAT)
    if not scheme.double:
        return [quants, Part("scales", blocks * FLOAT), code]
    return [
        quants,
        Part("scales", blocks),
        Part("scales_of_scales", -(-blocks // SCALES_PER_BLOCK) * FLOAT + FLOAT),
        Part("code", code.bytes + 256 * FLOAT),
    ]
