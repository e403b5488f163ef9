"""Kimi Delta Attention, in closed form."""

from __future__ import annotations

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "kimi_delta_attention", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


SIZES = {"heads": 4, "head_dim": 5, "kernel": 7}
ALL = 4 * 5


def test_it_holds_what_the_paper_lists() -> None:
    rest = 3 * ALL * 7 + 4 + 4 * 6 + 5 + 6 * ALL  # convolution, decay, step, norm, output
    assert held(**SIZES).weights == (3 + 2) * ALL * 6 + rest
    assert held(**SIZES, gate_rank=3).weights == 3 * ALL * 6 + 2 * (3 * 6 + ALL * 3) + rest
    assert held(**SIZES).biases == ALL  # dt_bias


def test_the_decay_may_be_stored_with_four_axes() -> None:
    assert [row.shape for row in held(**SIZES, decay_axes=4).rows if row.name.endswith("A_log")] == [(1, 1, 4, 1)]
    assert held(**SIZES, decay_axes=4).total == held(**SIZES).total


def test_it_remembers_a_kernel_of_inputs_and_a_matrix_for_each_head() -> None:
    assert states(**SIZES) == {"conv_state": ((3 * ALL, 7), "compute"), "recurrent_state": ((4, 5, 5), "fp32")}


KIMI = {
    "model_type": "kimi_linear",
    "architectures": ["KimiLinearForCausalLM"],
    "layer_types": ["linear_attention"],
    "mlp_layer_types": ["dense"],
    "num_hidden_layers": 1,
    "hidden_size": 12,
    "linear_num_heads": 2,
    "linear_head_dim": 3,
    "vocab_size": 50,
    "intermediate_size": 20,
}


def kept(length: int) -> int:
    plan = plan_training(paramcalc.load(KIMI), TrainingJob(seq_len=length))
    return sum(row.bytes * times for row, times in plan.kept if row.where.endswith("self_attn"))


def test_each_further_chunk_keeps_as_much_as_the_one_before_it() -> None:
    """Of a chunk of c tokens with h heads of d, in fp32 (Kimi Team 2025, §3, as transformers computes it): fifteen vectors a
    token, products and decays of pairs for each channel (3 of [c, c, d]), two matrices of pairs; what forward substitution
    copies, rows of 1 to c - 1 and squares of them; the state and its decay. Around it inputs and outputs of the convolution in
    bf16, and in fp32 the decay's exp, log and condition, and the gated norm."""
    c, h, d = 64, 2, 3
    substituted = sum(i + i * i for i in range(c))
    rule = 4 * h * (c * (15 * d + 3 * c * d + 2 * c + 3) + substituted + d * d + d)
    around = c * h * (12 * d + 13 * d + 2 + 16 * d + 4)
    assert [kept(c * (n + 1)) - kept(c * n) for n in (2, 3, 4, 500)] == [rule + around] * 4


def test_with_the_kernels_a_token_keeps_what_their_source_says() -> None:
    """flash-linear-attention 0.5.2, `ChunkKDAFunction`, in bf16: q and k normalised, their lengths (fp32), v, the step, the decay as it
    came and summed (fp32), Aqk and Akk [64] each. Around it the convolution's input, the decay's exp, log and condition, and the
    gated norm."""
    h, d = 2, 3
    rule = 2 * 2 * h * d + 2 * 4 * h + 2 * h * d + 2 * h + 2 * 4 * h * d + 2 * 2 * h * 64
    around = 2 * 3 * h * d + 13 * h * d + 16 * h * d + 4 * h

    def kept(length: int) -> int:
        plan = plan_training(paramcalc.load(KIMI), TrainingJob(seq_len=length, stack="fla"))
        return sum(row.bytes * times for row, times in plan.kept if row.where.endswith("self_attn"))

    assert [kept(n + 1) - kept(n) for n in (10, 64, 1000)] == [rule + around] * 3
