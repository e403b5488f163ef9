"""The field's well-known figures, as `docs/claims.md` works them."""

from __future__ import annotations

import pytest

import paramcalc
from paramcalc.holdings.counts import count_architecture
from paramcalc.holdings.trainable import Method

GB, TB = 10**9, 10**12


def trained(model: str, method: Method) -> int:
    return count_architecture(paramcalc.load(model), method).trainable


def test_full_training_takes_12_to_20_times_the_weights_where_activations_are_kept() -> None:
    """Lialin et al. 2023, §1."""
    plan = paramcalc.train("llama-2-7b", precision="bf16-master", batch_size=8, seq_len=2048)
    assert 12 <= plan.total / (2 * 6_738_415_616) <= 20
    assert paramcalc.train("llama-2-7b", precision="bf16-master", batch_size=1, seq_len=2048).total / (2 * 6_738_415_616) == pytest.approx(
        10, abs=0.1
    )


@pytest.mark.parametrize(("size", "share"), [(64, 0.019), (128, 0.038)])
def test_adapters_are_a_few_percent_of_bert(size: int, share: float) -> None:
    """Houlsby et al. 2019: 2 adapters of 2·d·m + m + d in each of 24 layers; 3.6 % in the mean over tasks of m from 8 to 256."""
    added = trained("bert-large", Method(name="adapter", adapter_size=size))
    assert added == 24 * 2 * (2 * 1024 * size + size + 1024)
    assert added / paramcalc.count("bert-large").total == pytest.approx(share, abs=0.0006)


def test_lora_on_a_7b_model_trains_a_few_million() -> None:
    assert trained("llama-2-7b", Method(name="lora", rank=8, targets="q_proj,v_proj")) == 32 * 2 * 8 * (4096 + 4096)


def test_lora_on_gpt3_trains_4_7_million() -> None:
    """Hu et al. 2021, Table 4: rank 1 on queries and values."""
    model = paramcalc.load("gpt3", overrides=["layers.kinds.layer.attention.fused=null"])
    assert (
        count_architecture(model, Method(name="lora", rank=1, targets="q_proj,v_proj")).trainable == 96 * 2 * (12288 + 12288) == 4_718_592
    )


def test_gpt3_with_lora_takes_350_gb() -> None:
    """Hu et al. 2021, §4.2."""
    plan = paramcalc.train("gpt3", method="lora", lora_r=4, lora_targets="c_attn", checkpointing="full")
    assert plan.total == pytest.approx(350 * GB, rel=0.03)


def test_the_leanest_full_training_of_gpt3_is_above_the_1_2_tb_of_the_paper() -> None:
    plan = paramcalc.train("gpt3", precision="bf16", optimizer="adamw-fused", checkpointing="full")
    assert plan.total / (1.2 * TB) == pytest.approx(1.17, abs=0.01)


def test_qlora_fine_tunes_65b_under_48_gb() -> None:
    """Dettmers et al. 2023, §1; settings of its appendix B."""
    options = {"lora_r": 64, "lora_targets": "all-linear", "optimizer": "adamw-paged-8bit", "seq_len": 512, "checkpointing": "full"}
    plan = paramcalc.train("llama-65b", method="qlora", **options)
    assert 40 * GB < plan.total < 48 * GB


def test_780_gb_is_twelve_bytes_a_parameter_and_no_recipe_of_torch() -> None:
    assert 12 * paramcalc.count("llama-65b").total == pytest.approx(780 * GB, rel=0.01)
    plan = paramcalc.train("llama-65b", precision="bf16", seq_len=512, checkpointing="full")
    assert plan.total / (780 * GB) == pytest.approx(0.84, abs=0.01)
