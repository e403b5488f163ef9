"""Number formats: blocks, their parts, and the names they go by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramcalc.words.errors import UsageError
from paramcalc.words.formats import CACHE_GGML, FORMATS, Format, cache_format, compute_format, format_named
from paramcalc.words.ggml import NUMBERS, TYPES

GOLDEN = Path(__file__).parent / "golden"
RECORDED = json.loads((GOLDEN / "ggml_sizes.json").read_text())["types"]


BYTES = {1: "bool fp8_e4m3 fp8_e5m2 fp8_e8m0 int8 uint8", 2: "bf16 fp16 int16 uint16", 4: "fp32 int32 uint32"}
BYTES |= {8: "complex64 fp64 int64 uint64"}


@pytest.mark.parametrize(("name", "size"), [(name, size) for size, names in BYTES.items() for name in names.split()])
def test_a_plain_format_takes_its_bytes_per_value(name: str, size: int) -> None:
    assert FORMATS[name].bytes_for(7) == 7 * size


def test_every_plain_format_is_listed_above() -> None:
    assert {name for names in BYTES.values() for name in names.split()} | {"int4", "fp4_e2m1"} == set(FORMATS)


def test_int4_packs_two_values_a_byte_and_begins_a_byte_for_the_odd_one() -> None:
    assert [format_named("int4").bytes_for(count) for count in (0, 1, 2, 3)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("torch.bfloat16", "bf16"), ("BF16", "bf16"), ("float", "fp32"), ("F8_E4M3", "fp8_e4m3"), ("half", "fp16"), ("U8", "uint8")],
)
def test_formats_are_known_by_the_spellings_of_torch_and_safetensors(spelling: str, name: str) -> None:
    assert format_named(spelling).name == name


def test_an_unknown_format_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"unknown number format: 'bfloat61'") as refused:
        format_named("bfloat61")
    assert "bfloat16" in str(refused.value)


def test_tf32_is_refused_because_nothing_is_stored_in_it() -> None:
    with pytest.raises(UsageError, match="write fp32"):
        format_named("tf32")


@pytest.mark.parametrize("text", ["int8", "int4", "fp64", "bool"])
def test_nothing_is_computed_in_integers_or_doubles(text: str) -> None:
    with pytest.raises(UsageError, match="nothing is computed in"):
        compute_format(text)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_ggml_block_weighs_what_the_gguf_package_says(name: str) -> None:
    """All but Q8_1, where that package counts two floats and ggml-common.h two halves beside 32 quants."""
    number, elements, size = RECORDED[name]
    assert NUMBERS[number] == name
    assert TYPES[name].elements == elements
    assert TYPES[name].block_bytes == (size if name != "Q8_1" else 2 + 2 + 32)


@pytest.mark.parametrize(("name", "bits"), [("Q4_0", 4.5), ("Q8_0", 8.5), ("Q6_K", 6.5625), ("MXFP4", 4.25), ("IQ1_S", 1.5625)])
def test_bits_per_weight_are_the_published_ones(name: str, bits: float) -> None:
    assert TYPES[name].bits == bits


@pytest.mark.parametrize("row", [*FORMATS.values(), *TYPES.values()], ids=lambda row: row.name)
def test_every_format_has_a_source_and_parts_that_sum_to_its_block(row: Format) -> None:
    assert row.source
    assert row.block_bytes == sum(size for _, size in row.parts) > 0
    assert sum(size for _, size in row.parts_for(5 * row.elements)) == 5 * row.block_bytes


@given(st.sampled_from([*FORMATS.values(), *TYPES.values()]), st.integers(0, 10**9), st.integers(1, 10**6))
def test_bytes_never_fall_when_there_are_more_elements(row: Format, elements: int, more: int) -> None:
    assert row.bytes_for(elements) <= row.bytes_for(elements + more)
    assert row.bytes_for(elements) * row.elements >= elements * row.block_bytes


@pytest.mark.parametrize(
    ("text", "size"), [("f16", 256), ("bf16", 256), ("fp8", 128), ("int8", 128), ("q8_0", 136), ("q5_1", 96), ("q4_0", 72), ("iq4_nl", 72)]
)
def test_a_cache_row_of_128_values_takes_whole_blocks(text: str, size: int) -> None:
    assert cache_format(text).bytes_for(128) == size


def test_a_cache_is_kept_in_the_types_that_llama_cpp_offers_and_in_no_other_block() -> None:
    assert {cache_format(name).name for name in CACHE_GGML} == set(CACHE_GGML)
    with pytest.raises(UsageError, match=r"(?s)no cache is kept in 'Q4_K'.*q4_0"):
        cache_format("Q4_K")
