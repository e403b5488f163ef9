"""What a scheme of quantization is, and the schemes by the names of `--quant`."""

from __future__ import annotations

from typing import NamedTuple

from paramcalc.costs.quantization.left_out import LeftOut
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean


class Part(NamedTuple):
    """Bytes of one thing that is stored for a tensor: `quants`, `scales`, `zero_points`, ..."""

    name: str
    bytes: int


class Matrix(NamedTuple):
    """One weight matrix y = W x, whatever way round it is stored."""

    outputs: int
    inputs: int


class Scheme(NamedTuple):
    """How weights are stored. The method's module says what each field means to it, and what it stores."""

    name: str
    """As `--quant` and the answer spell it: `nf4-dq`, `gptq-int4-g128`, `Q4_K_M`."""
    method: str
    """The module of this package that knows what is stored; `none` for weights in the format they are computed in."""
    bits: int = 0
    group: int = 0
    """Inputs that share a scale; 0 for all inputs of a row."""
    block: tuple[int, int] | None = None
    """Outputs and inputs that share a scale, for blocks of two dimensions; (0, 0) is the whole matrix, (1, 0) a row."""
    scale_bytes: int = 0
    zero_points: bool = False
    double: bool = False
    """Whether the scales are quantized once more."""
    group_index: bool = False
    """Whether every input names its group (GPTQ's `g_idx`)."""
    packed: bool = False
    """Whether values are packed into words of 32 bits (compressed-tensors)."""
    input_scales: int = 0
    """Scalars of four bytes kept beside a matrix for its activations."""
    head: bool = False
    """Whether the output head is quantized too."""
    everything: bool = False
    """`--quant-all`: every tensor, embeddings, norms and head included."""
    left_out: LeftOut = LeftOut()
    """Modules that a config names as not quantized."""
    keeps_input: bool = False
    """Whether its product holds on to its input on the way forward, though the matrix is frozen (bitsandbytes' MatMul8bitLt)."""
    imatrix: bool | None = None
    """Whether a GGUF file is made with an importance matrix; None for what its mix needs."""


NONE = Scheme("none", "none")

_PLAIN = {
    "int8": Scheme("int8", "plain", bits=8, scale_bytes=2),
    "int4": Scheme("int4", "plain", bits=4, scale_bytes=2),
    "llm-int8": Scheme("llm-int8", "bitsandbytes", bits=8, scale_bytes=4, keeps_input=True),
    "nf4": Scheme("nf4", "bitsandbytes", bits=4, group=64, scale_bytes=4),
    "nf4-dq": Scheme("nf4-dq", "bitsandbytes", bits=4, group=64, scale_bytes=4, double=True),
    "fp4": Scheme("fp4", "bitsandbytes", bits=4, group=64, scale_bytes=4),
    "fp4-dq": Scheme("fp4-dq", "bitsandbytes", bits=4, group=64, scale_bytes=4, double=True),
    "fp8": Scheme("fp8", "fp8", bits=8, block=(128, 128), scale_bytes=4),
    "fp8-block": Scheme("fp8-block", "fp8", bits=8, block=(128, 128), scale_bytes=4),
    "fp8-channel": Scheme("fp8-channel", "fp8", bits=8, block=(1, 0), scale_bytes=4),
    "fp8-tensor": Scheme("fp8-tensor", "fp8", bits=8, block=(0, 0), scale_bytes=4),
    "gptq": Scheme("gptq", "gptq", bits=4, group=128, scale_bytes=2, zero_points=True, group_index=True),
    "awq": Scheme("awq", "awq", bits=4, group=128, scale_bytes=2, zero_points=True),
    "mxfp4": Scheme("mxfp4", "microscaling", bits=4, group=32, scale_bytes=1),
    "nvfp4": Scheme("nvfp4", "microscaling", bits=4, group=16, scale_bytes=1, input_scales=1),
}
_ALIASES = {
    "bnb-int8": "llm-int8",
    "llm.int8": "llm-int8",
    "bnb-nf4": "nf4",
    "bnb-fp4": "fp4",
    "fp8-row": "fp8-channel",
    "fp8_e4m3": "fp8",
}
_UNQUANTIZED = ("none", "fp32", "fp16", "bf16", "float32", "float16", "bfloat16")

GPTQ_BITS, AWQ_BITS = (2, 3, 4, 8), (4,)
GROUP_SIZES = (-1, 8, 16, 32, 64, 128, 256, 512, 1024)


def scheme_names() -> list[str]:
    """Every name that `--quant` accepts."""
    from paramcalc.costs.quantization.gguf_rule import MIXES

    return [*_PLAIN, *MIXES]


def scheme_named(text: str, *, bits: int | None = None, group_size: int | None = None, everything: bool = False) -> Scheme:
    """The scheme of that name. `bits` and `group_size` (-1: one group a row) belong to gptq and awq.

    Raises UsageError where the name is unknown, or an option does not belong to it.

    >>> scheme_named("gptq", bits=8).name
    'gptq-int8-g128'
    """
    word = str(text).strip()
    lower = word.lower().replace("_", "-") if word.lower() not in _ALIASES else word.lower()
    found = _PLAIN.get(_ALIASES.get(lower, lower)) or _gguf(word)
    if found is None:
        hint = did_you_mean(word, [*scheme_names(), *_ALIASES]) or f"one of {', '.join(scheme_names())}"
        raise UsageError(f"unknown format of weights: {word!r:.60}", place="quant", hint=hint)
    if found.method in ("gptq", "awq"):
        return _grouped(found, bits, group_size)._replace(everything=everything)
    for option, value in (("bits", bits), ("group_size", group_size)):
        if value is not None:
            raise UsageError(f"{found.name} has no {option} to choose", place=option, hint=f"{option} belongs to gptq and awq")
    if everything and found.method in ("gguf", "none"):
        raise UsageError(f"{found.name} says itself what is quantized", place="quant_all", hint="leave --quant-all out")
    return found._replace(everything=everything)


def _grouped(scheme: Scheme, bits: int | None, group_size: int | None) -> Scheme:
    """GPTQ or AWQ with its bits and group size, named after them."""
    bits = scheme.bits if bits is None else bits
    group = scheme.group if group_size is None else group_size
    known = GPTQ_BITS if scheme.method == "gptq" else AWQ_BITS
    if bits not in known:
        raise UsageError(f"{scheme.method} in {bits} bits does not exist", place="bits", hint=f"one of {', '.join(map(str, known))}")
    if group not in GROUP_SIZES:
        raise UsageError(
            f"no {scheme.method} has groups of {group}", place="group_size", hint=f"one of {', '.join(map(str, GROUP_SIZES))} (-1: a row)"
        )
    name = f"{scheme.method}-int{bits}-{'row' if group < 0 else f'g{group}'}"
    return scheme._replace(name=name, bits=bits, group=max(group, 0))


def _gguf(word: str) -> Scheme | None:
    """A GGUF mix; bf16 in small letters is the format that a model is computed in, BF16 is GGUF's."""
    from paramcalc.costs.quantization.gguf_rule import MIX_ALIASES, MIXES

    if word.lower() in _UNQUANTIZED and word != "BF16":
        return NONE._replace(name=word.lower())
    name = MIX_ALIASES.get(word.upper(), word.upper())
    return Scheme(name, "gguf") if name in MIXES else None
