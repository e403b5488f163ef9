"""Lightning attention, in closed form."""

from __future__ import annotations

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from


def model(width: int = 6, **fields: object) -> Architecture:
    return architecture_from({"name": "x", "width": width, "parts": {"mixer": {"kind": "lightning_attention", **fields}}})


def held(width: int = 6, **fields: object) -> Counts:
    return count_architecture(model(width, **fields))


def states(width: int = 6, **fields: object) -> dict[str, tuple[tuple[int, ...], str]]:
    """Every state by its name: its shape for one sequence and its format."""
    rows = caches(model(width, **fields))
    assert all(row.per == "sequence" for row in rows)
    return {row.name: (row.shape, row.dtype) for row in rows}


def test_it_holds_queries_keys_values_a_gate_a_norm_and_the_output() -> None:
    assert held(heads=4, head_dim=5).total == 3 * 20 * 6 + 20 * 6 + 20 + 6 * 20


def test_it_remembers_one_matrix_for_each_head() -> None:
    assert states(heads=4, head_dim=5)["recurrent_state"][0] == (4, 5, 5)


MINIMAX = {
    "model_type": "minimax",
    "architectures": ["MiniMaxForCausalLM"],
    "layer_types": ["linear_attention"],
    "num_hidden_layers": 1,
    "hidden_size": 12,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 5,
    "num_local_experts": 3,
    "intermediate_size": 8,
    "vocab_size": 50,
    "block_size": 7,
}


def kept(length: int) -> int:
    plan = plan_training(paramcalc.load(MINIMAX), TrainingJob(seq_len=length, batch_size=2))
    return sum(row.bytes * times for row, times in plan.kept if row.where.endswith("self_attn"))


def test_each_further_chunk_keeps_as_much_as_the_one_before_it() -> None:
    """Of a chunk of c tokens of two sequences with h heads of d, in bf16: queries twice and keys twice, as they come and decayed,
    and values twice, copied head by head; the decayed scores [c, c]; the state [d, d] and the decay over the chunk. Around the
    chunks what enters the activation (3 of d), the sigmoid and what it weighs, and the norm's: fp32 and back."""
    c, h, d = 7, 4, 5
    chunk = 2 * (c * h * (6 * d + c) + h * d * d) * 2
    around = 2 * c * (2 * 3 * h * d + 2 * 2 * h * d + 4 * h * d + 4 + 2 * h * d)
    assert [kept(c * (n + 1)) - kept(c * n) for n in (2, 3, 4, 500)] == [chunk + around + 2 * h] * 4
