"""`paramcalc infer` and `paramcalc memory` as people and scripts see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run
from test_house import loaded_by, loaded_by_command

import paramcalc
from paramcalc.costs.inference.job import OPTIONS

KEYS = {"schema", "model", "inputs", "devices", "per_device", "sum", "not_modelled", "warnings"}


def test_infer_answers_as_the_contract_says(gpt3: Path, run: Run) -> None:
    answer = json.loads(run("infer", gpt3, "--dtype", "bf16", "--context", "2048", "--format", "json").stdout)
    assert set(answer) == KEYS
    keys = list(answer)
    assert (keys[0], keys[-1]) == ("schema", "warnings")
    assert answer["schema"] == "paramcalc/infer/1"
    device = answer["per_device"]
    terms = {term["name"]: term for term in device["terms"]}
    assert list(terms) == ["weights", "kv_cache", "activations", "overhead"]
    assert sum(term["bytes"] for term in device["terms"]) == device["total"] == answer["sum"]
    assert device["low"] <= device["total"] <= device["high"]
    assert terms["weights"]["bytes"] == 2 * 174_604_259_328
    assert terms["kv_cache"]["bytes"] == terms["kv_cache"]["reserved"] == terms["kv_cache"]["ideal"] == 9 * 2**30
    assert {term["basis"] for term in device["terms"]} == {"exact", "model", "measured"}
    assert all(term["source"] for term in device["terms"])
    assert {given["from"] for given in answer["inputs"]} <= {"given", "read", "default"}


def test_bytes_over_all_devices_stand_beside_those_of_one(gpt3: Path, run: Run) -> None:
    answer = json.loads(run("infer", gpt3, "--engine", "vllm", "--tp", "8", "--format", "json").stdout)
    assert answer["devices"] == 8
    assert answer["sum"] == 8 * answer["per_device"]["total"]


def test_every_field_of_a_job_is_an_option_of_the_command(run: Run) -> None:
    text = run("infer", "--help").stdout
    for field in OPTIONS:
        assert f"--{field.replace('_', '-')}" in text


def test_a_wrong_option_exits_with_2_and_a_line(gpt3: Path, run: Run) -> None:
    done = run("infer", gpt3, "--batch-size", "0")
    assert done.returncode == 2
    assert done.stderr == "error: batch_size: expected a whole number of at least 1, got 0\n"
    refused = run("infer", gpt3, "--group-size", "100", "--quant", "gptq", "--format", "json")
    assert json.loads(refused.stdout)["error"]["exit_code"] == 2


@pytest.mark.parametrize("command", ["infer", "memory"])
def test_a_screen_is_80_columns_and_starts_with_the_answer(command: str, gpt3: Path, run: Run) -> None:
    out = run(command, gpt3).stdout
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith("GPT-3 175B · 33")
    assert "to run" in out.splitlines()[0]
    assert "\x1b" not in out


@pytest.mark.parametrize("model", ["llama-3-8b", "deepseek-v3", "bert-base", "jamba", "gpt-oss-120b", "whisper-large-v3", "gpt-4"])
def test_the_overview_fits_one_screen_for_any_model(model: str, run: Run) -> None:
    out = run("memory", model).stdout.splitlines()
    assert max(map(len, out)) <= 80
    assert len(out) <= 40


def test_the_overview_has_the_four_formats_and_what_they_need(gpt3: Path, run: Run) -> None:
    answer = json.loads(run("memory", gpt3, "--format", "json").stdout)
    assert answer["schema"] == "paramcalc/memory/1"
    lines = {line["format"]: line for line in answer["formats"]}
    assert list(lines) == ["fp32", "bf16", "int8", "int4"]
    sizes = {name: line["inference"] for name, line in lines.items()}
    assert [sizes[name]["weights"] for name in ("fp32", "bf16")] == [4 * 174_604_259_328, 2 * 174_604_259_328]
    # linear layers: 12 d² a layer; one bf16 scale a row: 3 d + d + 4 d + d rows; the rest, and biases, in bf16
    d, layers = 12288, 96
    matrices, rows = 12 * d * d * layers, 9 * d * layers
    rest = 2 * (174_604_259_328 - matrices)
    assert sizes["int8"]["weights"] == matrices + 2 * rows + rest
    assert sizes["int4"]["weights"] == matrices // 2 + 2 * rows + rest
    assert sizes["int4"]["scales"] == 2 * rows
    assert sizes["bf16"]["kv_cache"] == 9 * 2**30
    assert sizes["fp32"]["total"] > sizes["bf16"]["total"] > sizes["int8"]["total"] > sizes["int4"]["total"]
    assert all(line["gpus"]["count"] >= 1 for line in sizes.values())
    assert lines["int4"]["training"]["full"]["total"] is None
    assert "integers" in lines["int4"]["training"]["full"]["why"]
    assert (
        lines["int4"]["training"]["qlora"]["total"]
        < lines["bf16"]["training"]["lora"]["total"]
        < lines["bf16"]["training"]["full"]["total"]
    )


def test_the_overview_and_the_detail_agree(gpt3: Path, run: Run) -> None:
    answer = json.loads(run("memory", gpt3, "--format", "json").stdout)
    detail = json.loads(run("infer", gpt3, "--quant", "int8", "--dtype", "bf16", "--format", "json").stdout)
    assert answer["formats"][2]["inference"]["total"] == detail["per_device"]["total"]


def test_a_published_format_has_a_row_of_its_own(tmp_path: Path, run: Run) -> None:
    from inference import TINY

    path = tmp_path / "config.json"
    path.write_text(json.dumps({**TINY, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 16}}))
    answer = json.loads(run("memory", path, "--format", "json").stdout)
    assert [line["format"] for line in answer["formats"]][-1] == "as published"
    assert answer["formats"][-1]["inference"]["scales"] > 0


def test_a_reported_model_s_overview_is_a_range_of_weights(run: Run) -> None:
    answer = json.loads(run("memory", "gpt-4", "--format", "json").stdout)
    bf16 = answer["formats"][1]["inference"]
    assert (bf16["low"], bf16["high"]) == (3_520_000_000_000, 3_600_000_000_000)
    assert bf16["gpus"] is None
    assert answer["formats"][1]["training"] == {}


def test_the_same_from_python() -> None:
    found = paramcalc.infer("gpt3", dtype="bf16", context=1024)
    assert found.to_dict()["per_device"]["total"] == found.total
    with pytest.raises(paramcalc.UsageError, match="unknown option"):
        paramcalc.infer("gpt3", contxt=1024)


def test_infer_loads_neither_training_nor_rich_nor_devices(gpt3: Path) -> None:
    loaded = loaded_by_command("infer", str(gpt3), "--format", "json")
    assert "rich" not in loaded
    unwanted = ("paramcalc.costs.training", "paramcalc.costs.devices", "paramcalc.costs.inference.engines.vllm", "paramcalc.costs.overview")
    assert not [module for module in loaded if module.startswith(unwanted)]


def test_importing_the_plan_loads_no_engine() -> None:
    loaded = loaded_by("import paramcalc.costs.inference")
    assert not [module for module in loaded if module.startswith("paramcalc.costs.inference.engines.")]


@pytest.mark.parametrize("model", ["llama-3-8b", "gemma-3-27b", "deepseek-v3", "jamba", "whisper-large-v3"])
def test_an_explained_cache_is_the_cache_that_is_needed(model: str, run: Run) -> None:
    plan = paramcalc.infer(model, engine="ideal", context=3000, batch_size=2)
    for name in ("kv_cache", "state_cache"):
        term = plan.term(name)
        answer = json.loads(run("explain", model, name, "--context", "3000", "--batch-size", "2", "-f", "json").stdout)
        assert answer["total"] == (term.bytes if term else 0)
        lines = [line for part in answer["parts"] for line in part["lines"]]
        assert sum(line["total"] for line in lines) == answer["total"]
        for line in lines:
            numbers = line["numbers"].replace(",", "").replace(" bytes", "").replace("×", "*")
            assert eval(numbers) * line["copies"] == line["total"]


def test_csv_has_each_figure_once_and_no_bars(run: Run) -> None:
    first, *rows = run("infer", "llama-3-8b", "--context", "1024", "-f", "csv").stdout.splitlines()
    assert first == "term,bytes,share,basis,note"
    assert rows[0] == "weights,16060522496," + rows[0].split(",", 2)[2]
    assert len({row.split(",")[0] for row in rows}) == len(rows)


@pytest.mark.parametrize("command", ["infer", "train"])
def test_an_option_given_with_the_default_s_value_is_shown_as_given(command: str, gpt3: Path, run: Run) -> None:
    origins = []
    for options in ([], ["--batch-size", "1"]):
        answer = json.loads(run(command, gpt3, *options, "--format", "json").stdout)
        origins.append(next(each["from"] for each in answer["inputs"] if each["name"] == "batch_size"))
    assert origins == ["default", "given"]


def test_a_prompt_that_nobody_gave_is_a_default_of_the_one_screen(run: Run) -> None:
    answer = json.loads(run("memory", "llama-3-8b", "--format", "json").stdout)
    assert {"name": "prompt", "value": 2048, "from": "default"} in answer["inputs"]
