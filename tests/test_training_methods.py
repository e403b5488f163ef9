"""Which parameters each method trains and adds: PEFT's results, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from training_cases import FOLDER, Row, named, small

import paramcalc
from paramcalc import UsageError
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.holdings.trainable import METHODS, Method, adapt

MODELS: list[Row] = json.loads((FOLDER / "peft.json").read_text())["models"]
NAMES = {"prompt_tuning": "prompt", "prefix_tuning": "prefix", "houlsby": "adapter"}
RESULTS = [(model, result) for model in MODELS for result in model["results"]]


def method(result: Row) -> Method:
    targets = result.get("target_modules") if result["kind"] != "ia3" else None
    return Method(
        NAMES.get(result["kind"], result["kind"]),
        result.get("r", 8),
        ",".join(targets) if isinstance(targets, list) else targets,
        result.get("bottleneck", 64),
        result.get("virtual_tokens", 20),
    )


@pytest.mark.parametrize(("model", "result"), RESULTS, ids=[f"{m['name']} {r['method']}" for m, r in RESULTS])
def test_a_method_trains_as_many_parameters_as_peft(model: Row, result: Row) -> None:
    adapted = adapt(paramcalc.load(model["config"]), method(result))
    assert adapted.trainable == result["trainable"]


SHAPED = [(m, r) for m, r in RESULTS if r["kind"] in ("lora", "dora") and "tensors" in r and m["config"]["model_type"] != "qwen3_moe"]


@pytest.mark.parametrize(("model", "result"), SHAPED, ids=[f"{m['name']} {r['method']}" for m, r in SHAPED])
def test_added_matrices_have_the_names_and_shapes_of_peft(model: Row, result: Row) -> None:
    added = adapt(paramcalc.load(model["config"]), method(result)).added
    got: dict[tuple[str, tuple[int, ...]], int] = {}
    for row in added:
        got[row.name, row.shape] = got.get((row.name, row.shape), 0) + row.repeat
    expected: dict[tuple[str, tuple[int, ...]], int] = {}
    for name, shape, copies in result["tensors"]:
        expected[name, tuple(shape)] = expected.get((name, tuple(shape)), 0) + copies
    assert {key[1]: 0 for key in got} == {key[1]: 0 for key in expected}
    assert sum(got.values()) == sum(expected.values())


def test_a_pattern_is_matched_against_the_whole_path_and_names_against_its_end() -> None:
    model = small()
    by_name = adapt(model, Method("lora", 4, "q_proj,v_proj"))
    by_pattern = adapt(model, Method("lora", 4, r".*\.self_attn\.(q|v)_proj"))
    assert by_name.added == by_pattern.added
    with pytest.raises(UsageError, match="no module"):
        adapt(model, Method("lora", 4, r"self_attn\.q_proj$"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_targets": "q_prj"}, "q_prj"),
        ({"lora_targets": r"model\.layers\.1\.self_attn\.q_proj"}, "single layers"),
        ({"lora_targets": "(["}, "not a regular expression"),
        ({"lora_r": 0}, "at least 1"),
    ],
)
def test_targets_that_are_not_there_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_training(small(), TrainingJob(method="lora", **changes))


def test_last_n_trains_the_last_layers_and_nothing_else() -> None:
    layer = 2 * 24 + 24 * 8 * (6 + 2 + 2 + 6) + 3 * 24 * 40
    assert adapt(small(), Method("last-n", last_n=2)).trainable == 2 * layer
    with pytest.raises(UsageError, match="1 to 5"):
        adapt(small(), Method("last-n", last_n=6))


def test_frozen_layers_below_keep_nothing() -> None:
    """Two of five layers train: activations are two fifths of a full pass's, but for the head and the tables."""
    full, part = (plan_training(small(), TrainingJob(method=name, last_n=2, seq_len=64)) for name in ("full", "last-n"))
    assert part.saved_for_backward < full.saved_for_backward
    inputs = [times for kept, times in part.kept if kept.where.endswith("down_proj")]
    assert sum(inputs) == 2


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("bitfit", "qlora")])
def test_every_method_has_a_plan(name: str) -> None:
    plan = plan_training(small(), TrainingJob(method=name, seq_len=32))
    assert plan.trained > 0
    assert sum(term.bytes for term in plan.terms) == plan.total


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quant": "int4"}, "no gradient"),
        ({"quant": "int8", "method": "bitfit"}, "no gradient"),
        ({"method": "qlora", "quant": "Q4_K_M"}, "GGUF"),
        ({"method": "bitfit"}, "nothing to train"),
        ({"method": "lorra"}, "unknown method"),
        ({"precision": "fp8"}, "unknown precision"),
        ({"optimizer": "adam"}, "unknown optimizer"),
        ({"attention": "xformers"}, "unknown attention"),
        ({"zero": 4}, "from 0 to 3"),
        ({"zero": 2}, "there is one"),
        ({"sequence_parallel": True}, "tensor parallelism"),
        ({"tp": 5}, "cannot be divided"),
        ({"pp": 6}, "6 stages for 5 layers"),
        ({"batch_size": 0}, "at least 1"),
        ({"offload": "disk"}, "unknown offload"),
        ({"prepare_kbit": True}, "quantized base"),
        ({"method": "prefix", "checkpointing": "full"}, "PEFT refuses"),
        ({"bits": 4}, "belongs to a format"),
        ({"precision": "bf16-master", "method": "lora"}, "own format"),
        ({"loss": "fused", "method": "lora", "lora_targets": "lm_head"}, "plain output matrix"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused_with_a_way_on(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        plan_training(small(), TrainingJob(**changes))
    assert refused.value.exit_code == 2


def test_a_full_fine_tune_of_int4_names_the_nearest_thing_that_works() -> None:
    with pytest.raises(UsageError, match="--method qlora"):
        plan_training(small(), TrainingJob(quant="int4"))


def test_prepared_layers_make_the_stream_fp32() -> None:
    """PEFT's preparation turns norms, tables and head to fp32: inputs that checkpointing keeps take twice as much."""
    options = TrainingJob(method="qlora", checkpointing="full", autocast=True, seq_len=32)
    plain, prepared = (plan_training(small(), options._replace(prepare_kbit=flag)) for flag in (False, True))

    def inputs(plan: Any) -> int:
        return sum(kept.bytes * times for kept, times in plan.kept if kept.name == "layer input")

    assert inputs(prepared) == 2 * inputs(plain) == 2 * 5 * 2 * 32 * 24


def test_loras_on_stacked_experts_make_their_weights_whole() -> None:
    """PEFT adds W + s·BA for all experts, which autograd keeps: for Mixtral more than all other activations."""
    names = [kept.name for kept, _ in plan_training(named("mixtral-8x7b"), TrainingJob(method="lora", lora_targets="w1,w2,w3")).kept]
    assert "low-rank weight" in names
    plan = plan_training(named("mixtral-8x7b"), TrainingJob(method="lora", lora_targets="w1,w2,w3", seq_len=16))
    # the first layer's own input needs no gradient, so its first stack is not kept
    assert plan.saved_for_backward > 2 * 45_097_156_608 * (1 - 2 / 3 / 32)


BITSANDBYTES = json.loads((FOLDER / "bitsandbytes.json").read_text())


@pytest.mark.parametrize("case", BITSANDBYTES["cases"], ids=lambda case: f"{case['quant']}-{case['checkpointing']}")
def test_a_frozen_4_bit_layer_keeps_nothing_and_an_8_bit_one_its_input(case: dict[str, Any]) -> None:
    """Recorded from bitsandbytes 0.50. LLM.int8 holds its input on the node of the graph, which checkpointing does not reach."""
    options = BITSANDBYTES["settings"] | {"quant": case["quant"], "checkpointing": case["checkpointing"]}
    job = TrainingJob(method="lora", adapter_dtype="bf16", attention="eager", **options)
    assert plan_training(paramcalc.load(BITSANDBYTES["config"]), job).saved_for_backward == case["saved"]


@pytest.mark.parametrize("checkpointing", ["none", "full"])
def test_what_an_8_bit_layer_holds_is_there_until_the_graph_goes(checkpointing: str) -> None:
    """8 tokens and 5 layers in bf16: q, k, v and o read 24 and 48 numbers, the feed-forward 24 and 40."""

    def held_at_the_end(quant: str) -> int:
        job = TrainingJob(method="lora", quant=quant, seq_len=8, checkpointing=checkpointing)
        moments = {phase.name: phase.bytes for phase in plan_training(small(), job).phases}
        return moments["backward_end"] - moments["loaded"]

    without_gradient = 24 if checkpointing == "none" else 0  # what the first layer reads, unless checkpointing asks for one
    assert held_at_the_end("llm-int8") - held_at_the_end("nf4") == 2 * 8 * (5 * (24 + 48 + 24 + 40) - without_gradient)
