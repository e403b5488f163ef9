"""What one rank of several holds."""

from __future__ import annotations

import pytest
from inference import TINY, plan, size

import paramcalc
from paramcalc.costs.inference.engines.vllm import divide
from paramcalc.costs.inference.sharding import Ranks, stages
from paramcalc.costs.quantization.held import total_bytes
from paramcalc.costs.quantization.scheme import scheme_named
from paramcalc.costs.quantization.weights import weight_bytes
from paramcalc.words.errors import UsageError

SPARSE = {
    **TINY, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2, "num_hidden_layers": 4,
}  # fmt: skip
WIDTH, FEED, WORDS, HEAD = 48, 80, 101, 8


def test_tensor_parallelism_divides_matrices_and_keeps_norms_whole() -> None:
    """Two ranks of TINY: 3 of 6 heads, one of 2 key-value heads, half the feed-forward network, half the words."""
    layer = (3 * HEAD) * WIDTH * 2 + 2 * HEAD * WIDTH + 3 * (FEED // 2) * WIDTH + 2 * WIDTH
    tables = 2 * -(-WORDS // 2) * WIDTH
    assert size(plan(engine="ideal", tp=2), "weights") == 2 * (3 * layer + tables + WIDTH)


def test_key_value_heads_are_repeated_where_there_are_fewer_than_ranks() -> None:
    config = {**TINY, "num_attention_heads": 12, "hidden_size": 96, "intermediate_size": 96, "vocab_size": 128}
    two, four = (plan(config, engine="ideal", tp=ranks, context=64) for ranks in (2, 4))
    assert size(two, "kv_cache") == size(four, "kv_cache") == 2 * HEAD * 3 * 64 * 2
    keys = 2 * HEAD * 96  # keys and values of one head
    layer = (3 * HEAD) * 96 * 2 + keys + 3 * (96 // 4) * 96 + 2 * 96
    assert size(four, "weights") == 2 * (3 * layer + 2 * 32 * 96 + 96)


def test_a_latent_is_whole_on_every_rank() -> None:
    assert size(plan("deepseek-v2-lite", engine="vllm", tp=2, context=1600), "kv_cache") == 1600 * 576 * 2 * 27


def test_expert_parallelism_gives_whole_experts_to_ranks() -> None:
    one, eight = plan(SPARSE, engine="ideal"), plan(SPARSE, engine="ideal", ep=8)
    experts = 4 * 8 * 3 * FEED * WIDTH * 2
    assert size(one, "weights") - size(eight, "weights") == experts * 7 // 8
    assert eight.devices == 8


def test_expert_parallel_replicas_share_the_batch() -> None:
    whole, shared = (plan(SPARSE, engine="ideal", ep=ep, batch_size=12, context=64) for ep in (1, 4))
    assert size(whole, "kv_cache") == 4 * size(shared, "kv_cache")


def test_the_worst_stage_of_uneven_ones_is_the_answer() -> None:
    """Three layers over two stages: the first has the table and two layers, the last a layer, the norm and the head."""
    layer = (2 * 6 * HEAD + 2 * 2 * HEAD) * WIDTH + 3 * FEED * WIDTH + 2 * WIDTH
    found = plan(engine="ideal", pp=2, context=64)
    assert size(found, "weights") == 2 * (2 * layer + WORDS * WIDTH)
    assert size(found, "kv_cache") == 2 * 2 * 2 * HEAD * 2 * 64
    assert found.devices == 2


def test_a_tied_table_is_on_the_last_stage_once_more() -> None:
    tied = paramcalc.load({**TINY, "tie_word_embeddings": True})
    assert sum_of_weights(tied, 2) == sum_of_weights(tied, 1) + WORDS * WIDTH * 2


def sum_of_weights(model: paramcalc.Architecture, pp: int) -> int:
    """Weights in bf16, over all stages."""
    return sum(total_bytes(weight_bytes(stage.tensors)) for stage in stages(model, Ranks(), pp))


@pytest.mark.parametrize("model", ["llama-3-8b", "gemma-3-27b", "jamba", "mixtral-8x7b", "whisper-large-v3"])
def test_stages_hold_the_whole_model_between_them(model: str) -> None:
    """Untied models: every tensor is on one stage, every cache on one."""
    architecture = paramcalc.load(model)
    tied = {row.role: row for row in paramcalc.count(architecture).rows if row.tied}
    again = sum(row.elements * 2 for row in tied.values())
    whole = paramcalc.count(architecture).total * 2
    for pp in (2, 3, 5):
        assert sum_of_weights(architecture, pp) in (whole, whole + again)


@pytest.mark.parametrize("pp", [2, 4])
def test_a_gguf_mix_is_decided_by_the_whole_model(pp: int) -> None:
    """Q4_K_M gives more bits to the first and last layers of the model, not of each stage."""
    model = paramcalc.load("llama-3-8b")
    whole = size(plan("llama-3-8b", quant="Q4_K_M", context=512), "weights")
    parts = [tensor for stage in stages(model, Ranks(), pp) for tensor in stage.tensors]
    assert total_bytes(weight_bytes(parts, scheme_named("Q4_K_M"), "bf16", "llama")) == whole


def test_vllm_gives_layers_that_do_not_divide_to_the_stages_before_the_last() -> None:
    assert divide(61, 2) == [31, 30]
    assert divide(62, 4) == [15, 16, 16, 15]
    assert sum(divide(61, 8)) == 61


@pytest.mark.parametrize(
    ("options", "place"),
    [({"tp": 4}, "tp"), ({"tp": 5}, "tp"), ({"pp": 4}, "pp"), ({"tp": 2, "ep": 3}, "ep"), ({"engine": "llama.cpp", "tp": 2}, "tp")],
    ids=str,
)
def test_ranks_that_do_not_divide_are_refused(options: dict[str, object], place: str) -> None:
    with pytest.raises(UsageError) as refusal:
        plan(**options)
    assert refusal.value.problems[0].place == place
