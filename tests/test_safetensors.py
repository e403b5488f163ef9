"""Headers of safetensors: what they hold, beside a config and alone, and hostile ones."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

import paramcalc
from paramcalc.gate.weights.safetensors import read_safetensors
from paramcalc.words.errors import InputError, ParamcalcError

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 11, "hidden_size": 6, "num_hidden_layers": 2,
    "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 4, "intermediate_size": 10, "tie_word_embeddings": False,
}  # fmt: skip


def write(path: Path, shapes: dict[str, tuple[list[int], str]]) -> Path:
    """A file with a true header and no more than holes for data."""
    sizes = {"F32": 4, "BF16": 2, "I32": 4, "BOOL": 1, "F16": 2}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (shape, dtype) in shapes.items():
        size = sizes[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    return path


def llama_shapes() -> dict[str, tuple[list[int], str]]:
    rows = paramcalc.count(LLAMA).rows
    return {row.name.replace("{}", str(index)): ([*map(int, row.shape)], "BF16") for row in rows for index in range(int(row.repeat))}


def test_a_file_beside_its_config_counts_as_the_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    path = write(tmp_path / "model.safetensors", llama_shapes())
    for model in (path, tmp_path):
        loaded = paramcalc.load(model)
        assert paramcalc.count(loaded).total == paramcalc.count(LLAMA).total
        assert not [warning for warning in loaded.origin.warnings if "in the" in warning]


def test_every_difference_between_file_and_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    shapes = llama_shapes()
    del shapes["model.norm.weight"]
    shapes["model.layers.0.self_attn.rotary_emb.inv_freq"] = ([2], "F32")
    shapes["model.extra.weight"] = ([3, 3], "BF16")
    told = "\n".join(paramcalc.load(write(tmp_path / "model.safetensors", shapes)).origin.warnings)
    assert "in the model, not in the file: model.norm.weight [6]" in told
    assert "in the file, no parameter: model.layers.{}.self_attn.rotary_emb.inv_freq [2] (2 elements), a rotary table" in told
    assert "in the file, not in the model: model.extra.weight [3, 3] (9 elements), not counted" in told


def test_a_file_that_leaves_out_the_prefix_of_the_base_model_is_no_difference(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    shapes = {name.removeprefix("model."): value for name, value in llama_shapes().items()}
    loaded = paramcalc.load(write(tmp_path / "model.safetensors", shapes))
    assert not [warning for warning in loaded.origin.warnings if "in the" in warning]


def test_a_file_alone_counts_its_tensors_and_leaves_out_what_is_none(tmp_path: Path) -> None:
    shapes = llama_shapes() | {"h.0.attn.masked_bias": ([1], "F32"), "mask": ([1, 1, 8, 8], "BOOL"), "h.0.attn.bias": ([1, 1, 8, 8], "F32")}
    loaded = paramcalc.load(write(tmp_path / "model.safetensors", shapes))
    counts = paramcalc.count(loaded)
    assert counts.total == paramcalc.count(LLAMA).total
    assert counts.embeddings == 11 * 6
    assert len(counts.rows) == len(paramcalc.count(LLAMA).rows)
    assert sum("not counted" in warning for warning in loaded.origin.warnings) == 3


def test_a_sharded_checkpoint_counts_as_one_file(tmp_path: Path) -> None:
    shapes = llama_shapes()
    names = sorted(shapes)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, held in halves.items():
        write(tmp_path / shard, {name: shapes[name] for name in held})
    index = {"metadata": {"total_size": 1}, "weight_map": {name: shard for shard, held in halves.items() for name in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert paramcalc.count(tmp_path).total == paramcalc.count(LLAMA).total
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(ParamcalcError, match="no such file"):
        paramcalc.load(tmp_path)


@pytest.mark.parametrize(
    ("weight_map", "says"),
    [
        ({}, "no weight_map"),
        ([], "no weight_map"),
        ({"a": 1}, "file names"),
        ({"a": "../a.safetensors"}, "beside it"),
        ({"a": "/etc/passwd"}, "beside it"),
    ],
)
def test_a_hostile_index_is_refused(weight_map: object, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(InputError, match=says):
        paramcalc.load(path)


def raw(header: object, data: int = 0, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(data)


def entry(dtype: object = "F32", shape: object = (2, 3), offsets: object = (0, 24)) -> dict[str, object]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


HOSTILE = {
    "empty": (b"", "too short"),
    "seven bytes": (b"1234567", "too short"),
    "a length of 2^63": (raw({}, 0, 2**63), "header has"),
    "a truncated header": (raw(entry(), 24)[:20], "header has"),
    "not text": (raw(b"\xff\xfe{}"), "not text"),
    "not JSON": (raw(b"{]"), "not JSON"),
    "a list": (raw(b"[]"), "no JSON object"),
    "deep": (raw(b'{"a":' * 10**5), "deep"),
    "NaN": (raw(b'{"a": NaN}'), "NaN"),
    "a key twice": (raw(b'{"a": 1, "a": 2}'), "stands twice"),
    "an entry that is none": (raw({"w": 3}), "lacks"),
    "an unknown dtype": (raw(entry("F7"), 24), "unknown dtype"),
    "a negative shape": (raw(entry(shape=[-2, -3]), 24), "a shape that is none"),
    "an absurd shape": (raw(entry(shape=[2**62, 2**62]), 24), "a shape that is none"),
    "a fractional shape": (raw(entry(shape=[2.0, 3]), 24), "a shape that is none"),
    "offsets outside": (raw(entry(offsets=[0, 24]), 23), "outside"),
    "negative offsets": (raw(entry(offsets=[-24, 0]), 24), "outside"),
    "offsets that are none": (raw(entry(offsets=[0]), 24), "offsets that are none"),
    "too few bytes": (raw(entry(offsets=[0, 20]), 24), "its shape and dtype make 24"),
    "overlapping": (raw({**entry(), "v": entry(offsets=[4, 28])["w"]}, 28), "overlap"),
}


@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_a_hostile_file_is_refused(case: str, tmp_path: Path) -> None:
    content, says = HOSTILE[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_safetensors(path, "model.safetensors")


def test_a_sparse_gigabyte_is_refused_in_little_memory(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write((2**29).to_bytes(8, "little"))
        file.truncate(2**30)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = run("count", path, timeout=20)
    assert done.returncode == 3
    assert "has a header of" in done.stderr
    assert max(before, 200 * 1024) >= resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(len(content).to_bytes(8, "little") + content if content[:1] == b"{" else content)
        file.flush()
        try:
            read_safetensors(Path(file.name), "file")
        except ParamcalcError as error:
            assert str(error).startswith("file")
