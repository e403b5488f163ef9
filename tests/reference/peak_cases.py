"""Small models and the options of `paramcalc train` under which their training is recorded."""

from __future__ import annotations

from typing import Any, NamedTuple

Options = dict[str, Any]


class Model(NamedTuple):
    name: str
    config: dict[str, Any]


def text(name: str, architecture: str, **more: Any) -> Model:
    return Model(name, {"model_type": name, "architectures": [architecture], **TEXT, **more})


TEXT: dict[str, Any] = {
    "vocab_size": 499,
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "intermediate_size": 136,
    "max_position_embeddings": 80,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA = text("llama", "LlamaForCausalLM")
QWEN2 = text("qwen2", "Qwen2ForCausalLM")
GEMMA2 = text("gemma2", "Gemma2ForCausalLM", head_dim=16, sliding_window=24)
MIXTRAL = text("mixtral", "MixtralForCausalLM", num_local_experts=6, num_experts_per_tok=2)
GPT2 = Model(
    "gpt2",
    {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": 96,
        "n_layer": 3,
        "n_head": 6,
        "n_positions": 80,
        "vocab_size": 499,
        "resid_pdrop": 0.1,
        "embd_pdrop": 0.1,
        "attn_pdrop": 0.1,
    },
)
BERT = Model(
    "bert",
    {key: value for key, value in TEXT.items() if key not in ("num_key_value_heads", "bos_token_id", "eos_token_id")}
    | {"model_type": "bert", "architectures": ["BertForMaskedLM"], "pad_token_id": 0},
)
T5 = Model(
    "t5",
    {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "decoder_start_token_id": 0,
        "vocab_size": 499,
        "d_model": 96,
        "d_kv": 16,
        "d_ff": 136,
        "num_layers": 3,
        "num_heads": 6,
        "feed_forward_proj": "relu",
    },
)


def crossed(model: Model, methods: list[Options], settings: list[Options]) -> tuple[Model, list[Options]]:
    """Every method under every setting."""
    base: Options = {"batch_size": 2, "seq_len": 40}
    if model.name == "gemma2":
        base["attention"] = "eager"
    return model, [base | setting | method for method in methods for setting in settings]


SETTINGS: list[Options] = [{}, {"checkpointing": "full"}, {"precision": "fp32"}, {"autocast": True}]
HALF: list[Options] = [{}, {"checkpointing": "full"}]
LOW = {"adapter_dtype": "bf16"}
DROPPED = {"lora_dropout": 0.1}


def methods(lora: str, **more: str) -> list[Options]:
    """Every method on a model; `lora` names what LoRA is put on."""
    dora = {"method": "dora", "lora_targets": lora}
    found: list[Options] = [
        {"method": "lora", "lora_targets": lora},
        {"method": "lora", "lora_targets": lora} | LOW,
        {"method": "lora", "lora_targets": lora} | DROPPED,
        dora,
        dora | LOW,
        dora | DROPPED,
        {"method": "rslora", "lora_targets": lora},
        {"method": "ia3"},
        {"method": "ia3"} | LOW,
        {"method": "prompt"},
        {"method": "prefix"},
        {"method": "bitfit"},
        {"method": "last-n", "last_n": 2},
        {"method": "adapter"},
        {"method": "adapter"} | LOW,
    ]
    return [method for method in found if method["method"] not in more.get("without", "").split()]


ON_TABLE: list[Options] = [
    {"method": "lora", "lora_targets": "embed_tokens"},
    {"method": "lora", "lora_targets": "q_proj,lm_head"},
    {"method": "lora", "lora_targets": "embed_tokens,lm_head"} | LOW,
    {"method": "lora", "lora_targets": "q_proj,lm_head"} | DROPPED,
]
OPTIMIZERS = ("adafactor", "adamw", "adamw-8bit", "adamw-forloop", "adamw-fused", "adamw-paged-8bit", "lion", "muon", "sgd", "sgd-momentum")
STEPPED: list[Options] = [{"optimizer": name} for name in OPTIMIZERS]
AROUND: list[Options] = [
    {"grad_accum": 2},
    {"grad_accum": 2, "optimizer": "sgd"},
    {"grad_accum": 2, "checkpointing": "full"},
    {"clip": True},
    {"clip": True, "optimizer": "sgd"},
    {"ema": True},
    {"ema": True, "optimizer": "sgd"},
    {"precision": "fp16-mixed"},
    {"precision": "fp16-mixed", "clip": True},
    {"precision": "bf16-mixed"},
]
LORA = {"method": "lora", "lora_targets": "all-linear"}
TIED = Model("llama tied", LLAMA.config | {"tie_word_embeddings": True})
WIDE = Model("llama wide", LLAMA.config | {"vocab_size": 97, "intermediate_size": 560})
BIG_HEAD = Model("llama big head", LLAMA.config | {"vocab_size": 2003})
SPARED: list[Options] = [{"loss": "chunked", "optimizer": "sgd"}, {"loss": "fused", "optimizer": "sgd"}]
LORA_QV = {"method": "lora", "lora_targets": "q_proj,v_proj", "adapter_dtype": "bf16"}
SETS: dict[str, list[tuple[Model, list[Options]]]] = {
    "methods": [
        crossed(LLAMA, [*methods("all-linear", without="bitfit"), *ON_TABLE], SETTINGS),
        crossed(QWEN2, methods("q_proj,v_proj", without=""), HALF),
        crossed(GEMMA2, methods("q_proj,down_proj", without="bitfit"), HALF),
        crossed(GPT2, methods("c_attn,c_proj"), SETTINGS),
        crossed(BERT, methods("query,value", without="adapter prompt prefix"), SETTINGS),
        crossed(T5, methods("q,v,wo", without="bitfit adapter"), SETTINGS),
        crossed(MIXTRAL, [*methods("q_proj,v_proj", without="bitfit"), {"method": "lora", "lora_targets": "w1,w2,w3"}], HALF),
    ],
    "steps": [
        crossed(LLAMA, [*STEPPED, *(row | LORA for row in STEPPED)], [{}, {"precision": "fp32"}]),
        crossed(TIED, STEPPED, [{}]),
        crossed(WIDE, STEPPED, [{}]),
        crossed(GPT2, STEPPED, [{}]),
        crossed(MIXTRAL, STEPPED, [{}]),
    ],
    "around": [crossed(LLAMA, [*AROUND, LORA | {"grad_accum": 2}, LORA | {"clip": True}, LORA | {"ema": True}], [{}])],
    "losses": [
        crossed(
            BIG_HEAD, [row | more for row in SPARED for more in ({}, LORA_QV)], [{}, {"precision": "fp32"}, {"precision": "bf16-mixed"}]
        )
    ],
}
