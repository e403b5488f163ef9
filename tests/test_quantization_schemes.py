"""What each scheme stores for one matrix, and which tensors it takes."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import paramcalc
from paramcalc.costs.quantization.configs import scheme_from_config
from paramcalc.costs.quantization.held import Held, by_format, by_part, total_bytes
from paramcalc.costs.quantization.scheme import Matrix, Scheme, scheme_named, scheme_names
from paramcalc.costs.quantization.tensors import Tensor
from paramcalc.costs.quantization.weights import weight_bytes, weights_of
from paramcalc.model.rows import Row
from paramcalc.words.errors import UsageError

LAYERS = json.loads((Path(__file__).parent / "golden" / "quantized_sizes.json").read_text())["layers"]
MATRIX_SCHEMES = [name for name in scheme_names() if name.islower()]

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 320,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
MIXTRAL = {**LLAMA, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 4, "num_experts_per_tok": 2}
LINEAR = 3 * (256 * 256 * 2 + 128 * 256 * 2 + 3 * 768 * 256)
"""Elements of LLAMA's linear layers: q, o, k, v, gate, up and down, three times."""
REST = 2 * 320 * 256 + 7 * 256
"""Elements of its two tables and seven norms."""


def parts(scheme: Scheme, outputs: int, inputs: int) -> dict[str, int]:
    module = import_module(f"paramcalc.costs.quantization.{scheme.method}")
    return {part.name: part.bytes for part in module.stored(Matrix(outputs, inputs), scheme)}


def stored(scheme: Scheme, outputs: int, inputs: int) -> int:
    return sum(parts(scheme, outputs, inputs).values())


def compressed(bits: int, strategy: str, group: int | None = None, *, layout: str, symmetric: bool = True) -> Scheme:
    weights = {"num_bits": bits, "type": "int", "strategy": strategy, "group_size": group, "symmetric": symmetric}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return scheme_from_config({"quant_method": "compressed-tensors", "format": layout, "config_groups": groups})


REFERENCES = {
    **{name: scheme_named(name) for name in ("nf4", "nf4-dq", "fp4", "fp4-dq", "llm-int8", "fp8", "fp8-tensor")},
    "int4-g32": compressed(4, "group", 32, layout="pack-quantized"),
    "int4-g32-asymmetric": compressed(4, "group", 32, layout="pack-quantized", symmetric=False),
    "int8-channel": compressed(8, "channel", layout="int-quantized"),
}


@pytest.mark.parametrize("shape", sorted(LAYERS))
def test_a_layer_weighs_what_the_libraries_store_for_it(shape: str) -> None:
    outputs, inputs = map(int, shape.split("x"))
    got = {name: stored(REFERENCES[name], outputs, inputs) for name in LAYERS[shape]}
    assert got == {name: sum(sizes.values()) for name, sizes in LAYERS[shape].items()}


def test_plain_integers_have_one_bf16_scale_a_row_and_rows_of_whole_bytes() -> None:
    assert parts(scheme_named("int8"), 6, 35) == {"quants": 6 * 35, "scales": 6 * 2}
    assert parts(scheme_named("int4"), 6, 35) == {"quants": 6 * 18, "scales": 6 * 2}


