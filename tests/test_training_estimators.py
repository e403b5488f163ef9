"""Other tools' estimators, restated: equal to what they print, and to our plan where both model the same thing."""

from __future__ import annotations

from typing import Any

import estimators as e
import pytest
from training_cases import Row, named, rows, small

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training

ROWS = rows("sharding.jsonl")


def of(tool: str) -> list[Row]:
    return [row for row in ROWS if tool in row["estimator"]]


@pytest.mark.parametrize("row", of("zero2"), ids=lambda row: row["id"])
def test_deepspeed_zero_2_needs_what_its_estimator_prints(row: Row) -> None:
    i = row["inputs"]
    found = e.deepspeed_zero2(i["total_params"], i["gpus_per_node"], i["nodes"], offload=i["cpu_offload"])
    assert (found.gpu, found.host) == (row["outputs"]["gpu_bytes"], row["outputs"]["cpu_bytes_per_node"])


@pytest.mark.parametrize("row", of("zero3"), ids=lambda row: row["id"])
def test_deepspeed_zero_3_needs_what_its_estimator_prints(row: Row) -> None:
    i = row["inputs"]
    found = e.deepspeed_zero3(
        i["total_params"],
        i["largest_layer_params"],
        i["gpus_per_node"],
        i["nodes"],
        offload=i["cpu_offload"],
        offload_params=i["cpu_offload_params"],
        zero_init=i["zero_init"],
    )
    assert (found.gpu, found.host) == (row["outputs"]["gpu_bytes"], row["outputs"]["cpu_bytes_per_node"])


@pytest.mark.parametrize("row", of("ZeRO paper"), ids=lambda row: row["id"])
def test_the_zero_papers_table_is_met(row: Row) -> None:
    parameters, ranks = int(row["inputs"]["total_params"]), row["inputs"]["dp"]
    assert [e.zero_paper(parameters, ranks, stage) for stage in range(4)] == list(row["outputs"].values())


@pytest.mark.parametrize("row", of("Korthikanti"), ids=lambda row: row["id"])
def test_korthikantis_table_is_met(row: Row) -> None:
    i, out = row["inputs"], row["outputs"]
    layer, tp = e.Layer(i["micro_batch"] * i["seq"], i["seq"], i["h"], i["a"]), i["tp"]
    assert e.korthikanti(layer) == out["no_parallel"]
    assert e.korthikanti(layer, tp) == out["tp"]
    assert e.korthikanti(layer, tp, sequence_parallel=True) == out["tp_sp"]
    assert e.korthikanti(layer, tp, selective=True) == out["tp_selective"]
    assert e.korthikanti(layer, tp, sequence_parallel=True, selective=True) == out["tp_sp_selective"]
    assert e.korthikanti(layer, full=True) == out["full_recompute"]


@pytest.mark.parametrize("row", of("Megatron"), ids=lambda row: row["id"])
def test_megatrons_report_is_met(row: Row) -> None:
    i, out = row["inputs"], row["outputs"]
    m = e.Megatron(
        layers=i["L"],
        width=i["h"],
        heads=i["a"],
        kv_heads=i["kv"] or i["a"],
        ffn=i["f"],
        vocabulary=i["V"],
        length=i["seq"],
        micro_batch=i["micro_batch"],
        gated=i["sw"],
        untied=i["untie"],
        layer_norm=i["norm"] == "LayerNorm",
        experts=i.get("E") or 0,
        tp=i["tp"],
        pp=i["pp"],
        dp=i["dp"],
        ep=i["ep"],
        virtual=i["virtual_pp"],
        micro_batches=i["num_microbatches"],
        distributed_optimizer=i["distributed_optimizer"],
    )
    assert e.megatron_states(m) == pytest.approx(out["weight_and_optimizer_bytes"], rel=1e-12)
    assert e.megatron_activations(m) == pytest.approx(out["activation_bytes_sp_selective"], rel=1e-12)
    assert e.megatron_activations(m, sequence_parallel=False) == pytest.approx(out["activation_bytes_without_sp"], rel=1e-12)


LLAMA = 6_738_415_616


def states(**options: object) -> int:
    """Weights, masters, gradients and optimizer states of a rank; gradients as they are at the step."""
    plan = plan_training(named("llama-2-7b"), TrainingJob(optimizer="adamw", seq_len=16, **options))  # type: ignore[arg-type]
    step = next(phase for phase in plan.phases if phase.name == "optimizer")
    return sum(step.terms.get(name, 0) for name in ("weights", "master_weights", "gradients", "optimizer"))


@pytest.mark.parametrize("stage", range(4))
def test_our_states_with_master_weights_are_the_zero_papers(stage: int) -> None:
    """bf16 weights and gradients, fp32 masters and moments: 16 bytes for a parameter, shared from stage to stage."""
    assert states(precision="bf16-master", dp=16, zero=stage) == pytest.approx(e.zero_paper(LLAMA, 16, stage), rel=1e-6)


