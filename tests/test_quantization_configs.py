"""The `quantization_config` of real checkpoints as a scheme."""

from __future__ import annotations

from typing import Any

import pytest

import paramcalc
from paramcalc.costs.quantization.configs import scheme_for, scheme_from_config
from paramcalc.costs.quantization.held import by_format
from paramcalc.costs.quantization.left_out import compressed_list, transformers_list, wildcard_list
from paramcalc.costs.quantization.tensors import Tensor
from paramcalc.costs.quantization.weights import weight_bytes, weights_of
from paramcalc.model.rows import Row
from paramcalc.words.errors import InputError, UsageError

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


def of_weights(layout: str = "", **weights: Any) -> dict[str, Any]:
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}},
        "ignore": ["lm_head"],
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "gptq-int4-g128": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True, "damp_percent": 0.01},
    "gptq-int8-row": {"quant_method": "gptq", "bits": 8, "group_size": -1},
    "awq-int4-g64": {"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "version": "gemm", "zero_point": True},
    "nf4-dq": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "quant_method": "bitsandbytes"},
    "fp4": {"load_in_4bit": True, "bnb_4bit_use_double_quant": False},
    "llm-int8": {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False},
    "fp8": {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
    "fp8-tensor": {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": None},
    "fp8-channel": {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head"]},
    "mxfp4": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]},
    "nvfp4": {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"], "producer": {"name": "modelopt"}},
    "compressed-int4-g128": of_weights("pack-quantized", num_bits=4, type="int", strategy="group", group_size=128, symmetric=True),
    "compressed-int8-channel": of_weights("int-quantized", num_bits=8, type="int", strategy="channel", symmetric=True),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoints_config_names_its_scheme(name: str) -> None:
    assert scheme_from_config(CONFIGS[name]).name == name


COMPRESSED = [
    ({"num_bits": 8, "type": "float", "strategy": "tensor"}, 130 * 320 + 2),
    ({"num_bits": 8, "type": "float", "strategy": "channel"}, 130 * 320 + 130 * 2),
    ({"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}, 130 * 320 + 2 * 3 * 2),
    ({"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32}, 130 * 320 + 130 * 10),
    ({"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32}, 130 * 10 * 17),
    ({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}, 130 * 20 * 9 + 4),
    ({"num_bits": 2, "type": "int", "strategy": "group", "group_size": 64}, 130 * 20 * 4 + 130 * 5 * 2 + 16),
    ({"num_bits": 8, "type": "int", "strategy": "tensor"}, 130 * 320 + 2),
]
"""`weights` of compressed-tensors, and the bytes of a matrix [130, 320] under them."""


@pytest.mark.parametrize(
    ("weights", "size"), COMPRESSED, ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else ""
)
def test_each_strategy_of_compressed_tensors_has_its_own_scales(weights: dict[str, Any], size: int) -> None:
    row = Row("model.layers.{}.mlp.up_proj.weight", (130, 320), op="linear", role="up_proj")
    layout = "int-quantized" if weights["type"] == "int" and weights["num_bits"] == 8 else ""
    (held,) = weight_bytes([Tensor(row)], scheme_from_config(of_weights(layout, **weights)))
    assert held.bytes == size


def test_nvfp4_keeps_a_scale_for_its_inputs_where_they_are_quantized_too() -> None:
    config = of_weights(num_bits=4, type="float", strategy="tensor_group", group_size=16)
    assert scheme_from_config(config).input_scales == 0
    config["config_groups"]["group_0"]["input_activations"] = {"num_bits": 4, "type": "float", "dynamic": "local"}
    assert scheme_from_config(config).input_scales == 1


def test_fp8_without_blocks_has_one_scale_a_matrix() -> None:
    row = Row("model.layers.{}.mlp.up_proj.weight", (130, 320), op="linear", role="up_proj")
    (held,) = weight_bytes([Tensor(row)], scheme_from_config(CONFIGS["fp8-tensor"]))
    assert held.bytes == 130 * 320 + 4 + 4


def test_group_size_and_bits_default_to_the_usual_ones() -> None:
    assert scheme_from_config({"quant_method": "awq"}).name == "awq-int4-g128"
    assert scheme_from_config({"quant_method": "gptq"}).name == "gptq-int4-g128"


def test_a_static_activation_scale_is_one_scalar_more_a_matrix() -> None:
    assert scheme_from_config(CONFIGS["fp8-tensor"]).input_scales == 1
    assert scheme_from_config(CONFIGS["fp8"]).input_scales == 0


def test_scales_in_ue8m0_are_one_byte() -> None:
    assert scheme_from_config({**CONFIGS["fp8"], "scale_fmt": "ue8m0"}).scale_bytes == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"quant_method": "hqq"}, "unknown quant_method: 'hqq'"),
        ({"bits": 4}, "no quant_method"),
        ({"quant_method": "gptq", "bits": 5}, "expected 2 or 3 or 4 or 8, got 5"),
        ({"quant_method": "gptq", "bits": True}, "expected a whole number, got True"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 0}, "expected a group size of at least 1"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*": {"bits": 8}}}, "differ from module to module"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "expected two whole numbers"),
        ({"quant_method": "fp8", "weight_block_size": [0, 128]}, "expected two whole numbers"),
        ({"quant_method": "fp8", "modules_to_not_convert": "lm_head"}, "expected a list of modules"),
        ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, "unknown quant_algo: 'W4A8_AWQ'"),
        ({"quant_method": "bitsandbytes"}, "neither load_in_4bit nor load_in_8bit"),
        (of_weights(num_bits=6, type="float", strategy="group", group_size=32), "are not modelled"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": 1}}, "quantize weights in one way"),
    ],
)
def test_a_config_that_is_unknown_or_broken_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scheme_from_config(config)


def test_the_configs_own_scheme_is_the_default_and_a_given_one_wins() -> None:
    config = CONFIGS["gptq-int4-g128"]
    assert [scheme_for(config)[0].name, scheme_for(config)[1]] == ["gptq-int4-g128", "read"]
    assert [scheme_for(config, "nf4")[0].name, scheme_for(config, "nf4")[1]] == ["nf4", "given"]
    assert [scheme_for(None)[0].name, scheme_for(None)[1]] == ["none", "default"]


def test_bits_without_a_format_are_refused() -> None:
    with pytest.raises(UsageError, match="bits belongs to a format of weights"):
        scheme_for(None, bits=4)


@pytest.mark.parametrize(
    ("pattern", "module", "left"),
    [
        ("lm_head", "lm_head", True),
        ("model.layers.1", "model.layers.1.mlp.up_proj", True),
        ("model.layers.1", "model.layers.11.mlp.up_proj", False),
        ("gate", "model.layers.3.mlp.gate", True),
        ("mlp.gate", "model.layers.3.mlp.gate_proj", False),
        (r"model\.layers\.\d+\.self_attn", "model.layers.7.self_attn.q_proj", True),
        ("model.layers.*.self_attn", "model.layers.7.self_attn.q_proj", True),
    ],
)
def test_transformers_patterns_match_a_start_an_end_or_an_expression(pattern: str, module: str, left: bool) -> None:
    assert transformers_list([pattern]).matches(module) is left


def test_compressed_patterns_are_whole_names_or_marked_expressions() -> None:
    ignored = compressed_list(["lm_head", "re:.*mlp.gate$"])
    assert [ignored.matches(name) for name in ("lm_head", "model.layers.3.mlp.gate", "model.layers.3.mlp.gate_proj")] == [True, True, False]


def test_wildcards_stand_for_anything() -> None:
    assert wildcard_list(["model.layers.0.self_attn*"]).matches("model.layers.0.self_attn.q_proj")
    assert not wildcard_list(["*router"]).matches("model.layers.0.mlp.experts")


def test_layers_that_a_config_names_by_number_stay_as_they_are() -> None:
    """Of three down projections [256, 768] the first is left out, and all three attentions."""
    skipped = ["model.layers.0.mlp.down_proj", "self_attn"]
    config = {**CONFIGS["fp8"], "modules_to_not_convert": [*skipped[:1], r"model\.layers\.\d+\.self_attn", "lm_head"]}
    held = weights_of(paramcalc.load(LLAMA), scheme_from_config(config))
    assert by_format(held)["fp8"] == (3 + 3 + 2) * (768 * 256 + 6 * 2 * 4)
    kept = [each for each in held if each.row.role == "down_proj" and each.format == "bf16"]
    assert [(each.copies, each.bytes) for each in kept] == [(1, 2 * 768 * 256)]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(.*)*x", ".*.*.*.*.*x", "(", "a" * 501])
def test_a_pattern_that_could_run_away_or_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(InputError):
        transformers_list([pattern]).matches("model.layers.0.mlp")
