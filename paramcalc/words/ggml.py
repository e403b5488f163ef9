"""The block types of GGML, each as the struct that llama.cpp stores: scales, minima, high bits and quants of one block.

Source: ggml/src/ggml-common.h of ggml-org/llama.cpp, whose static assertions state the same sums; equal to
GGML_QUANT_SIZES of the gguf package 0.19 but for Q8_1, which that package gives 40 bytes and ggml 36.
"""

from __future__ import annotations

from paramcalc.words.formats import Format

STRUCTS = "ggml/src/ggml-common.h of ggml-org/llama.cpp"


def _type(name: str, elements: int, /, **parts: int) -> Format:
    return Format(name, elements, tuple(parts.items()), f"block_{name.lower()} in {STRUCTS}")


def _number(name: str, size: int) -> Format:
    return Format(name, 1, (("values", size),), f"GGML_TYPE_{name} in ggml/include/ggml.h")


TYPES: dict[str, Format] = {
    row.name: row
    for row in (
        _number("BF16", 2),
        _number("F16", 2),
        _number("F32", 4),
        _number("F64", 8),
        _number("I16", 2),
        _number("I32", 4),
        _number("I64", 8),
        _number("I8", 1),
        # One scale per block of 32 or more; _1 adds a minimum, 5 bits keep the fifth bit apart.
        _type("IQ4_NL", 32, scale=2, quants=16),
        _type("MXFP4", 32, scale=1, quants=16),
        _type("NVFP4", 64, scales=4, quants=32),
        _type("Q1_0", 128, scale=2, quants=16),
        _type("Q2_0", 64, scale=2, quants=16),
        _type("Q4_0", 32, scale=2, quants=16),
        _type("Q4_1", 32, scale=2, minimum=2, quants=16),
        _type("Q5_0", 32, scale=2, high_bits=4, quants=16),
        _type("Q5_1", 32, scale=2, minimum=2, high_bits=4, quants=16),
        _type("Q8_0", 32, scale=2, quants=32),
        # Q8_1 and Q8_K are what activations are quantized to on the way; no weight is stored in them.
        _type("Q8_1", 32, scale=2, sum=2, quants=32),
        # Blocks of 256: small scales inside, and one or two fp16 for the whole block.
        _type("Q2_K", 256, scale=2, minimum=2, scales=16, quants=64),
        _type("Q3_K", 256, scale=2, scales=12, high_bits=32, quants=64),
        _type("Q4_K", 256, scale=2, minimum=2, scales=12, quants=128),
        _type("Q5_K", 256, scale=2, minimum=2, scales=12, high_bits=32, quants=128),
        _type("Q6_K", 256, scale=2, scales=16, high_bits=64, quants=128),
        _type("Q8_K", 256, scale=4, sums=32, quants=256),
        # Codebook formats; ternary ones pack five (TQ1_0) or four (TQ2_0) values a byte.
        _type("IQ1_M", 256, scales=8, high_bits=16, quants=32),
        _type("IQ1_S", 256, scale=2, high_bits=16, quants=32),
        _type("IQ2_S", 256, scale=2, scales=8, high_bits=8, quants=64),
        _type("IQ2_XS", 256, scale=2, scales=8, quants=64),
        _type("IQ2_XXS", 256, scale=2, quants=64),
        _type("IQ3_S", 256, scale=2, scales=4, high_bits=8, signs=32, quants=64),
        _type("IQ3_XXS", 256, scale=2, quants=96),
        _type("IQ4_XS", 256, scale=2, scales=2 + 4, quants=128),
        _type("TQ1_0", 256, scale=2, quants=48 + 4),
        _type("TQ2_0", 256, scale=2, quants=64),
    )
}
"""Every type by its name."""

QUANTIZED = frozenset(name for name, row in TYPES.items() if row.elements > 1)

NUMBERS: dict[int, str] = {
    **dict(enumerate(("F32", "F16", "Q4_0", "Q4_1"))),
    **dict(enumerate(("Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_K"), start=6)),
    **dict(enumerate(("IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS"), start=16)),
    **dict(enumerate(("I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16"), start=24)),
    **dict(zip((34, 35, 39, 40, 41), ("TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0"), strict=True)),
}
"""The number by which a GGUF file names each type (enum ggml_type in ggml/include/ggml.h)."""
