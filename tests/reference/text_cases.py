"""Text models whose layers compute more than their parameters show: the tiny configs of `golden/families`, at sizes that run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from activation_cases import FULL, HALF, Case, Setting

GOLDEN = Path(__file__).parents[1] / "golden" / "families"
ALL = (*FULL, Setting(lora="all-linear", adapter_dtype="fp32"), Setting("bf16-mixed", lora="all-linear", checkpointing="full"))
EAGER = tuple(ALL[number]._replace(attention="eager") for number in (0, 2, 4, 6, 7, 8, 9, 10))
"""For classes that have no other attention."""
MIXTURE = (*HALF, Setting(lora="all-linear", adapter_dtype="fp32"))

MIXTURE_EAGER = tuple(setting for setting in MIXTURE if setting.attention == "eager") + tuple(
    setting._replace(attention="eager") for setting in (*HALF[2:], MIXTURE[-1])
)
REAL = (
    Setting("fp32", "eager"),
    Setting("fp32", "eager", batch=1, length=16),
    Setting("fp32", "eager", checkpointing="full"),
)
"""On the CPU, whose norms keep their statistics in the format of their input: in fp32 alone as CUDA's do."""
LLAMA4 = (*HALF, Setting("fp32"), Setting("bf16-mixed"), Setting(lora="q_proj,v_proj", adapter_dtype="fp32"))
DBRX = (
    {"kv_n_heads": 3, "clip_qkv": 8.0, "rope_theta": 10000.0},
    {"ffn_hidden_size": 40, "moe_num_experts": 6, "moe_top_k": 2, "hidden_size": 48},
)
CAST = ("deberta",)
"""Types that make some parameters in fp32 whatever they are asked for, and run in the format that their weights are loaded in."""


def tiny(model_type: str, name: str = "", settings: tuple[Setting, ...] = ALL, task: str = "", real: bool = False, **changes: Any) -> Case:
    """The recorded tiny model of a type with some sizes changed; those that are None are left out."""
    tasks = json.loads((GOLDEN / f"{model_type}.json").read_text())["tasks"]
    model = tasks[task or next(iter(tasks))]["tiny"]
    config = {key: value for key, value in model["config"].items() if key not in ("architectures", "model_type", "transformers_version")}
    if real:
        config |= {key: 0.0 for key in config if "drop" in key and isinstance(config[key], float)}
    config = {key: value for key, value in {**config, **changes}.items() if value != "absent"}
    return Case(
        f"{model_type} {name}".strip(), model_type, model["architecture"], config, settings=settings, cast=model_type in CAST, real=real
    )


