"""Bytes of a GGUF file's tensors under a mix: each tensor's type by llama.cpp's rule, blocks and alignment counted.

Not counted: the header and its metadata (a few MB, most of it the vocabulary), and tables that the converter computes
(`rope_freqs`, some hundred bytes).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from paramcalc.costs.quantization.gguf_rule import NEEDS_IMATRIX, SOURCE, About, Slot, type_of
from paramcalc.costs.quantization.gguf_tensors import FULL, HALF, MAX_LAYERS, GgufTensor, about, gguf_tensors
from paramcalc.costs.quantization.held import Held
from paramcalc.costs.quantization.scheme import Part, Scheme
from paramcalc.costs.quantization.tensors import Tensor
from paramcalc.words.errors import UsageError
from paramcalc.words.ggml import TYPES

__all__ = ["SOURCE", "mixed", "types"]

ALIGNMENT = 32
"""GGUF_DEFAULT_ALIGNMENT: every tensor begins at a multiple, in the file and in memory."""


def mixed(tensors: Sequence[Tensor], scheme: Scheme, dtype: str, model_type: str = "") -> list[Held]:
    """Every tensor with its type; copies of one tensor that get different types are apart.

    `dtype` is what the file was made from: tensors that no mix touches stay in its 16 bits.
    Raises UsageError where a model has more layers than llama.cpp reads.
    """
    made = gguf_tensors(tensors, model_type)
    needs = scheme.name in NEEDS_IMATRIX if scheme.imatrix is None else scheme.imatrix
    model = about(made, model_type, imatrix=needs)
    if model.layers > MAX_LAYERS or any(item.tensor.row.repeat > MAX_LAYERS and not item.tensor.layers for item in made):
        raise UsageError(f"llama.cpp reads at most {MAX_LAYERS} layers", place="quant", hint="choose a format that is not GGUF's")
    held = []
    for item, chosen in zip(made, types(made, scheme.name, model, dtype), strict=True):
        held += [_held(item, name, copies) for name, copies in Counter(name for _, name in chosen).items()]
    return held


def types(made: Sequence[GgufTensor], mix: str, model: About, dtype: str) -> Iterator[list[tuple[int, str]]]:
    """For each tensor, the layer and the type of every copy."""
    source = mix if mix in ("F16", "BF16", "F32") else "F16" if dtype == "fp16" else "BF16"
    for item, places in zip(made, _places(made), strict=True):
        if item.use in (FULL, HALF):
            fixed = "F32" if item.use == FULL else source
            yield [(layer, fixed) for _, layer in places]
        else:
            yield [(layer, type_of(mix, Slot(item.use, item.columns, item.stacked, place, layer), model)) for place, layer in places]


def _places(made: Sequence[GgufTensor]) -> list[list[tuple[int, int]]]:
    """(place among its use, layer) of every copy: the quantizer walks the file by layer, then by name."""
    order: dict[str, list[tuple[int, str, int]]] = {}
    for number, item in enumerate(made):
        copies = item.tensor.row.repeat
        layers = item.tensor.layers or (0,) * copies
        spread = [layers[copy * len(layers) // copies] for copy in range(copies)]
        order.setdefault(item.use, []).extend((layer, item.order, number) for layer in spread)
    places: list[list[tuple[int, int]]] = [[] for _ in made]
    for copies_of_use in order.values():
        for index, (layer, _, number) in enumerate(sorted(copies_of_use)):
            places[number].append((index, layer))
    return places


def _held(item: GgufTensor, name: str, copies: int) -> Held:
    form = TYPES[name]
    blocks = item.rows * -(-item.columns // form.elements)
    parts = [Part(what, size * blocks * copies) for what, size in form.parts]
    padding = -(blocks * form.block_bytes) % ALIGNMENT
    if padding:
        parts.append(Part("padding", padding * copies))
    return Held(item.tensor.row, name, copies, tuple(parts))