@pytest.mark.parametrize(("bits", "words"), [(2, 8), (3, 12), (4, 16), (8, 32)])
def test_gptq_packs_inputs_into_words_and_keeps_zeros_and_groups(bits: int, words: int) -> None:
    """Shapes of AutoGPTQ for 96 outputs and 128 inputs in groups of 64: words of 32 bits along the inputs."""
    got = parts(scheme_named("gptq", bits=bits, group_size=64), 96, 128)
    assert got == {"qweight": words * 96 * 4, "qzeros": 2 * 96 * bits // 32 * 4, "scales": 2 * 96 * 2, "g_idx": 128 * 4}


def test_gptq_counts_the_last_group_whole_and_a_row_as_one_group() -> None:
    assert parts(scheme_named("gptq", group_size=128), 32, 160)["scales"] == 2 * 32 * 2
    assert parts(scheme_named("gptq", group_size=-1), 32, 160)["scales"] == 32 * 2


def test_awq_packs_outputs_eight_to_a_word_and_has_no_group_index() -> None:
    """A matrix of Qwen2.5-7B-Instruct-AWQ, mlp.down_proj: qweight [18944, 448], qzeros [148, 448], scales [148, 3584]."""
    got = parts(scheme_named("awq"), 3584, 18944)
    assert got == {"qweight": 18944 * 448 * 4, "qzeros": 148 * 448 * 4, "scales": 148 * 3584 * 2}


def test_block_fp8_has_one_fp32_scale_for_each_begun_block() -> None:
    """DeepSeek-V3's kv_a_proj_with_mqa [576, 7168] has weight_scale_inv [5, 56]."""
    assert parts(scheme_named("fp8"), 576, 7168) == {"quants": 576 * 7168, "scales": 5 * 56 * 4}


@pytest.mark.parametrize(("name", "scales"), [("fp8-tensor", 4), ("fp8-channel", 4 * 130), ("fp8-block", 4 * 2 * 3)])
def test_fp8_scales_are_per_tensor_per_channel_or_per_block(name: str, scales: int) -> None:
    assert parts(scheme_named(name), 130, 300)["scales"] == scales


def test_mxfp4_is_seventeen_bytes_for_thirty_two_values() -> None:
    assert stored(scheme_named("mxfp4"), 6, 64) == 6 * 2 * 17


def test_nvfp4_is_nine_bytes_for_sixteen_values_and_two_scalars_a_matrix() -> None:
    assert stored(scheme_named("nvfp4"), 6, 64) == 6 * 4 * 9 + 2 * 4


def test_double_quantization_of_qlora_saves_what_the_paper_says() -> None:
    """QLoRA §3: 32/64 = 0.5 bits a weight become 8/64 + 32/(64 · 256) = 0.127, code tables aside."""
    elements = 4096 * 4096
    once, twice = parts(scheme_named("nf4"), 4096, 4096), parts(scheme_named("nf4-dq"), 4096, 4096)
    assert once["scales"] * 8 / elements == 0.5
    assert (twice["scales"] + twice["scales_of_scales"] - 4) * 8 / elements == 8 / 64 + 32 / (64 * 256)


@pytest.mark.parametrize(("name", "size"), [("gpt-oss-20b", 13_761_264_768), ("gpt-oss-120b", 65_248_815_744)])
def test_mxfp4_gives_the_sizes_of_the_gpt_oss_checkpoints(name: str, size: int) -> None:
    """`metadata.total_size` in model.safetensors.index.json of openai/gpt-oss-20b and -120b."""
    layers, experts = (24, 32) if name == "gpt-oss-20b" else (36, 128)
    config = {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "num_hidden_layers": layers, "num_local_experts": experts}
    assert total_bytes(weights_of(paramcalc.load(config), scheme_named("mxfp4"))) == size


def test_only_linear_layers_are_quantized_and_the_rest_stays_in_the_computed_format() -> None:
    held = weights_of(paramcalc.load(LLAMA), scheme_named("int8"))
    assert by_part(held) == {"values": 2 * REST, "quants": LINEAR, "scales": 2 * 3 * (256 * 3 + 128 * 2 + 768 * 2)}
    assert {each.row.role for each in held if each.format == "bf16"} == {"embedding", "head", "norm"}


def test_quant_all_takes_embeddings_norms_and_head_too() -> None:
    held = weights_of(paramcalc.load(LLAMA), scheme_named("int8", everything=True))
    assert set(by_format(held)) == {"int8"}
    assert by_part(held)["quants"] == LINEAR + REST
    assert by_part(held)["scales"] == 2 * (3 * (256 * 3 + 128 * 2 + 768 * 2) + 2 * 320 + 7)


def test_experts_are_quantized_and_their_router_is_not() -> None:
    held = weights_of(paramcalc.load(MIXTRAL), scheme_named("nf4"))
    assert {each.row.role for each in held if each.row.component in ("experts", "router") and each.format == "nf4"} == {
        "experts.gate_up_proj",
        "experts.down_proj",
    }


def test_every_expert_has_matrices_of_its_own_as_in_checkpoints() -> None:
    """Gate, up and down of each expert keep a group index: 4 experts × (256 + 256 + 768) inputs in each of 3 layers."""
    held = [each for each in weights_of(paramcalc.load(MIXTRAL), scheme_named("gptq")) if each.row.component == "experts"]
    assert by_part(held)["g_idx"] == 3 * 4 * (256 + 256 + 768) * 4


def test_a_transposed_weight_has_a_scale_for_each_of_its_outputs() -> None:
    """GPT-2 stores [inputs, outputs]: c_attn is [48, 144], c_proj of the feed-forward [192, 48]."""
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 48, "n_head": 3, "n_layer": 1, "vocab_size": 11}
    held = {each.row.role: each for each in weights_of(paramcalc.load(config), scheme_named("int8")) if each.format == "int8"}
    assert [dict(held[role].parts)["scales"] for role in ("qkv_proj", "down_proj")] == [144 * 2, 48 * 2]


