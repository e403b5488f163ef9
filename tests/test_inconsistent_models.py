"""Configs that the reference builds though no such model could run: counted with a warning, and nothing more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Called

import paramcalc
from paramcalc.words.errors import InputError

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 97,
    "hidden_size": 56,
    "intermediate_size": 52,
    "num_hidden_layers": 2,
    "num_attention_heads": 7,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
ATTENTION = 2 * 56 * 8 * (7 + 2 + 2 + 7)
TOTAL = 2 * 97 * 56 + ATTENTION + 2 * 3 * 56 * 52 + 5 * 56
CLASH = "num_key_value_heads (2) does not divide num_attention_heads (7)"


def test_a_config_whose_heads_do_not_divide_is_counted_as_the_reference_builds_it() -> None:
    counts = paramcalc.count(LLAMA)
    assert counts.total == TOTAL
    assert counts.by_component["attention"].total == ATTENTION


def test_it_is_warned_that_it_could_not_run() -> None:
    assert paramcalc.load(LLAMA).origin.warnings == (f"{CLASH}: no such model could run",)


@pytest.mark.parametrize("ask", [paramcalc.infer, paramcalc.train, lambda model: paramcalc.fit(model, "H100")])
def test_what_it_takes_to_run_is_not_told(ask: Any) -> None:
    with pytest.raises(InputError, match="cannot run, only be counted") as refusal:
        ask(LLAMA)
    assert refusal.value.exit_code == 3


def test_a_spec_of_it_is_refused_in_both_forms() -> None:
    simple = {key: value for key, value in LLAMA.items() if key not in ("architectures", "model_type")} | {"family": "llama"}
    full = {key: value for key, value in paramcalc.load(LLAMA).document.items() if key != "inconsistent"}
    with pytest.raises(InputError, match=r"num_key_value_heads: .2. does not divide num_attention_heads .7."):
        paramcalc.load(simple)
    with pytest.raises(InputError, match=r"layers.layer.attention: kv_heads .2. does not divide heads .7."):
        paramcalc.load(full)


def test_an_import_says_that_it_is_inconsistent_and_counts_the_same(tmp_path: Path, called: Called) -> None:
    config, spec = tmp_path / "config.json", tmp_path / "model.yaml"
    config.write_text(json.dumps(LLAMA))
    assert called("import", config, "-o", spec)[0] == 0
    again = paramcalc.load(str(spec))
    assert again.inconsistent == [CLASH]
    assert paramcalc.count(again).total == TOTAL
    assert again.origin.warnings == (f"{CLASH}: no such model could run",)


def test_more_experts_a_token_than_there_are_leave_the_active_count_open() -> None:
    experts = {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 5}
    sizes = {key: value for key, value in LLAMA.items() if key not in ("model_type", "architectures")} | {"num_key_value_heads": 7}
    counts = paramcalc.count(sizes | experts)
    assert counts.active is None
    assert counts.by_component["experts"].total == 2 * 4 * 3 * 56 * 52
    assert any("visited (5) is more than count (4)" in warning for warning in counts.warnings)


def test_heads_that_do_not_divide_the_width_are_rounded_down_for_a_config_and_refused_of_a_spec() -> None:
    qwen = {key: value for key, value in LLAMA.items() if key not in ("head_dim", "architectures")} | {"num_key_value_heads": 1}
    model = paramcalc.load(qwen | {"model_type": "qwen2", "hidden_size": 59})
    rows = {row.name: row.shape for row in paramcalc.count(model).rows}
    assert rows["model.layers.{}.self_attn.q_proj.weight"] == (7 * 8, 59)
    assert not model.inconsistent
    with pytest.raises(InputError, match=r"num_attention_heads: \(7\) does not divide hidden_size \(59\)"):
        paramcalc.load({key: value for key, value in qwen.items() if key != "model_type"} | {"family": "qwen2", "hidden_size": 59})


def test_they_are_refused_where_the_reference_refuses_them() -> None:
    config = {key: value for key, value in LLAMA.items() if key != "head_dim"} | {"num_key_value_heads": 1, "hidden_size": 59}
    with pytest.raises(InputError, match="does not divide hidden_size"):
        paramcalc.load(config)


def test_projections_as_wide_as_the_stream_stay_so_where_heads_do_not_divide_it() -> None:
    mpt = {"model_type": "mpt", "d_model": 48, "n_heads": 5, "n_layers": 2, "vocab_size": 97, "architectures": ["MptForCausalLM"]}
    model = paramcalc.load(mpt)
    assert model.inconsistent == ["n_heads (5) does not divide the width (48)"]
    assert paramcalc.count(model).by_component["attention"].total == 2 * 4 * 48 * 48


def test_a_kind_of_layer_that_has_no_mask_is_counted_and_cannot_run() -> None:
    config = LLAMA | {"model_type": "qwen2", "num_key_value_heads": 7, "layer_types": ["full_attention", "linear_attention"]}
    model = paramcalc.load(config | {"architectures": ["Qwen2ForCausalLM"]})
    assert model.inconsistent == ["layer_types names linear_attention, for which there is no attention mask"]


@pytest.mark.parametrize(
    ("changed", "total", "norms"),
    [
        ({"num_attention_heads": 6, "num_key_value_heads": 3}, 79_612, (64, 30)),
        ({"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 16}, 105_728, (64, 32)),
        ({"num_attention_heads": 8, "num_key_value_heads": 4}, 81_152, (64, 32)),
    ],
    ids=["a rest", "a head_dim of its own", "one that could run"],
)
def test_olmoes_norms_are_made_for_heads_of_an_even_part_of_the_width(changed: dict[str, Any], total: int, norms: tuple[int, int]) -> None:
    """Totals as transformers 5.23 builds them, on the meta device; the heads' own size is another in the first two."""
    config = {"model_type": "olmoe", "architectures": ["OlmoeForCausalLM"], "vocab_size": 50, "hidden_size": 64, "intermediate_size": 32}
    counts = paramcalc.count(config | {"num_hidden_layers": 2, "num_experts": 4, "num_experts_per_tok": 2} | changed)
    assert counts.total == total
    assert [row.shape for row in counts.rows if row.name.endswith(("q_norm.weight", "k_norm.weight"))] == [(norm,) for norm in norms]
