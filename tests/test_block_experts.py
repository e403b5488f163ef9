"""Mixtures of experts as references store them, in closed form."""

from __future__ import annotations

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training
from paramcalc.holdings.counts import Counts, count_architecture
from paramcalc.model.tree import architecture_from


def held(**fields: object) -> Counts:
    part = {"kind": "experts", "count": 5, "visited": 2, "expert": {"size": 11}, **fields}
    return count_architecture(architecture_from({"name": "x", "width": 7, "parts": {"mlp": part}}))


def shapes(**fields: object) -> dict[str, tuple[int, ...]]:
    return {row.name.removeprefix("mlp."): row.shape for row in held(**fields).rows}


def test_experts_are_stacked() -> None:
    assert shapes() == {"router.weight": (5, 7), "experts.gate_up_proj": (5, 2 * 11, 7), "experts.down_proj": (5, 7, 11)}


def test_a_stack_may_lie_inputs_first() -> None:
    found = shapes(transposed=True)
    assert (found["experts.gate_up_proj"], found["experts.down_proj"]) == ((5, 7, 2 * 11), (5, 11, 7))


def test_a_flat_stack_is_three_matrices_of_all_experts_rows() -> None:
    found = shapes(flat=True, router=None)
    assert found == {f"experts.{name}_proj": (5 * 11, 7) for name in ("gate", "up", "down")}
    assert held(flat=True, router=None).active == 3 * 2 * 11 * 7


def test_the_router_scores_idle_experts_too() -> None:
    """The reference keeps rows of gate and up for them, but none of down."""
    found = shapes(idle=4)
    assert (found["router.weight"], found["experts.gate_up_proj"]) == ((5 + 4, 7), (5 + 4, 2 * 11, 7))
    assert found["experts.down_proj"] == (5, 7, 11)


def test_shared_experts_may_have_gate_and_up_in_one_matrix() -> None:
    found = shapes(shared={"size": 13, "fused": True})
    assert found["shared_expert.gate_up_proj.weight"] == (2 * 13, 7)
    assert "shared_expert.up_proj.weight" not in found


def test_a_correction_of_scores_is_held_but_not_trained() -> None:
    counts = held(router={"correction": True})
    assert counts.total - counts.trainable == 5


def test_an_open_number_of_visits_leaves_active_open() -> None:
    assert held(visited=None).active is None
    assert held().active == 5 * 7 + 2 * 3 * 11 * 7


def test_a_scaling_router_has_a_vector_and_a_number_for_each_expert_and_a_norm_of_the_experts_is_theirs() -> None:
    assert held(router={"scaled": True}).total - held().total == 7 + 5
    assert held(norm="power").total - held().total == 7


def test_where_every_expert_computes_every_token_all_their_rows_are_kept() -> None:
    """Llama 4: for each of 5 experts the token, the scaled token, gate and up, the activation and the product, and one score."""

    def kept(**fields: object) -> int:
        part = {"kind": "experts", "count": 5, "visited": 1, "expert": {"size": 11}, **fields}
        tree = {"name": "x", "width": 7, "parts": {"embedding": {"vocabulary": 3}, "mlp": part}}
        return plan_training(paramcalc.load(tree), TrainingJob(precision="fp32", batch_size=2, seq_len=3)).saved_for_backward

    rows, scores = 5 * (7 + 7 + 2 * 11 + 11 + 11 + 1), 5
    assert kept(every=True) == 2 * 3 * (4 * (7 + rows + scores) + 8)


def test_experts_that_are_computed_one_after_another_keep_each_row_twice_more_and_where_it_is_from() -> None:
    """DBRX: for each of a token's 2 rows the token, gate, up, activation and product, the output before and behind its weight, the
    weight, token and choice; the router's scores, the chosen ones with their places, and their sum."""
    part = {"kind": "experts", "count": 5, "visited": 2, "expert": {"size": 11}, "flat": True, "loop": True}
    tree = {"name": "x", "width": 7, "parts": {"embedding": {"vocabulary": 3}, "mlp": part}}
    kept = plan_training(paramcalc.load(tree), TrainingJob(precision="fp32", batch_size=2, seq_len=3)).saved_for_backward
    row = 4 * (7 + 4 * 11 + 7 + 7 + 1) + 16
    assert kept == 2 * 3 * (2 * row + 4 * 7 + 4 * 5 + 2 * (4 + 8) + 4)
