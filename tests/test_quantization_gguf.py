"""GGUF mixes: every tensor's type against llama.cpp's own snapshots, and sizes against published ones."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import paramcalc
from paramcalc.costs.quantization.gguf_mix import types
from paramcalc.costs.quantization.gguf_rule import DOWN, MIXES, OTHER, OUTPUT, TABLE, VALUE, About, Slot, more_bits, type_of
from paramcalc.costs.quantization.gguf_tensors import FULL, HALF, GgufTensor, about, gguf_tensors
from paramcalc.costs.quantization.held import by_format, by_part, total_bytes
from paramcalc.costs.quantization.scheme import scheme_named
from paramcalc.costs.quantization.tensors import tensors
from paramcalc.costs.quantization.weights import weights_of
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import UsageError

MODELS = json.loads((Path(__file__).parent / "golden" / "gguf_mixes.json").read_text())["models"]

LLAMA2_7B = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "tie_word_embeddings": False,
}
LLAMA31_8B = {**LLAMA2_7B, "vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8}

NAMES = {
    "a_proj": "ssm_alpha",
    "b_proj": "ssm_beta",
    "ba_proj": "ssm_ba",
    "down_proj": "ffn_down",
    "embedding": "token_embd",
    "gate_proj": "ffn_gate",
    "head": "output",
    "in_proj": "ssm_in",
    "k_proj": "attn_k",
    "kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "o_proj": "attn_output",
    "out_proj": "ssm_out",
    "q_a_proj": "attn_q_a",
    "q_b_proj": "attn_q_b",
    "q_proj": "attn_q",
    "up_proj": "ffn_up",
    "v_proj": "attn_v",
}
"""Our roles by llama.cpp's names."""


def names(item: GgufTensor) -> list[str]:
    """What llama.cpp calls the tensors that one of ours stands for."""
    row = item.tensor.row
    role = row.role.rpartition(".")[2]
    if role == "kv_b_proj":
        return ["attn_k_b" if item.columns == 128 else "attn_v_b"]
    if role == "qkvz_proj":
        return ["attn_qkv" if item.use == VALUE else "attn_gate"]
    suffix = "_exps" if row.experts else "_shexp" if row.component == "shared_experts" else ""
    return [f"{name}{suffix}" for name in (["ffn_gate", "ffn_up"] if role == "gate_up_proj" else [NAMES.get(role, role)])]


def layers_of(text: str) -> list[int]:
    runs = [list(map(int, run.split("-"))) for run in text.split(",") if run]
    return [layer for run in runs for layer in range(run[0], run[-1] + 1)]


def exceptions(made: Sequence[GgufTensor], mix: str, default: str, model_type: str) -> dict[tuple[str, str], list[int]]:
    """(tensor, type) -> layers, for every tensor whose type is not the mix's own."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for item, chosen in zip(made, types(made, mix, about(made, model_type), "bf16"), strict=True):
        if item.use in (FULL, HALF):
            continue
        for name in names(item):
            for layer, kind in chosen:
                if kind != default:
                    found[name, kind] += [layer] if item.tensor.layers else []
    return {key: sorted(at) for key, at in found.items()}


Model = tuple[list[GgufTensor], str, dict[str, list[Any]]]


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request: pytest.FixtureRequest) -> Model:
    """A model's tensors, its type, and the recorded mixes."""
    architecture = paramcalc.load(MODELS[request.param]["config"])
    kind = architecture.model_type or ""
    return gguf_tensors(tensors(architecture, numbered=True), kind), kind, MODELS[request.param]["mixes"]


def test_every_tensor_has_the_type_that_llama_cpp_gives_it(model: Model) -> None:
    """33 mixes of each model: default type, and for every exception its tensor, its type and its layers."""
    made, kind, mixes = model
    assert len(mixes) == 33
    for mix, (default, expected) in mixes.items():
        assert MIXES[mix] == default
        wanted = {(tensor, given): layers_of(at) for tensor, kinds in expected.items() for given, at in kinds.items()}
        assert exceptions(made, mix, default, kind) == wanted, mix