DISENTANGLED = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
V3 = {**DISENTANGLED, "position_buckets": 7, "norm_rel_ebd": "layer_norm", "share_att_key": True}
FEW_EAGER = (EAGER[0], EAGER[2], EAGER[-2])
ONE_LORA = (Setting(), Setting("fp32"), Setting("bf16-mixed"), ALL[-2])
T5 = {"vocab_size": 97, "d_model": 48, "d_kv": 8, "d_ff": 56, "num_layers": 2, "num_heads": 6}
CASES = [
    Case("t5 encoder", "t5", "T5EncoderModel", T5, "encoder", ALL),
    tiny("deberta", "", EAGER),
    tiny("deberta", "relative", EAGER, **DISENTANGLED),
    tiny("deberta", "talking heads", FEW_EAGER, **DISENTANGLED, talking_head=True),
    tiny("deberta-v2", "", EAGER),
    tiny("deberta-v2", "relative", EAGER, **DISENTANGLED),
    tiny("deberta-v2", "v3", EAGER, **V3),
    tiny("deberta-v2", "xlarge", FEW_EAGER, **V3, conv_kernel_size=3),
    tiny(
        "llama4_text",
        "",
        LLAMA4,
        head_dim=8,
        intermediate_size_mlp=56,
        attention_chunk_size=8,
        interleave_moe_layer_step=2,
        moe_layers=[1, 3],
    ),
    tiny("llama4_text", "whole chunks", LLAMA4, head_dim=8, intermediate_size_mlp=56),
    tiny("llama4_text", "without norms", LLAMA4[:1], head_dim=8, use_qk_norm=False, attn_temperature_tuning=False),
    tiny("gemma4_text", head_dim=16, per_layer_config={"1": {"head_dim": 32}}),
    tiny(
        "gemma4_text",
        "shared",
        head_dim=16,
        per_layer_config={"1": {"head_dim": 32}, "3": {"head_dim": 32}},
        num_hidden_layers=4,
        layer_types=["sliding_attention", "full_attention"] * 2,
        num_kv_shared_layers=2,
        sliding_window=8,
        final_logit_softcapping=30.0,
        use_double_wide_mlp=True,
    ),
    tiny(
        "gemma4_text",
        "experts",
        MIXTURE,
        head_dim=16,
        per_layer_config={"1": {"head_dim": 32, "num_key_value_heads": 3}},
        attention_k_eq_v=True,
        num_global_key_value_heads=3,
        enable_moe_block=True,
        hidden_size_per_layer_input=0,
        num_experts=6,
        top_k_experts=2,
        moe_intermediate_size=40,
    ),
    tiny(
        "switch_transformers",
        "",
        REAL,
        real=True,
        d_kv=8,
        num_layers=2,
        num_decoder_layers=2,
        num_sparse_encoder_layers=1,
        num_sparse_decoder_layers=1,
        decoder_start_token_id=0,
    ),
    tiny(
        "nllb-moe",
        "",
        REAL,
        real=True,
        encoder_layers=2,
        decoder_layers=2,
        encoder_sparse_step=2,
        decoder_sparse_step=2,
    ),
    tiny("dbrx", "", REAL, real=True, attn_config=DBRX[0], ffn_config=DBRX[1]),
    tiny("jetmoe", "", REAL, real=True, kv_channels=8),
    tiny("esm"),
    tiny("esm", "rotary", position_embedding_type="rotary", token_dropout=True, mask_token_id=3, emb_layer_norm_before=False),
    tiny("longformer", "", REAL, real=True, attention_window=8, max_position_embeddings=64),
    tiny("layoutlm"),
    tiny("apertus"),
    tiny("modernbert-decoder"),
    tiny("modernbert-decoder", "window", ONE_LORA, sliding_window=8, local_attention=16),
    tiny("roc_bert"),
    tiny("roc_bert", "causal", ONE_LORA, "causal_lm", is_decoder=True),
    tiny("luke", "", EAGER),
    tiny("big_bird", "", EAGER),
    tiny("big_bird", "full", FEW_EAGER, attention_type="original_full", is_decoder=True),
    tiny("mobilebert", num_attention_heads=3),
    tiny("convbert", "", EAGER),
    tiny("fnet", "", EAGER),
    tiny("funnel", "", EAGER),
    tiny("squeezebert", "", tuple(setting for setting in EAGER if not setting.checkpointing)),
    tiny("diffllama", head_dim=8),
    tiny("doge", head_dim=8),
    tiny("doge", "experts", ONE_LORA, head_dim=8, is_moe=True, num_experts=9),
    tiny("nystromformer", "", EAGER, num_landmarks=4, segment_means_seq_len=12),
    tiny("nystromformer", "as long as its landmarks", FEW_EAGER, num_landmarks=12, segment_means_seq_len=12),
    tiny("prophetnet", "", REAL, real=True, task="seq2seq"),
    tiny("prophetnet", "decoder", REAL, "causal_lm", real=True),
    tiny("xglm", "", EAGER),
    tiny("pegasus_x", "", EAGER, block_size=4, num_global_tokens=5),
    tiny("tapas", "", EAGER),
    tiny("xlnet", "", REAL, real=True),
    tiny("nanochat"),
    tiny("aria_text", "", MIXTURE, head_dim=8, intermediate_size=56),
    tiny("granite_swa", "", EAGER),
    tiny("granite_swa", "window", FEW_EAGER, sliding_window=8, layer_rope_theta=[10000.0, 0.0]),
    tiny("granitemoe_swa", "", MIXTURE_EAGER, shared_intermediate_size=24, intermediate_size=56),
    tiny("minimax_m3_vl_text", "", MIXTURE, head_dim=8, index_head_dim=8, intermediate_size=56),
    tiny(
        "minimax_m3_vl_text",
        "sparse",
        MIXTURE,
        head_dim=8,
        index_head_dim=8,
        intermediate_size=56,
        layer_types=["full_attention", "minimax_m3_sparse"],
        index_block_size=4,
        index_topk_blocks=2,
    ),
    tiny("gemma4_unified_text", head_dim=16, per_layer_config={"1": {"head_dim": 32}}),
    tiny("fsmt", "", REAL, real=True),
    tiny("ibert", "", REAL, real=True),
    tiny("yoso", "", EAGER),
    tiny("neomme"),
    tiny("ultrabert", head_dim=8),
    tiny("albert"),
    tiny("bitnet"),
    tiny("biogpt"),
    tiny("blenderbot-small"),
    tiny("blenderbot-small", "whole", task="seq2seq"),
    tiny("falcon"),
    tiny("m2m_100"),
    tiny("ministral3", head_dim=8),
    tiny("mvp", "", EAGER),
    tiny("mvp", "whole", EAGER, task="seq2seq"),
    tiny("openai-gpt", "", EAGER),
    tiny("roformer", "", EAGER),
    tiny("cohere_compass_text", head_dim=8),
    tiny("nomic_bert", head_dim=8),
    tiny("gte"),
    tiny("jina_embeddings_v3"),
]
