"""The activation functions that a block may name, spelled as the reference implementation spells them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from paramcalc.words.nearest import did_you_mean

ACTIVATIONS = frozenset(
    "gelu gelu_10 gelu_accurate gelu_fast gelu_new gelu_python gelu_python_tanh gelu_pytorch_tanh hardswish laplace leaky_relu "
    "linear mish prelu quick_gelu relu relu2 relu6 sigmoid silu sqrtsoftplus swish tanh xielu".split()
)
"""The keys of ACT2FN in transformers 5.23. `xielu` and `prelu` have parameters of their own."""


def _known(name: str) -> str:
    if name not in ACTIVATIONS:
        hint = did_you_mean(name, ACTIVATIONS) or f"known: {', '.join(sorted(ACTIVATIONS))}"
        raise ValueError(f"unknown activation; {hint}")
    return name


Activation = Annotated[str, AfterValidator(_known)]
