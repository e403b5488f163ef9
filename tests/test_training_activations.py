"""Bytes that autograd keeps: recorded cases to the byte, and the closed forms that were derived from them."""

from __future__ import annotations

import pytest
from training_cases import Row, job, named, plan, rows, small

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training

CASES = rows("activations.jsonl")
LAYERS, H, A, K, D, F, V = 5, 24, 6, 2, 8, 40, 50
"""Depth, width, heads, key-value heads, head dims, feed-forward and vocabulary of the small model."""


@pytest.mark.parametrize("row", [row for row in CASES if not row.get("use_cache")], ids=lambda row: row["id"])
def test_a_recorded_case_is_met_to_the_byte(row: Row) -> None:
    assert plan(row).saved_for_backward == row["expected"]


@pytest.mark.parametrize("row", [row for row in CASES if row.get("use_cache")], ids=lambda row: row["id"])
def test_a_case_with_a_cache_in_training_is_another_one(row: Row) -> None:
    """The same call without a cache was recorded too, with other bytes; training passes no cache."""
    twins = [other for other in CASES if other["model"] == row["model"] and other["args"] == row["args"] and other is not row]
    assert [twin["expected"] for twin in twins] == [plan(row).saved_for_backward]


@pytest.mark.parametrize("row", rows("families.jsonl"), ids=lambda row: f"{row['type']}-{row['class']}")
def test_small_models_of_each_family_keep_what_the_reference_keeps(row: Row) -> None:
    """Equal to the byte, or within 1 % where the CPU's path keeps other indices and tables than CUDA's."""
    options = TrainingJob(precision="fp32", attention="eager", batch_size=row["batch"], seq_len=row["seq"])
    kept = plan_training(paramcalc.load(row["config"]), options).saved_for_backward
    assert kept == row["saved"] if row["exact"] else kept == pytest.approx(row["saved"], rel=0.01)


def rotary(s: int, size: int) -> int:
    return 2 * s * D * size


def labels(b: int, s: int) -> int:
    return 8 * (s + 1 if b == 1 else b * s)


FORMS = {
    # norms, attention, feed-forward of a layer; final norm; input of the head (section 1 and 4 of the derived formulas)
    ("bf16", "sdpa"): lambda t, s2: (t * (12 * H + 8), t * (2 * H + 4 * A * D + 4 * K * D + 4 * A) + 24, t * (2 * H + 8 * F)),
    ("bf16", "eager"): lambda t, s2: (t * (12 * H + 8), t * (2 * H + 8 * A * D) + 6 * s2, t * (2 * H + 8 * F)),
    ("fp32", "eager"): lambda t, s2: (t * (16 * H + 8), t * (4 * H + 16 * A * D) + 4 * s2, t * (4 * H + 16 * F)),
    ("fp32", "sdpa"): lambda t, s2: (t * (16 * H + 8), t * (4 * H + 16 * A * D) + 4 * s2, t * (4 * H + 16 * F)),
    ("bf16-mixed", "sdpa"): lambda t, s2: (t * (16 * H + 8), t * (6 * H + 4 * A * D + 4 * K * D + 4 * A) + 24, t * (4 * H + 8 * F)),
    ("bf16-mixed", "eager"): lambda t, s2: (t * (16 * H + 8), t * (6 * H + 8 * A * D) + 6 * s2, t * (4 * H + 8 * F)),
}


@pytest.mark.parametrize(("b", "s"), [(1, 16), (3, 10)], ids=["one sequence", "three sequences"])
@pytest.mark.parametrize(("precision", "attention"), FORMS, ids="-".join)
def test_a_llama_layer_follows_the_closed_form(precision: str, attention: str, b: int, s: int) -> None:
    """Per layer T·(norms + attention + feed-forward), with T = b·s and S2 = b·a·s²; autocast adds copies of all weights."""
    t, s2 = b * s, b * A * s * s
    layer = sum(FORMS[precision, attention](t, s2))
    low, narrow = (2, 6) if precision == "bf16" else (2 if precision == "bf16-mixed" else 4, 8)
    tail = t * (narrow * H + 4) + low * t * H + 4 * t * V + labels(b, s) + 4
    copies = 2 * (LAYERS * (2 * H * A * D + 2 * H * K * D + 3 * H * F) + H * V) if precision == "bf16-mixed" else 0
    expected = LAYERS * layer + rotary(s, 2 if precision == "bf16" else 4) + tail + copies
    options = TrainingJob(precision=precision, attention=attention, batch_size=b, seq_len=s)
    assert plan_training(small(), options).saved_for_backward == expected


