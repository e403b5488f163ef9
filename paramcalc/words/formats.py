"""Number formats: how many elements share a block, and what a block weighs, part by part.

A format is (elements per block, bytes per block), so that a 4.5-bit format stays an exact integer. Formats that need
more than that (a scale per output row, zero points, an index) are schemes: see `paramcalc.costs.quantization`.
"""

from __future__ import annotations

from typing import NamedTuple

from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean


class Format(NamedTuple):
    """One way of writing numbers into memory."""

    name: str
    elements: int
    """Elements that share one block."""
    parts: tuple[tuple[str, int], ...]
    """(what, bytes) of one block."""
    source: str
    aliases: tuple[str, ...] = ()

    @property
    def block_bytes(self) -> int:
        return sum(size for _, size in self.parts)

    @property
    def bits(self) -> float:
        """Bits per element, scales included. For display only: bytes are never made from it."""
        return self.block_bytes * 8 / self.elements

    def bytes_for(self, elements: int) -> int:
        """Bytes of so many elements in a row; a block that is begun is stored whole."""
        return -(-elements // self.elements) * self.block_bytes

    def parts_for(self, elements: int) -> tuple[tuple[str, int], ...]:
        """The same bytes, part by part."""
        blocks = -(-elements // self.elements)
        return tuple((what, size * blocks) for what, size in self.parts)

    def fits(self, columns: int) -> bool:
        """Whether rows of so many elements are whole blocks."""
        return columns % self.elements == 0


def _plain(name: str, size: int, source: str, *aliases: str) -> Format:
    return Format(name, 1, (("values", size),), source, aliases)


IEEE, OFP8, TORCH = "IEEE 754-2019", "OCP 8-bit floating point specification 1.0", "torch.dtype"
MX = "OCP microscaling formats specification 1.0"

FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        _plain("bf16", 2, "bfloat16: the upper half of an IEEE 754 binary32", "bfloat16"),
        _plain("bool", 1, f"{TORCH}: one byte a value", "boolean"),
        _plain("complex64", 8, f"{TORCH}: two binary32", "c64"),
        _plain("fp16", 2, f"{IEEE}, binary16", "float16", "f16", "half"),
        _plain("fp32", 4, f"{IEEE}, binary32", "float32", "f32", "float"),
        _plain("fp64", 8, f"{IEEE}, binary64", "float64", "f64", "double"),
        _plain("fp8_e4m3", 1, OFP8, "fp8", "float8", "float8_e4m3fn", "f8_e4m3", "e4m3", "float8_e4m3fnuz", "f8_e4m3fnuz"),
        _plain("fp8_e5m2", 1, OFP8, "float8_e5m2", "f8_e5m2", "e5m2", "float8_e5m2fnuz", "f8_e5m2fnuz"),
        _plain("fp8_e8m0", 1, f"{MX}: a power of two, used as a scale", "float8_e8m0fnu", "f8_e8m0", "e8m0", "ue8m0"),
        _plain("int16", 2, TORCH, "i16"),
        _plain("int32", 4, TORCH, "i32"),
        _plain("int64", 8, TORCH, "i64"),
        _plain("int8", 1, TORCH, "i8"),
        _plain("uint16", 2, TORCH, "u16"),
        _plain("uint32", 4, TORCH, "u32"),
        _plain("uint64", 8, TORCH, "u64"),
        _plain("uint8", 1, TORCH, "u8", "byte"),
        Format("fp4_e2m1", 2, (("values", 1),), f"{MX}: two values a byte, no scale", ("fp4", "e2m1", "f4", "float4_e2m1fn_x2")),
        Format("int4", 2, (("values", 1),), "two's complement nibbles: two values a byte, no scale", ("uint4", "i4", "u4")),
    )
}
"""Formats without scales, by name. TF32 is missing on purpose: it is how fp32 is multiplied, and is stored as fp32."""

COMPUTE = ("fp32", "fp16", "bf16", "fp8")
"""What `--dtype` accepts."""

_NAMES = {alias: name for name, row in FORMATS.items() for alias in (name, *row.aliases)}


def format_named(text: str, *, place: str = "dtype") -> Format:
    """The plain format of that name, in any usual spelling (`bf16`, `torch.bfloat16`, `BF16`). Raises UsageError."""
    word = str(text).strip().lower().removeprefix("torch.").replace("-", "_")
    if word == "tf32":
        raise UsageError("tf32 is how fp32 is multiplied, nothing is stored in it", place=place, hint="write fp32")
    if word not in _NAMES:
        raise UsageError(
            f"unknown number format: {str(text)!r:.60}",
            place=place,
            hint=did_you_mean(word, _NAMES) or f"formats: {', '.join(sorted(FORMATS))}",
        )
    return FORMATS[_NAMES[word]]


def compute_format(text: str, *, place: str = "dtype") -> Format:
    """What a model is computed in: fp32, fp16, bf16 or fp8. Raises UsageError for anything else."""
    found = format_named(text, place=place)
    if found.name not in ("fp32", "fp16", "bf16", "fp8_e4m3"):
        raise UsageError(f"nothing is computed in {found.name}", place=place, hint=f"one of {', '.join(COMPUTE)}")
    return found


CACHE_PLAIN = ("fp32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "int8")
"""Plain formats a cache is kept in. Their scales, if any, are one number a layer or head and are not counted: vLLM's
fp8 cache has one fp32 scale a layer for keys and one for values (vllm/model_executor/layers/attention)."""

CACHE_GGML = ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")
"""Block formats that llama.cpp keeps a cache in (`--cache-type-k`, common/arg.cpp)."""


def cache_format(text: str, *, place: str = "kv_dtype") -> Format:
    """The format of a key-value cache: a plain one, or one of llama.cpp's blocks. Raises UsageError.

    >>> cache_format("q8_0").bytes_for(128), cache_format("f16").bytes_for(128)
    (136, 256)
    """
    from paramcalc.words.ggml import TYPES

    word = str(text).strip().lower().removeprefix("torch.").replace("-", "_")
    blocks = {name.lower(): name for name in CACHE_GGML}
    if word in blocks:
        return TYPES[blocks[word]]
    if _NAMES.get(word) in CACHE_PLAIN:
        return FORMATS[_NAMES[word]]
    known = [*CACHE_PLAIN, *blocks]
    raise UsageError(f"no cache is kept in {str(text)!r:.60}", place=place, hint=did_you_mean(word, known) or f"one of {', '.join(known)}")
