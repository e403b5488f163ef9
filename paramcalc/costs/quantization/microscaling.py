"""Four-bit floats in small blocks: MXFP4 and NVFP4.

- MXFP4 (OCP microscaling formats 1.0): blocks of 32 inputs, 16 bytes of e2m1 values and one e8m0 scale. gpt-oss stores its
  experts so (`*_blocks` [experts, outputs, inputs / 32, 16], `*_scales` [experts, outputs, inputs / 32]) and nothing else.
- NVFP4 (NVIDIA 2025): blocks of 16 inputs, 8 bytes of e2m1 values and one e4m3 scale, one fp32 scale a matrix
  (`weight_scale_2`, `weight_global_scale`) and, where activations are quantized too, one more for its inputs.

A row's last block is stored whole. Not modelled: the padding that some kernels add when they load.
Source: transformers/integrations/mxfp4.py and nvfp4.py, transformers 5.23; the checkpoint of openai/gpt-oss-20b.
"""

from __future__ import annotations

from paramcalc.costs.quantization.scheme import Matrix, Part, Scheme

SOURCE = "MXFP4: OCP microscaling formats 1.0; NVFP4: blocks of 16 with an e4m3 scale, one fp32 scale a matrix"

FLOAT = 4
MXFP4_GROUP = 32


def stored(matrix: Matrix, scheme: Scheme) -> list[Part]:
    """What is stored for one matrix."""
    blocks = matrix.outputs * -(-matrix.inputs // scheme.group)
    parts = [Part("quants", blocks * scheme.group // 2), Part("scales", blocks * scheme.scale_bytes)]
    if scheme.group == MXFP4_GROUP:
        return parts
    scalars = [Part("tensor_scale", FLOAT)]
    if scheme.input_scales:
        scalars.append(Part("input_scale", scheme.input_scales * FLOAT))
    return parts + scalars