def test_memory_efficient_attention_pads_its_sums_to_32_rows() -> None:
    """fp32 with as many key-value heads as heads: T·(4h + 16ad) + 4·b·a·ceil32(s) + 16."""
    b, s = 2, 10
    t = b * s
    layer = t * (16 * H + 8) + t * (4 * H + 16 * A * D) + 4 * b * A * 32 + 16 + t * (4 * H + 16 * F)
    expected = LAYERS * layer + rotary(s, 4) + t * (8 * H + 4) + 4 * t * H + 4 * t * V + labels(b, s) + 4
    options = TrainingJob(precision="fp32", batch_size=b, seq_len=s)
    assert plan_training(small(num_key_value_heads=6), options).saved_for_backward == expected


def test_checkpointing_keeps_layer_inputs_and_the_head() -> None:
    """L·e·T·h + final norm + input of the head + loss (section 5)."""
    b, s = 2, 10
    t = b * s
    expected = LAYERS * 2 * t * H + t * (6 * H + 4) + 2 * t * H + 4 * t * V + labels(b, s) + 4
    options = TrainingJob(checkpointing="full", batch_size=b, seq_len=s)
    assert plan_training(small(), options).saved_for_backward == expected


@pytest.mark.parametrize(
    ("adapters", "dropout", "copy", "inner"),
    [("bf16", 0.0, None, 2), ("bf16", 0.1, 3, 2), ("fp32", 0.0, 4, 4), ("fp32", 0.1, 5, 4)],
    ids=["bf16", "bf16 with dropout", "fp32", "fp32 with dropout"],
)
def test_lora_keeps_what_its_matrices_read(adapters: str, dropout: float, copy: int | None, inner: int) -> None:
    """On q and v (section 6): norms lose their third tensor; a bf16 adapter without dropout shares one input; else one each of
    2 or 4 bytes and a byte of mask, and T·r for B. Nothing before the first layer trains: its norm keeps
    nothing, and its masks are not needed."""
    b, s, r = 2, 10, 4
    t = b * s
    read = 2 * t * H if copy is None else 2 * copy * t * H
    attention = t * (4 * A * D + 4 * K * D + 4 * A) + 24 + read + 2 * inner * t * r
    layer = 2 * (4 * t * H + 4 * t) + attention + 6 * t * F
    unneeded = 4 * t * H + 4 * t + (2 * t * H if dropout else 0)  # the first norm, and masks over what needs no gradient
    expected = LAYERS * layer - unneeded + rotary(s, 2) + 4 * t * H + 4 * t + 4 * t * V + labels(b, s) + 4
    options = TrainingJob(
        method="lora", lora_r=r, lora_targets="q_proj,v_proj", lora_dropout=dropout, adapter_dtype=adapters, batch_size=b, seq_len=s
    )
    assert plan_training(small(), options).saved_for_backward == expected


def test_bert_is_the_textbook_34_bytes_a_token_and_width() -> None:
    """T·(18h + 4a + 4f + 16) + 24 a layer at f = 4h with dropout: 34.08 T·h (Korthikanti et al. 2022 say 34)."""
    config = named("bert-base").model_dump()["root"]
    assert config
    shorter, longer = (plan_training(named("bert-base"), TrainingJob(seq_len=512, batch_size=b)) for b in (1, 2))
    t, h, a = 512, 768, 12
    head = t * (2 * h * 2 + 2 * h + 8 + 2 * h) + 2 * t * 30522
    embeddings = t * (2 * h + 8) + t * h
    layers = longer.saved_for_backward - shorter.saved_for_backward - head - embeddings
    assert layers == 12 * t * (18 * h + 4 * a + 4 * 4 * h + 16)
    assert layers / (12 * t * h) == pytest.approx(34.08, abs=0.01)


def test_every_kept_tensor_is_a_row_and_the_rows_are_the_total() -> None:
    plan = plan_training(small(), TrainingJob(batch_size=2, seq_len=16))
    assert sum(kept.bytes * times for kept, times in plan.kept) == plan.saved_for_backward
    assert {kept.where for kept, _ in plan.kept} >= {"model.layers.{}.self_attn.q_proj", "model.norm", "lm_head", "loss"}
    assert all(kept.name and kept.where for kept, _ in plan.kept)


def test_the_recorded_options_are_read_as_they_are_written() -> None:
    assert job(["--method", "lora", "--autocast", "--lora-r", "16"]) == TrainingJob(method="lora", autocast=True, lora_r=16)