def test_gptq_and_awq_touch_neither_tower_nor_projector_and_bitsandbytes_both() -> None:
    llava = paramcalc.load({"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]})
    for name in ("gptq", "awq", "nf4"):
        held = weights_of(llava, scheme_named(name))
        outside = {each.row.component.split(".")[0] for each in held if "." in each.row.component and each.format in ("int4", "nf4")}
        assert outside == ({"vision", "projector"} if name == "nf4" else set())


def test_a_tied_head_weighs_nothing() -> None:
    tied = weights_of(paramcalc.load({**LLAMA, "tie_word_embeddings": True}))
    assert total_bytes(weights_of(paramcalc.load(LLAMA))) - total_bytes(tied) == 2 * 320 * 256


def test_mxfp4_without_experts_is_refused() -> None:
    with pytest.raises(UsageError, match="mxfp4 quantizes experts"):
        weights_of(paramcalc.load(LLAMA), scheme_named("mxfp4"))


def test_computing_in_fp8_without_a_scheme_keeps_linear_layers_in_blocks_of_fp8() -> None:
    held = weights_of(paramcalc.load(LLAMA), dtype="fp8")
    assert by_format(held)["bf16"] == 2 * REST
    assert by_part(held)["quants"] == LINEAR


@pytest.mark.parametrize(("dtype", "size"), [("fp32", 4), ("fp16", 2), ("bf16", 2)])
def test_without_a_scheme_weights_are_what_they_are_computed_in(dtype: str, size: int) -> None:
    assert total_bytes(weights_of(paramcalc.load(LLAMA), dtype=dtype)) == size * (LINEAR + REST)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scheme_named("nf5"), "did you mean nf4"),
        (lambda: scheme_named("Q4_K_X"), "did you mean Q4_K_"),
        (lambda: scheme_named("nf4", bits=4), "nf4 has no bits to choose"),
        (lambda: scheme_named("gptq", bits=5), "gptq in 5 bits does not exist"),
        (lambda: scheme_named("awq", bits=8), "awq in 8 bits does not exist"),
        (lambda: scheme_named("gptq", group_size=100), "no gptq has groups of 100"),
        (lambda: scheme_named("Q4_K_M", everything=True), "says itself what is quantized"),
    ],
)
def test_a_mistaken_scheme_is_refused_with_what_was_meant(call: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()  # type: ignore[operator]


def test_small_letters_mean_a_computed_format_and_capitals_the_one_of_gguf() -> None:
    assert (scheme_named("bf16").method, scheme_named("BF16").method) == ("none", "gguf")
    assert scheme_named("q4_k").name == "Q4_K_M"


@pytest.mark.parametrize("name", MATRIX_SCHEMES)
@given(outputs=st.integers(1, 300), inputs=st.integers(1, 300), more=st.integers(1, 64))
def test_bytes_never_fall_when_a_matrix_grows(name: str, outputs: int, inputs: int, more: int) -> None:
    scheme = scheme_named(name)
    assert stored(scheme, outputs, inputs) <= stored(scheme, outputs + more, inputs)
    assert stored(scheme, outputs, inputs) <= stored(scheme, outputs, inputs + more)
    assert stored(scheme, outputs, inputs) * 8 >= outputs * inputs * scheme.bits


@given(outputs=st.integers(1, 300), inputs=st.integers(1, 300), group=st.sampled_from((32, 64, 128, -1)))
def test_more_bits_never_take_fewer_bytes(outputs: int, inputs: int, group: int) -> None:
    sizes = [stored(scheme_named("gptq", bits=bits, group_size=group), outputs, inputs) for bits in (2, 3, 4, 8)]
    assert sizes == sorted(sizes)
    assert stored(scheme_named("int4"), outputs, inputs) <= stored(scheme_named("int8"), outputs, inputs)


@given(copies=st.integers(1, 1000), outputs=st.integers(1, 99), inputs=st.integers(1, 99), name=st.sampled_from(MATRIX_SCHEMES))
def test_copies_of_a_tensor_weigh_that_many_times_one(copies: int, outputs: int, inputs: int, name: str) -> None:
    def held(repeat: int) -> list[Held]:
        row = Row("model.layers.{}.mlp.down_proj.weight", (2, outputs, inputs), op="stack", role="down_proj", experts=(2, 1), repeat=repeat)
        return weight_bytes([Tensor(row)], scheme_named(name))

    assert total_bytes(held(copies)) == copies * total_bytes(held(1))
