"""GGUF headers: what they hold, against the gguf package's own bytes, and hostile ones."""

from __future__ import annotations

import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

import paramcalc
from paramcalc.gate.weights.gguf import read_gguf
from paramcalc.words.errors import InputError, ParamcalcError
from paramcalc.words.ggml import NUMBERS, TYPES

TYPE_NUMBERS = {name: number for number, name in NUMBERS.items()}
TINY = {
    "block_count": 2,
    "embedding_length": 256,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "feed_forward_length": 512,
    "context_length": 128,
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def content(
    metadata: dict[str, Any], tensors: list[tuple[str, list[int], str]], *, tensor_count: int | None = None, entry_count: int | None = None
) -> bytes:
    """A file as docs/gguf.md lays it out, its data all zeros."""
    head = b"GGUF" + struct.pack(
        "<IQQ", 3, len(tensors) if tensor_count is None else tensor_count, len(metadata) if entry_count is None else entry_count
    )
    for key, value in metadata.items():
        head += text(key) + (struct.pack("<I", 8) + text(value) if isinstance(value, str) else struct.pack("<II", 4, value))
    at = 0
    for name, shape, kind in tensors:
        elements = 1
        for size in shape:
            elements *= size
        head += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", size) for size in reversed(shape))
        head += struct.pack("<IQ", TYPE_NUMBERS[kind], at)
        at += -(-TYPES[kind].bytes_for(elements) // 32) * 32
    return head + bytes(-len(head) % 32) + bytes(at)


def llama_tensors(tied: bool = True) -> list[tuple[str, list[int], str]]:
    tensors = [("token_embd.weight", [64, 256], "Q6_K"), ("output_norm.weight", [256], "F32")]
    tensors += [] if tied else [("output.weight", [64, 256], "Q6_K")]
    for layer in range(2):
        shapes: dict[str, tuple[list[int], str]] = {
            "attn_q": ([256, 256], "Q4_K"), "attn_k": ([128, 256], "Q4_K"), "attn_v": ([128, 256], "Q6_K"),
            "attn_output": ([256, 256], "Q4_K"),
            "ffn_gate": ([512, 256], "Q4_K"), "ffn_up": ([512, 256], "Q4_K"), "ffn_down": ([256, 512], "Q6_K"),
            "attn_norm": ([256], "F32"), "ffn_norm": ([256], "F32"),
        }  # fmt: skip
        tensors += [(f"blk.{layer}.{name}.weight", shape, kind) for name, (shape, kind) in shapes.items()]
    return tensors


def llama_metadata() -> dict[str, Any]:
    return {"general.architecture": "llama", "general.name": "Tiny"} | {f"llama.{key}": value for key, value in TINY.items()}


def test_bytes_are_those_the_gguf_package_gives(tmp_path: Path) -> None:
    """The same tensors written with gguf 0.19.0's GGUFWriter sum to 766,592 bytes by its GGUFReader."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(content(llama_metadata(), llama_tensors()))
    read = read_gguf(path, "tiny.gguf")
    assert sum(tensor.bytes for tensor in read.tensors) == 766_592
    assert read.metadata["llama.block_count"] == 2


@pytest.mark.parametrize("tied", [True, False])
def test_metadata_of_a_known_architecture_makes_its_family(tied: bool, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(content(llama_metadata(), llama_tensors(tied)))
    model = paramcalc.load(path)
    counts = paramcalc.count(model)
    layer = 2 * 256 * 256 + 2 * 128 * 256 + 3 * 256 * 512 + 2 * 256
    assert counts.total == 64 * 256 * (1 if tied else 2) + 2 * layer + 256
    assert (model.name, model.model_type) == ("Tiny", "llama")
    flat = [(kind, shape[0] * (shape[1] if len(shape) > 1 else 1)) for _, shape, kind in llama_tensors(tied)]
    assert sum(model.origin.stored.values()) == sum(TYPES[kind].bytes_for(elements) for kind, elements in flat)


def test_an_architecture_that_no_family_knows_counts_its_tensors_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content({"general.architecture": "shiny"}, llama_tensors()))
    model = paramcalc.load(path)
    assert paramcalc.count(model).total == 1_197_312
    assert any("no family is known" in warning for warning in model.origin.warnings)


def test_metadata_that_does_not_fit_the_tensors_is_told(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content(llama_metadata() | {"llama.block_count": 3}, llama_tensors()))
    model = paramcalc.load(path)
    assert paramcalc.count(model).total == 1_197_312
    assert any("elements are not the" in warning for warning in model.origin.warnings)


def test_a_split_model_counts_as_one_whichever_part_is_named(tmp_path: Path) -> None:
    tensors = llama_tensors()
    for number, part in enumerate((tensors[:5], tensors[5:]), start=1):
        metadata = llama_metadata() if number == 1 else {"split.no": 1}
        (tmp_path / f"m-{number:05d}-of-00002.gguf").write_bytes(content(metadata, part))
    for number in (1, 2):
        assert paramcalc.count(tmp_path / f"m-{number:05d}-of-00002.gguf").total == 1_197_312
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(ParamcalcError, match="no such file"):
        paramcalc.load(tmp_path / "m-00001-of-00002.gguf")


GOOD = content(llama_metadata(), llama_tensors())
HOSTILE = {
    "empty": (b"", "too short"),
    "wrong magic": (b"GGML" + GOOD[4:], "does not begin with GGUF"),
    "old version": (b"GGUF" + struct.pack("<I", 1) + GOOD[8:], "version 1"),
    "big-endian": (b"GGUF" + struct.pack(">I", 3) + GOOD[8:], "version"),
    "absurd tensor count": (content({}, [], tensor_count=2**63), "tensors and"),
    "absurd entry count": (content({}, [], entry_count=2**40), "tensors and"),
    "truncated header": (GOOD[:200], "ends inside its header"),
    "truncated data": (GOOD[:-64], "truncated download"),
    "a text of 2^63 bytes": (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63) + bytes(64), "ends inside its header"),
    "a list of 2^60 numbers": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 4, 2**60) + bytes(64),
        "ends inside its header",
    ),
    "a list of 2^60 texts": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 2**60) + bytes(64),
        "has 1,152",
    ),
    "a list of lists": (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 9, 4) + bytes(64), "unknown type"),
    "an unknown metadata type": (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<I", 77) + bytes(64), "unknown type"),
    "an absurd shape": (
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("a") + struct.pack("<IQQIQ", 2, 2**62, 2**62, 0, 0) + bytes(64),
        "a shape that is none",
    ),
    "ten dimensions": (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("a") + struct.pack("<I", 10) + bytes(128), "10 dimensions"),
    "an unknown tensor type": (
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("a") + struct.pack("<IQIQ", 1, 4, 99, 0) + bytes(64),
        "unknown type 99",
    ),
    "rows that are no blocks": (
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("a") + struct.pack("<IQIQ", 1, 100, 12, 0) + bytes(64),
        "no whole blocks",
    ),
    "no architecture": (content({"a": 1}, llama_tensors()), "general.architecture"),
    "a key twice": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * (text("a") + struct.pack("<II", 4, 1)) + bytes(64), "stands twice"),
    "a tensor twice": (content(llama_metadata(), [("a", [32], "F32"), ("a", [32], "F32")]), "the same name"),
}


@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_a_hostile_file_is_refused(case: str, tmp_path: Path) -> None:
    raw, says = HOSTILE[case]
    path = tmp_path / "model.gguf"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=says):
        paramcalc.load(path)


def test_a_sparse_gigabyte_is_refused_soon(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 10**8))
        file.truncate(2**30)
    assert run("count", path, timeout=20).returncode == 3


@given(st.binary(max_size=200), st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8))
def test_any_bytes_are_read_or_refused(tail: bytes, place: int, change: bytes) -> None:
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    for raw in (head + tail, GOOD[: min(place, 1500)] + change + GOOD[min(place, 1500) + len(change) :]):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            file.write(raw)
            file.flush()
            try:
                paramcalc.count(file.name)
            except ParamcalcError as error:
                assert str(error)


def test_json_of_a_gguf_names_its_source(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(GOOD)
    assert json.loads(run("count", "tiny.gguf", "-f", "json").stdout)["model"] == {
        "name": "Tiny",
        "source": "tiny.gguf",
        "model_type": "llama",
    }
