"""Layers that carry a state, in training: what a change of one size adds, in closed form, and what the answer costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from training_cases import small

import paramcalc
from paramcalc.costs.training.job import TrainingJob, settle
from paramcalc.costs.training.plan import TrainingPlan, plan_training
from paramcalc.costs.training.ranks import recorded
from paramcalc.holdings.trainable import adapt
from paramcalc.words.errors import UsageError

LAYERS, WIDTH, INNER, KERNEL = 3, 12, 24, 4
MAMBA = {
    "model_type": "mamba",
    "architectures": ["MambaForCausalLM"],
    "vocab_size": 50,
    "hidden_size": WIDTH,
    "expand": 2,
    "num_hidden_layers": LAYERS,
    "conv_kernel": KERNEL,
    "time_step_rank": 3,
    "state_size": 5,
}
MAMBA2 = MAMBA | {
    "model_type": "mamba2",
    "architectures": ["Mamba2ForCausalLM"],
    "num_heads": 6,
    "head_dim": 4,
    "n_groups": 2,
    "chunk_size": 8,
}
PEAKS = [json.loads(line) for line in (Path(__file__).parent / "golden" / "peaks_states.jsonl").read_text().splitlines()]
LENGTHS = [(1, 5), (2, 8), (3, 20)]


def plan(config: dict[str, Any], b: int = 2, s: int = 12, **fields: Any) -> TrainingPlan:
    return plan_training(paramcalc.load(config), TrainingJob(precision="fp32", attention="eager", batch_size=b, seq_len=s, **fields))


def grown(config: dict[str, Any], b: int, s: int, **changed: Any) -> int:
    """Bytes that a changed config keeps more."""
    return plan(config | changed, b, s).saved_for_backward - plan(config, b, s).saved_for_backward


@pytest.mark.parametrize(("b", "s"), LENGTHS)
def test_mamba_keeps_decays_gains_and_states_of_all_tokens(b: int, s: int) -> None:
    """One more number in each channel's state: exp(A) and A; for each token B and C, and for each of its channels the decay,
    the gain and the state, which has one more at the start."""
    t = b * s
    layer = 2 * INNER + 2 * t + INNER * (3 * t + b)
    assert grown(MAMBA, b, s, state_size=6) == LAYERS * 4 * layer


@pytest.mark.parametrize(("b", "s"), LENGTHS)
def test_mamba2_keeps_maps_of_all_tokens_and_states_of_all_chunks(b: int, s: int) -> None:
    """One more number in a state: B and C before and behind the convolution, padded by its kernel, and behind its activation;
    repeated for all heads and padded to whole chunks B and C, the decayed B, and where a copy is made to lie head by head, B
    and C twice; the states of all chunks with the one at the start, and those that are read."""
    heads, dim, groups = 6, 4, 2
    chunks = -(-s // 8)
    rows = b * chunks * 8
    maps = 2 * groups * (2 * b * s + b * (s + KERNEL - 1))
    # B for its product with C, B as it decays, B decayed, C for that product and for what is read of states; one sequence of one
    # chunk lies head by head as it is
    copies = 5 if b * chunks > 1 else 3
    # the state of a single chunk is read as a view of what it was made with
    read = b * chunks if chunks > 1 else 2 * b
    states = heads * dim * (b * (chunks + 1) + read)
    assert grown(MAMBA2, b, s, state_size=6) == LAYERS * 4 * (maps + copies * rows * heads + states)


@pytest.mark.parametrize("config", [MAMBA, MAMBA2], ids=["mamba", "mamba2"])
def test_the_work_grows_with_neither_tokens_nor_depth(config: dict[str, Any]) -> None:
    def operations(length: int, layers: int) -> int:
        architecture = paramcalc.load(config | {"num_hidden_layers": layers})
        settings = settle(TrainingJob(seq_len=length), architecture)
        walk, _ = recorded(architecture, settings, adapt(architecture, settings.method))
        return sum(len(ops) for ops in {id(segment.ops): segment.ops for segment in walk.segments}.values())

    assert operations(16, 3) == operations(100_000, 3) == operations(16, 90)


def test_the_plan_says_that_kernels_of_a_package_would_keep_less() -> None:
    assert any("mamba-ssm" in warning and "--stack" in warning for warning in plan(MAMBA2).warnings)
    assert not any("mamba-ssm" in warning for warning in plan_training(small()).warnings)


@pytest.mark.parametrize(
    ("model", "case"),
    [(model, case) for model in PEAKS for case in model["cases"]],
    ids=lambda value: value["name"] if "name" in value else "-".join(map(str, value["settings"].values())),
)
def test_the_fullest_moment_of_a_pass_is_met_within_six_percent(model: dict[str, Any], case: dict[str, Any]) -> None:
    """And within 1 % without checkpointing. Names that a function of the reference still has when it recomputes a layer are known
    in part."""
    settings = case["settings"]
    job = TrainingJob(
        precision=settings["precision"],
        attention=settings["attention"],
        checkpointing=settings.get("checkpointing", "none"),
        batch_size=settings["batch"],
        seq_len=settings["length"],
        optimizer="sgd",
    )
    moments = {phase.name: phase.bytes for phase in plan_training(paramcalc.load(model["config"]), job).phases}
    given = moments["loaded"] + 2 * 8 * settings["batch"] * settings["length"]
    fullest = max(case[phase] for phase in ("forward", "backward"))
    found = {phase: moments[phase] - given for phase in ("forward", "backward")}
    assert max(found.values()) == pytest.approx(fullest, rel=0.06 if "checkpointing" in settings else 0.01)
    if "checkpointing" not in settings:
        assert found["forward"] == pytest.approx(case["forward"], rel=0.03)


def packaged(config: dict[str, Any], b: int, s: int, **changed: Any) -> int:
    """Bytes that a changed config keeps more where the packages are installed."""
    kept = [plan(each, b, s, stack="mamba-ssm").saved_for_backward for each in (config | changed, config)]
    return kept[0] - kept[1]


@pytest.mark.parametrize(("b", "s"), [(1, 5), (2, 2048), (3, 2049)])
def test_mambas_kernel_keeps_two_numbers_of_a_state_for_every_2048_tokens(b: int, s: int) -> None:
    """One more number in a state (selective_scan_interface.py): exp(A) and A; B and C of all tokens twice, as they are made and as
    the scan reads them."""
    layer = 2 * INNER + 4 * b * s + 2 * b * INNER * -(-s // 2048)
    assert packaged(MAMBA, b, s, state_size=6) == LAYERS * 4 * layer


@pytest.mark.parametrize(("b", "s"), [(1, 5), (3, 20)])
def test_mamba2s_kernel_keeps_no_state_at_all(b: int, s: int) -> None:
    """One more number in a state (ssd_combined.py): B and C of all tokens, as the first projection makes them."""
    assert packaged(MAMBA2, b, s, state_size=6) == LAYERS * 4 * 2 * 2 * b * s


def test_what_kernels_keep_is_no_exact_figure_and_they_are_named() -> None:
    found = plan(MAMBA2, stack="mamba-ssm")
    assert {term.basis for term in found.terms if term.name == "activations"} == {"model"}
    assert any("mamba-ssm" in term.source for term in found.terms)
    assert found.saved_for_backward < plan(MAMBA2).saved_for_backward / 3


def test_kernels_that_no_layer_has_are_refused() -> None:
    with pytest.raises(UsageError, match="mamba-ssm"):
        plan_training(small(), TrainingJob(stack="mamba-ssm"))