BITS = {
    "IQ1_S": 2.0042, "IQ1_M": 2.1460, "IQ2_XXS": 2.3824, "IQ2_XS": 2.5882, "IQ2_S": 2.7403, "IQ2_M": 2.9294, "IQ3_XXS": 3.2548,
    "IQ3_XS": 3.4977, "IQ3_S": 3.6606, "IQ3_M": 3.7628, "IQ4_XS": 4.4597, "IQ4_NL": 4.6818, "Q2_K_S": 2.9697, "Q2_K": 3.1593,
    "Q3_K_S": 3.6429, "Q3_K_M": 3.9960, "Q3_K_L": 4.2979, "Q4_K_S": 4.6672, "Q4_K_M": 4.8944, "Q5_K_S": 5.5704, "Q5_K_M": 5.7036,
    "Q6_K": 6.5633, "Q8_0": 8.5008, "F16": 16.0005,
}  # fmt: skip
"""Bits per weight of Llama 3.1 8B as its mixes were made: tools/quantize/README.md of ggml-org/llama.cpp, June 2026."""


@pytest.mark.parametrize("mix", BITS)
def test_llama_3_1_8b_has_the_published_bits_per_weight(mix: str) -> None:
    size = total_bytes(weights_of(paramcalc.load(LLAMA31_8B), scheme_named(mix)))
    assert round(size * 8 / 8_030_261_248, 4) == BITS[mix]


@pytest.mark.parametrize(("mix", "file"), [("Q4_K_M", 4_081_004_224), ("Q4_0", 3_825_807_040)])
def test_the_file_of_llama_2_7b_is_its_tensors_and_a_small_header(mix: str, file: int) -> None:
    """llama-2-7b.Q4_K_M.gguf and llama-2-7b.Q4_0.gguf as widely mirrored; the header holds the vocabulary."""
    header = file - total_bytes(weights_of(paramcalc.load(LLAMA2_7B), scheme_named(mix)))
    assert 0 < header < 2**20


SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MLA = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12, "num_key_value_heads": 4}
FAMILIES = {
    "deepseek_v3": {**MLA, "n_routed_experts": 4, "moe_intermediate_size": 16, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2},
    "dbrx": {
        "d_model": 32,
        "n_heads": 4,
        "n_layers": 2,
        "attn_config": {"kv_n_heads": 2},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4},
    },
    "falcon": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16},
    "gpt_oss": {"num_local_experts": 4, "intermediate_size": 24, "num_key_value_heads": 2, "head_dim": 8},
    "mamba": {},
    "phi3": {"intermediate_size": 40, "num_key_value_heads": 2},
    "qwen3_next": {
        "intermediate_size": 40,
        "moe_intermediate_size": 8,
        "shared_expert_intermediate_size": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
    },
    "rwkv": {"attention_hidden_size": 32, "intermediate_size": 48},
    "t5": {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 48, "num_layers": 2},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_in_fp32_holds_four_bytes_a_parameter_however_tensors_are_split(family: str) -> None:
    architecture = paramcalc.load({"model_type": family, **SMALL, **FAMILIES[family]})
    held = weights_of(architecture, scheme_named("F32"))
    assert {each.format for each in held} <= {"F32"}
    assert by_part(held)["values"] == 4 * paramcalc.count(architecture).total


def test_norms_and_routers_stay_in_fp32_and_experts_are_one_tensor() -> None:
    config = {
        **LLAMA2_7B,
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    }
    held = weights_of(paramcalc.load({**config, "num_key_value_heads": 8, "intermediate_size": 14336}), scheme_named("Q8_0"))
    assert by_format(held)["F32"] == 4 * (32 * 8 * 4096 + 65 * 4096)
    assert {each.format for each in held} == {"Q8_0", "F32"}


def test_eight_experts_raise_attention_to_eight_bits() -> None:
    model = About(layers=32, experts=8, gqa=4, values=32)
    assert [type_of("Q4_K_M", Slot(use, 4096), model) for use in (VALUE, "key", "attention_out")] == ["Q8_0", "Q8_0", "Q5_K"]


def test_eight_experts_raise_the_keys_of_the_smallest_mixes() -> None:
    eight, four = About(layers=32, experts=8), About(layers=32, experts=4)
    assert [type_of("IQ2_XS", Slot(use, 4096, place=9), eight) for use in ("key", "query")] == ["Q4_K", "IQ2_XS"]
    assert type_of("IQ2_XS", Slot("key", 4096, place=9), four) == "IQ2_XS"


def test_a_seventy_billion_llama_keeps_more_of_its_shared_values() -> None:
    small, large = (About(layers=80, gqa=8, values=80, seventy=seventy) for seventy in (False, True))
    assert [type_of("Q4_K_M", Slot(VALUE, 8192, place=11), about) for about in (small, large)] == ["Q4_K", "Q5_K"]


