"""Gated DeltaNet, in closed form."""

from __future__ import annotations

from typing import Any

import pytest

import paramcalc
from paramcalc import UsageError
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import TrainingPlan, plan_training
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "gated_delta_net", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


SIZES = {"key_heads": 2, "value_heads": 4, "key_dim": 3, "value_dim": 5, "kernel": 7}
KEYS, VALUES = 2 * 3, 4 * 5


@pytest.mark.parametrize("fused", [None, "qkv", "qkvz"])
def test_fusing_changes_the_matrices_and_not_the_total(fused: str | None) -> None:
    projections = (2 * KEYS + 2 * VALUES + 2 * 4) * 6 + 6 * VALUES
    counts = held(**SIZES, fused=fused)
    assert counts.weights == projections + (2 * KEYS + VALUES) * 7 + 4 + 5
    assert counts.biases == 4  # dt_bias


def test_fused_matrices_have_the_shapes_of_their_parts_together() -> None:
    shapes = {row.name: row.shape for row in held(**SIZES, fused="qkvz").rows}
    assert shapes["mixer.qkvz_proj.weight"] == (2 * KEYS + 2 * VALUES, 6)
    assert shapes["mixer.ba_proj.weight"] == (2 * 4, 6)


def test_it_remembers_a_kernel_of_inputs_and_a_matrix_for_each_value_head() -> None:
    assert states(**SIZES) == {"conv_state": ((2 * KEYS + VALUES, 7), "compute"), "recurrent_state": ((4, 3, 5), "fp32")}


QWEN = {
    "model_type": "qwen3_5_text",
    "architectures": ["Qwen3_5ForCausalLM"],
    "layer_types": ["linear_attention"],
    "num_hidden_layers": 1,
    "hidden_size": 12,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 3,
    "linear_value_head_dim": 5,
    "vocab_size": 50,
    "intermediate_size": 20,
}


def training(length: int) -> TrainingPlan:
    return plan_training(paramcalc.load(QWEN), TrainingJob(seq_len=length))


def kept(length: int) -> int:
    return sum(row.bytes * times for row, times in training(length).kept if row.where.endswith("linear_attn"))


def test_each_further_chunk_keeps_as_much_as_the_one_before_it() -> None:
    """Of a chunk of c tokens with h heads, in fp32 (Yang et al. 2025, §3.3, as transformers computes it): queries and keys as
    they come, padded, times their steps and decays (8 of key_dim), values, their products with the steps, and corrected (3 of
    value_dim), five matrices of pairs [c, c], six numbers a token, and the state with its decay. Around the rule in bf16:
    inputs and outputs of the convolution, the step; in fp32 the decay's softplus; and the gated norm."""
    c, h, k, v = 64, 4, 3, 5
    rule = 4 * c * h * (8 * k + 3 * v + 5 * c + 6) + 4 * h * (k * v + 1)
    around = c * (4 * (2 * 2 * k + h * v) + 2 * h + 8 * h + 16 * h * v + 4 * h)
    grows = [kept(64 * (chunks + 1)) - kept(64 * chunks) for chunks in (2, 3, 4, 500)]
    assert grows == [rule + around] * 4


def test_the_work_does_not_grow_with_the_number_of_chunks() -> None:
    assert len(training(64 * 4).kept) == len(training(64 * 30_000).kept)


def test_the_plan_says_without_which_packages_it_is() -> None:
    assert any("without flash-linear-attention and causal-conv1d" in warning for warning in training(64).warnings)


def test_on_the_way_back_what_earlier_chunks_keep_is_there_until_their_turn() -> None:
    """The fullest moment grows by all that a chunk keeps and by no less: gradients of whole sequences come on top."""
    peaks = [next(phase for phase in training(64 * n).phases if phase.name == "backward").bytes for n in (100, 101)]
    assert peaks[1] - peaks[0] >= kept(64 * 101) - kept(64 * 100)


def with_kernels(length: int, **options: Any) -> TrainingPlan:
    return plan_training(paramcalc.load(QWEN), TrainingJob(seq_len=length, stack="fla", **options))


def test_with_the_kernels_a_token_keeps_what_their_source_says() -> None:
    """flash-linear-attention 0.5.2, `ChunkGatedDeltaRuleFunction`: q and k normalised (2 · 2 heads of 3, bf16), their lengths (fp32),
    v (4 heads of 5), the step, the summed decay (fp32), A [64]. causal-conv1d: its input. Around them softplus and the gated
    norm as ever."""
    heads, value, mixed = 4, 4 * 5, 2 * 2 * 3 + 4 * 5
    rule = 2 * (2 * 2 * 3) + 2 * 4 * 2 + 2 * value + 2 * heads + 4 * heads + 2 * heads * 64
    around = 2 * mixed + 8 * heads + 16 * value + 4 * heads

    def kept(length: int) -> int:
        return sum(row.bytes * times for row, times in with_kernels(length).kept if row.where.endswith("linear_attn"))

    assert [kept(n + 1) - kept(n) for n in (10, 64, 1000)] == [rule + around] * 3


def test_with_the_kernels_less_is_kept_and_nothing_is_called_exact() -> None:
    assert with_kernels(512).saved_for_backward < training(512).saved_for_backward
    assert {term.basis for term in with_kernels(512).terms if term.name == "activations"} == {"model"}


def test_kernels_that_no_layer_uses_are_refused() -> None:
    with pytest.raises(UsageError, match="no layer of mapping is computed by flash-linear-attention"):
        plan_training(paramcalc.load(QWEN | {"layer_types": ["full_attention"]}), TrainingJob(seq_len=8, stack="fla"))


def test_tokens_that_need_the_state_of_others_are_not_divided_among_ranks() -> None:
    with pytest.raises(UsageError, match="carry a state from token to token"):
        plan_training(paramcalc.load(QWEN), TrainingJob(seq_len=128, cp=2))
