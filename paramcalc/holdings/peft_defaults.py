"""What PEFT 0.21 chooses by itself, by model type: facts of its `utils/constants.py` and `utils/transformers_weight_conversion.py`."""

from __future__ import annotations

from paramcalc.words.errors import UsageError

LORA = {
    "phi": "q_proj,v_proj,fc1,fc2",
    "nemotron_h": "q_proj,k_proj,v_proj,o_proj",
    "rwkv": "key,value,receptance,output",
}
"""Where PEFT's default for LoRA is not the query and value projection (or the matrix that holds them), as Hu et al. 2021, §4.2 chose."""

IA3 = {
    "bart": ("q_proj,v_proj,fc2", "fc2"),
    "bert": ("key,value,output.dense", "output.dense"),
    "bloom": ("query_key_value,mlp.dense_4h_to_h", "mlp.dense_4h_to_h"),
    "deberta": ("in_proj,output.dense", "output.dense"),
    "deberta-v2": ("key_proj,value_proj,output.dense", "output.dense"),
    "falcon": ("query_key_value,dense_4h_to_h", "dense_4h_to_h"),
    "gemma": ("q_proj,v_proj,down_proj", "down_proj"),
    "gemma2": ("q_proj,v_proj,down_proj", "down_proj"),
    "gemma3_text": ("q_proj,v_proj,down_proj", "down_proj"),
    "gpt2": ("c_attn,mlp.c_proj", "mlp.c_proj"),
    "gpt_bigcode": ("c_attn,mlp.c_proj", "mlp.c_proj"),
    "gpt_neo": ("q_proj,v_proj,c_proj", "c_proj"),
    "gpt_neox": ("query_key_value,dense_4h_to_h", "dense_4h_to_h"),
    "gptj": ("q_proj,v_proj,fc_out", "fc_out"),
    "llama": ("k_proj,v_proj,down_proj", "down_proj"),
    "llama4": ("q_proj,v_proj,down_proj", "down_proj"),
    "mistral": ("k_proj,v_proj,down_proj", "down_proj"),
    "mixtral": ("k_proj,v_proj,w2", "w2"),
    "mt5": ("k,v,wi_1", ""),
    "opt": ("q_proj,k_proj,fc2", "fc2"),
    "phi": ("q_proj,v_proj,fc2", "fc2"),
    "qwen2": ("q_proj,v_proj,down_proj", "down_proj"),
    "qwen3": ("q_proj,v_proj,down_proj", "down_proj"),
    "roberta": ("key,value,output.dense", "output.dense"),
    "t5": ("k,v,wo", "wo"),
}
"""Modules that IA3 scales, and which of them by their input (feed-forward modules) instead of their output."""

WIDTH_PREFIX = frozenset(["dbrx", "falcon", "gpt_bigcode", "longt5", "mpt", "mt5", "pop2piano", "switch_transformers", "t5", "umt5"])
"""Types whose config names no `num_key_value_heads` though a key is not as wide as the stream: a prefix then has the stream's width."""

MAMBA = frozenset(["falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"])
NOT_ON_MAMBA = frozenset({"conv1d", "out_proj"})
"""Modules that PEFT refuses to adapt in these types: their kernel reads the weight itself."""

_GATED = {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj", "down_proj": "down_proj", "gate": "gate.weight"}
_NUMBERED = {"w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj", "gate": "gate.weight"}
_NUMBERED_TYPES = frozenset(["minimax", "minimax_m2", "mixtral"])
_GATED_TYPES = frozenset(
    [
        "afmoe",
        "beam",
        "cohere2_moe",
        "deepseek_v2",
        "deepseek_v3",
        "deepseek_v32",
        "dots1",
        "ernie4_5_moe",
        "exaone_moe",
        "flex_olmo",
        "glm4_moe",
        "glm4_moe_lite",
        "glm4v_moe",
        "glm_moe_dsa",
        "hunyuan_v1_moe",
        "longcat_flash",
        "mellum",
        "olmoe",
        "qwen3_moe",
        "qwen3_next",
        "qwen3_omni_moe",
        "qwen3_omni_moe_text",
        "qwen3_omni_moe_thinker",
        "solar_open",
    ]
)


def expert_names(model_type: str | None) -> dict[str, str]:
    """Old name of an expert's matrix (one linear layer each) to the name of the parameter that stacks them today.

    For these types PEFT adapts the stack in its place, the router with it; elsewhere stacked experts are not adapted.
    """
    if model_type in _NUMBERED_TYPES:
        return _NUMBERED
    return _GATED if model_type in _GATED_TYPES else {}


def stacked_targets(model_type: str | None, names: list[str]) -> tuple[list[str], list[str], frozenset[str]]:
    """Names split into those of modules, those of stacked parameters, and the stacks that hold two old matrices.

    A stack that holds two gets twice the rank. PEFT refuses one of the two without the other.
    """
    mapping = expert_names(model_type)
    plain, parameters, used = [], [], set()
    for name in names:
        old = next((key for key in mapping if name == key or name.endswith(f".{key}")), None)
        if old is None:
            plain.append(name)
        else:
            used.add(old)
            if mapping[old] not in parameters:
                parameters.append(mapping[old])
    both = {old for old, new in mapping.items() if new == "gate_up_proj"}
    if used & both and used & both != both:
        missing = ", ".join(sorted(both - used))
        raise UsageError(
            f"{', '.join(sorted(used & both))} cannot be adapted alone: it is stored in one matrix with {missing}",
            place="lora_targets",
            hint=f"add {missing}",
        )
    return plain, parameters, frozenset({"gate_up_proj"} if used & both else ())