def test_an_importance_matrix_changes_what_it_makes_needless() -> None:
    plain, guided = (About(layers=32, gqa=4, imatrix=imatrix) for imatrix in (False, True))
    assert [type_of("IQ3_XXS", Slot(DOWN, 4096), about) for about in (plain, guided)] == ["Q4_K", "IQ3_XXS"]
    assert [type_of("Q4_0", Slot(DOWN, 4096), about) for about in (plain, guided)] == ["Q4_0", "Q4_1"]


def test_a_falcon_output_is_always_eight_bits() -> None:
    assert type_of("Q4_K_M", Slot(OUTPUT, 4096), About(layers=32, falcon=True)) == "Q8_0"


def test_a_table_that_serves_as_output_is_typed_as_one() -> None:
    tied, own = About(layers=8, tied=True), About(layers=8)
    assert [type_of("Q4_K_M", Slot(TABLE, 4096), about) for about in (tied, own)] == ["Q6_K", "Q4_K"]


@pytest.mark.parametrize(
    ("mix", "columns", "kind"),
    [
        ("Q4_K_M", 256, "Q4_K"),
        ("Q4_K_M", 288, "Q5_0"),
        ("Q4_K_M", 100, "F16"),
        ("Q2_K", 288, "Q4_0"),
        ("Q6_K", 288, "Q8_0"),
        ("Q8_0", 100, "F16"),
    ],
)
def test_rows_that_are_no_whole_blocks_fall_back(mix: str, columns: int, kind: str) -> None:
    assert type_of(mix, Slot(OTHER, columns), About(layers=8)) == kind


def test_half_of_the_layers_get_more_bits() -> None:
    """Of 32: the first and last four, and every third of the 24 between."""
    assert [layer for layer in range(32) if more_bits(layer, 32)] == [0, 1, 2, 3, *range(6, 28, 3), 28, 29, 30, 31]


def test_blocks_are_counted_part_by_part() -> None:
    """64 rows of one Q4_0 block each: 2 bytes of scale and 16 of quants, nothing to align."""
    config = {**LLAMA2_7B, "vocab_size": 64, "hidden_size": 32, "num_attention_heads": 1, "num_key_value_heads": 1, "num_hidden_layers": 1}
    held = [each for each in weights_of(paramcalc.load(config), scheme_named("Q4_0")) if each.row.role == "embedding"]
    assert by_part(held) == {"scale": 64 * 2, "quants": 64 * 16}


def test_a_tensor_is_padded_to_thirty_two_bytes() -> None:
    """A norm of 6 values takes 24 bytes of fp32 and 8 of padding."""
    config = {**LLAMA2_7B, "vocab_size": 9, "hidden_size": 6, "num_attention_heads": 1, "num_key_value_heads": 1, "intermediate_size": 6}
    norms = [each for each in weights_of(paramcalc.load(config), scheme_named("F16")) if each.row.op == "norm"]
    assert by_part(norms) == {"values": 65 * 24, "padding": 65 * 8}


def test_more_layers_than_llama_cpp_reads_are_refused() -> None:
    with pytest.raises(UsageError, match="at most 512 layers"):
        weights_of(paramcalc.load({**LLAMA2_7B, "num_hidden_layers": 513}), scheme_named("Q4_K_M"))
    with pytest.raises(UsageError, match="at most 512 layers"):
        weights_of(paramcalc.load({**LLAMA2_7B, "num_hidden_layers": 100_000}), scheme_named("Q4_K_M"))


def test_layers_that_repeat_in_a_spec_are_numbered_one_by_one() -> None:
    """Three equal layers of four groups: twelve layers, of which the quantizer raises 0, 3, 6, 9, 10 and 11."""
    layer = {"norm": "norm", "feed_forward": {"size": 512}}
    spec = {"name": "twelve", "width": 256, "parts": {"outer": {"repeat": 4, "inner": {"repeat": 3, **layer}}}}
    assert [item.layers for item in tensors(architecture_from(spec), numbered=True)] == [tuple(range(12))] * 4
    held = [each for each in weights_of(architecture_from(spec), scheme_named("Q4_K_M")) if each.row.role == "down_proj"]
    assert {each.format: each.copies for each in held} == {"Q6_K": 6, "Q4_K": 6}


def test_a_vision_tower_stays_in_sixteen_bits_and_out_of_the_count_of_layers() -> None:
    config = {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]}
    held = weights_of(paramcalc.load(config), scheme_named("Q4_K_M"))
    assert {each.format for each in held if each.row.component == "vision.attention" and each.row.kind == "weight"} == {"BF16"}
    made = gguf_tensors(tensors(paramcalc.load(config), numbered=True))
    assert about(made).layers == 32
