"""What a change of a model means in bytes of weights, in the four formats of every table."""

from __future__ import annotations

from paramcalc.costs.quantization.held import total_bytes
from paramcalc.costs.quantization.scheme import NONE, Scheme, scheme_named
from paramcalc.costs.quantization.weights import weights_of
from paramcalc.holdings.differences import Change
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError

FORMATS: dict[str, tuple[str, str]] = {
    "fp32": ("none", "fp32"),
    "bf16": ("none", "bf16"),
    "int8": ("int8", "bf16"),
    "int4": ("int4", "bf16"),
}
"""Format to (scheme, format of what the scheme leaves alone). int8 and int4 are weight-only, their scales included."""


def byte_changes(before: Architecture, after: Architecture) -> list[Change]:
    """Bytes of all weights on both sides, format by format; None where a format does not apply to a model."""
    return [Change(name, _bytes(before, *form), _bytes(after, *form)) for name, form in FORMATS.items()]


def _bytes(architecture: Architecture, scheme: str, dtype: str) -> int | None:
    found: Scheme = NONE if scheme == "none" else scheme_named(scheme)
    try:
        return total_bytes(weights_of(architecture, found, dtype))
    except UsageError:
        return None
