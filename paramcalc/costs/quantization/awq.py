"""AWQ (Lin et al. 2023) as AutoAWQ's GEMM version stores it.

For a matrix [outputs, inputs] in 4 bits and groups of g inputs: `qweight` int32 [inputs, outputs / 8], `qzeros` int32
[inputs / g, outputs / 8], `scales` fp16 [inputs / g, outputs]. Without zero points (`zero_point: false`) `qzeros` is
stored all the same. Outputs are packed eight to a word and padded to one where they are not a multiple of 8.
Source: awq/modules/linear/gemm.py (`WQLinear_GEMM`), casper-hansen/AutoAWQ commit 88e4c76.
"""

from __future__ import annotations

from paramcalc.costs.quantization.scheme import Matrix, Part, Scheme

SOURCE = "qweight, qzeros and scales of awq/modules/linear/gemm.py, AutoAWQ commit 88e4c76"

WORD = 4


def stored(matrix: Matrix, scheme: Scheme) -> list[Part]:
    """What is stored for one matrix."""
    groups = -(-matrix.inputs // (scheme.group or matrix.inputs))
    packed = -(-matrix.outputs * scheme.bits // 32)
    return [
        Part("qweight", matrix.inputs * packed * WORD),
        Part("qzeros", groups * packed * WORD),
        Part("scales", groups * matrix.outputs * scheme.scale_bytes),
    ]