def test_our_states_under_megatrons_recipe_are_its_reports() -> None:
    """fp32 main gradients make it 18 bytes; the report counts Llama's parameters to the last norm."""
    report = e.Megatron(32, 4096, 32, 32, 11008, 32000, 4096, gated=True, untied=True)
    assert e.megatron_states(report) == 18 * LLAMA
    assert states(precision="megatron") == 18 * LLAMA


def test_deepspeeds_zero_2_counts_gradients_twice_where_we_count_a_share() -> None:
    """Its 2 + 18/N holds whole weights, and gradients in 2 and 4 bytes beside 12 of states; the paper's stage 2 is 2 + 14/N."""
    gap = e.deepspeed_zero2(LLAMA, 8, 1, offload=False).gpu - states(precision="bf16-master", dp=8, zero=2)
    assert gap == pytest.approx(4 * LLAMA / 8, rel=1e-6)


def gpt(**fields: Any) -> paramcalc.Architecture:
    """GPT-2 of 3 layers: width 48, 6 heads, feed-forward 4 times the width, vocabulary 101, dropout 0.1 throughout."""
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 48, "n_layer": 3, "n_head": 6, "vocab_size": 101}
    return paramcalc.load(config | {"n_positions": 64} | fields)


OUTSIDE = {"norm": 2, "head": 2, "dropped": 1}
"""Bytes a token and dim: what the last norm and the head read, and the mask behind the embeddings."""
POLICIES: list[dict[str, Any]] = [{}, {"sequence_parallel": True}, {"selective": True}, {"sequence_parallel": True, "selective": True}]

DIVIDED = [(tp, policy) for tp in (1, 2) for policy in POLICIES if tp > 1 or "sequence_parallel" not in policy]


@pytest.mark.parametrize(("tp", "policy"), DIVIDED, ids=str)
def test_under_megatrons_kernels_a_layer_keeps_what_korthikanti_counts(tp: int, policy: dict[str, bool]) -> None:
    """The vocabulary of 101 is padded to 102 on two ranks; its logits are kept in fp32, and the numbers of
    16 positions in 8 bytes."""
    tokens, width, vocabulary = 2 * 16, 48, {1: 101, 2: 51}[tp]
    layer = e.korthikanti(e.Layer(tokens, 16, width, 6), tp, **policy)
    share = tp if policy.get("sequence_parallel") else 1
    outside = tokens * width * sum(OUTSIDE.values()) // share + 4 * tokens * vocabulary + 8 * 16
    options: dict[str, Any] = {"checkpointing": "selective"} if policy.get("selective") else {}
    options |= {"sequence_parallel": True} if share > 1 else {}
    plan = paramcalc.train(gpt(), stack="megatron", attention="eager", batch_size=2, seq_len=16, tp=tp, **options)
    assert plan.saved_for_backward == 3 * layer + outside


def test_flash_attention_keeps_a_sum_for_each_head_in_place_of_the_scores() -> None:
    eager, flash = (
        paramcalc.train(gpt(), stack="megatron", attention=kind, batch_size=2, seq_len=16).saved_for_backward for kind in ("eager", "flash")
    )
    assert eager - flash == 3 * (5 * 6 * 16 * 16 * 2 - 4 * 6 * 2 * 16)


def test_grouped_queries_and_gated_networks_are_counted_by_their_own_sizes() -> None:
    """Llama without dropout: norms and what follows them 8 a token and dim, heads of 8 for 6 queries and 2 keys and values, 40 thrice."""
    plan = paramcalc.train(small(), stack="megatron", attention="eager", batch_size=2, seq_len=16)
    tokens = 2 * 16
    layer = tokens * (8 * 24 + 2 * 8 * (6 + 2 + 2 + 6) + 2 * 3 * 40) + 2 * 6 * 16 * tokens
    assert plan.saved_for_backward == 5 * layer + tokens * 4 * 24 + 4 * tokens * 50


def test_an_expert_works_on_the_tokens_that_visit_it() -> None:
    fields = {"num_local_experts": 4, "num_experts_per_tok": 2, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"]}
    tokens = 2 * 16
    plans = [paramcalc.train(small(**more), stack="megatron", batch_size=2, seq_len=16) for more in ({}, fields)]
    dense, sparse = (plan.saved_for_backward for plan in plans)
    assert sparse - dense == 5 * tokens * (2 * 3 * 40 + 2 * 2 * 2 * 24 + 2 * 4 * 4)


@pytest.mark.parametrize("options", [{"method": "lora"}, {"precision": "bf16-mixed"}], ids=str)
def test_what_the_profile_does_not_model_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(paramcalc.ParamcalcError, match="Megatron's kernels are modelled for full training"):
        paramcalc.train(small(), stack="megatron", **options)


def test_the_terms_name_the_kernels_they_are_of() -> None:
    plan = paramcalc.train(small(), stack="megatron", optimizer="sgd", batch_size=64)
    found = {term.name: term for term in plan.terms}
    assert found["activations"].basis == "model"
    assert found["activations"].source.startswith("Korthikanti et al. 2022")
