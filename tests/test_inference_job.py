"""What `infer` accepts, refuses and decides by itself."""

from __future__ import annotations

from typing import Any

import pytest
from inference import TINY, plan, size

import paramcalc
from paramcalc.words.errors import InputError, UsageError

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"batch_size": 0}, "batch_size"),
    ({"batch_size": True}, "batch_size"),
    ({"batch_size": 10**13}, "batch_size"),
    ({"context": -1}, "context"),
    ({"context": 0}, "context"),
    ({"prompt": 5000}, "prompt"),
    ({"source": 10}, "source"),
    ({"engine": "vlm"}, "engine"),
    ({"dtype": "int8"}, "dtype"),
    ({"dtype": "tf32"}, "dtype"),
    ({"quant": "int5"}, "quant"),
    ({"quant": "bf16", "dtype": "fp16"}, "quant"),
    ({"quant": "mxfp4"}, "quant"),
    ({"bits": 4}, "bits"),
    ({"group_size": 128}, "group_size"),
    ({"quant": "gptq", "group_size": 32}, "group_size"),
    ({"quant": "gptq", "group_size": 7}, "group_size"),
    ({"quant": "gptq", "bits": 5}, "bits"),
    ({"quant": "nf4", "bits": 4}, "bits"),
    ({"quant_all": True}, "quant_all"),
    ({"quant": "nf4", "engine": "llama.cpp"}, "quant"),
    ({"kv_dtype": "q8_0"}, "kv_dtype"),
    ({"kv_dtype": "q8_0", "engine": "llama.cpp"}, "kv_dtype"),
    ({"kv_dtype": "fp8", "engine": "llama.cpp"}, "kv_dtype"),
    ({"kv_dtype": "f16,f16,f16"}, "kv_dtype"),
    ({"kv_dtype": "int4", "engine": "vllm"}, "kv_dtype"),
    ({"cache": "growing"}, "cache"),
    ({"cache": "static", "engine": "vllm"}, "cache"),
    ({"attention": "linear"}, "attention"),
    ({"ubatch": 512}, "ubatch"),
    ({"slots": 1, "batch_size": 2, "engine": "llama.cpp"}, "slots"),
    ({"gpu_memory_utilization": 0.9}, "gpu_memory_utilization"),
    ({"gpu_memory_utilization": 1.1, "engine": "vllm"}, "gpu_memory_utilization"),
    ({"gpu_memory_utilization": 0, "engine": "vllm"}, "gpu_memory_utilization"),
    ({"gpu": "h9000"}, ""),
]
"""TINY has 16 elements of keys a token, which are no block of 32; its matrices have 48 or 80 inputs, which groups of 32 do not divide."""


@pytest.mark.parametrize(("options", "place"), WRONG, ids=lambda value: str(value))
def test_a_wrong_value_is_refused_where_it_stands(options: dict[str, Any], place: str) -> None:
    with pytest.raises(UsageError) as refusal:
        plan(**options)
    assert refusal.value.exit_code == 2
    assert refusal.value.problems[0].place == place


def test_a_context_beyond_the_model_s_is_allowed_and_said_aloud() -> None:
    found = plan(context=8192)
    assert size(found, "kv_cache") == 96 * 2 * 8192
    assert any("beyond the 4,096" in warning for warning in found.warnings)


def test_every_option_has_a_default_and_says_where_it_is_from() -> None:
    origins = {given.name: (given.value, given.origin) for given in plan({**TINY, "torch_dtype": "float16"}, batch_size=2).inputs}
    assert origins["engine"] == ("transformers", "default")
    assert origins["dtype"] == ("fp16", "read")
    assert origins["context"] == (4096, "read")
    assert origins["batch_size"] == (2, "given")
    assert origins["kv_dtype"] == ("fp16", "default")


def test_the_weights_format_comes_from_the_config_unless_given() -> None:
    config = {**TINY, "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}}
    read, given, none = plan(config), plan(TINY, quant="nf4"), plan(config, quant="bf16")
    assert size(read, "weights") == size(given, "weights") < size(none, "weights") == size(plan(), "weights")
    assert next(each.origin for each in read.inputs if each.name == "quant") == "read"


def test_an_unknown_quantization_of_a_config_is_refused() -> None:
    with pytest.raises(InputError):
        plan({**TINY, "quantization_config": {"quant_method": "magic"}})


def test_llama_cpp_reads_gguf_whatever_the_config_says() -> None:
    config = {**TINY, "quantization_config": {"quant_method": "fp8"}}
    found = plan(config, engine="llama.cpp")
    assert any("llama.cpp reads GGUF" in warning for warning in found.warnings)
    assert size(found, "weights") == size(plan(quant="BF16"), "weights")


def test_a_gguf_mix_is_llama_cpp_s_and_transformers_makes_it_whole() -> None:
    assert plan(quant="Q8_0").settings.engine == "llama.cpp"  # type: ignore[union-attr]
    whole = plan(quant="Q8_0", engine="transformers")
    assert size(whole, "weights") == size(plan(), "weights")
    assert any("whole again" in warning for warning in whole.warnings)


def test_fp8_computes_with_fp8_matrices_and_16_bits_beside() -> None:
    fp8, asked = plan(dtype="fp8"), plan(quant="fp8")
    assert size(fp8, "weights") == size(asked, "weights")
    assert size(fp8, "kv_cache") == size(plan(), "kv_cache")


def test_what_a_gpu_has_left_is_told() -> None:
    roomy = plan("llama-3-8b", engine="vllm", gpu="h100-sxm-80gb", context=8192)
    assert any("vLLM's pool is" in warning and "sequences of 8,192 tokens" in warning for warning in roomy.warnings)
    tight = plan("llama-3-8b", gpu="rtx-4060")
    assert any(warning.startswith("does not fit") for warning in tight.warnings)


def test_a_reported_model_has_a_range_of_bytes_for_weights_and_nothing_else() -> None:
    found = plan("gpt-4", dtype="bf16")
    assert [term.name for term in found.terms] == ["weights"]
    assert (found.low, found.high) == (2 * 1_760_000_000_000, 2 * 1_800_000_000_000)
    assert "nothing else can be known" in found.not_modelled[0]
    with pytest.raises(UsageError, match="depends on shapes"):
        plan("gpt-4", quant="gptq")


def test_experts_of_which_an_unknown_number_compute_are_said_aloud() -> None:
    config = {**TINY, "model_type": "longcat_flash"}
    config |= {"num_attention_heads": 4, "hidden_size": 64, "ffn_hidden_size": 96, "expert_ffn_hidden_size": 32, "n_routed_experts": 8}
    config |= {"zero_expert_num": 4, "moe_topk": 2, "q_lora_rank": 24, "kv_lora_rank": 32, "qk_nope_head_dim": 12, "qk_rope_head_dim": 8}
    config |= {"v_head_dim": 16, "num_layers": 2, "num_key_value_heads": 4}
    del config["num_hidden_layers"], config["intermediate_size"]
    found = plan(config)
    assert any("does not fix how many compute" in warning for warning in found.warnings)


def test_phases_say_what_is_held_between_steps() -> None:
    found = plan("llama-3-8b", quant="nf4", context=1024)
    phases = dict(found.phases)
    assert phases["step"] == found.total
    assert phases["between_steps"] == found.held + size(found, "overhead") == found.total - size(found, "activations")
    largest = 14336 * 4096 * 2
    assert phases["load"] >= size(found, "weights") + largest


def test_a_weight_file_s_weights_are_what_is_stored_in_it() -> None:
    model = paramcalc.load("llama-3-8b")
    stored = {"Q6_K": 3_000_000_000, "Q4_K": 4_000_000_000}
    file = model.model_copy(update={"origin": model.origin._replace(form="gguf", stored=stored)})
    found = plan(file, context=512)
    assert found.settings is not None
    assert found.settings.engine == "llama.cpp"
    assert size(found, "weights") == 7_000_000_000
    assert next(each for each in found.inputs if each.name == "quant") == ("quant", "as stored (Q4_K, Q6_K)", "read")
    halves = plan(file, context=512, pp=2)
    assert 3_300_000_000 < size(halves, "weights") < 3_900_000_000
    assert size(plan(file, engine="transformers", context=512), "weights") == 2 * 8_030_261_248
    assert size(plan(file, quant="Q8_0", context=512), "weights") > 8_000_000_000


def test_an_option_given_with_the_default_s_value_was_given() -> None:
    found = paramcalc.infer(TINY, batch_size=1, engine="transformers")
    origins = {each.name: each.origin for each in found.inputs}
    assert (origins["batch_size"], origins["engine"], origins["tp"]) == ("given", "given", "default")
