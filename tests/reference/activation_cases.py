"""Tiny models and the settings under which their kept tensors are recorded."""

from __future__ import annotations

from typing import Any, NamedTuple


class Setting(NamedTuple):
    """The options of `paramcalc train` that a case uses."""

    precision: str = "bf16"
    attention: str = "sdpa"
    checkpointing: str = ""
    batch: int = 2
    length: int = 12
    lora: str = ""
    adapter_dtype: str = ""
    autocast: bool = False
    audio_seconds: float = 0.0
    images: int = 0


class Case(NamedTuple):
    name: str
    model_type: str
    architecture: str
    config: dict[str, Any]
    task: str = "text"
    settings: tuple[Setting, ...] = ()
    image: tuple[int, int] = (0, 0)
    real: bool = False
    """Whether it looks at values, which simulated tensors lack: recorded on the CPU, in plain attention and without dropout."""
    network: Any = None
    """What makes a model that is none of transformers'."""
    cast: bool = False
    """Whether all parameters are brought into one format, as loading a checkpoint does."""


FULL = (
    Setting(),
    Setting(attention="eager"),
    Setting("fp32"),
    Setting("fp32", "eager"),
    Setting("bf16-mixed"),
    Setting("bf16-mixed", "eager"),
    Setting(batch=1, length=16),
    Setting(checkpointing="full"),
    Setting("bf16-mixed", checkpointing="full"),
)
LORA = (
    Setting(lora="q_proj,v_proj"),
    Setting(lora="all-linear", adapter_dtype="fp32"),
    Setting(lora="all-linear", adapter_dtype="fp32", checkpointing="full"),
    Setting("bf16-mixed", lora="all-linear"),
)
# The grouped product of experts takes no fp32.
HALF = (Setting(), Setting(attention="eager"), Setting(batch=1, length=16), Setting(checkpointing="full"))
SPARSE = (*HALF, Setting(lora="q_proj,v_proj"))
TEXT = {
    "vocab_size": 97,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "intermediate_size": 56,
    "max_position_embeddings": 40,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MOE = {**TEXT, "moe_intermediate_size": 40, "num_experts": 6, "num_experts_per_tok": 2}
LOCAL = {**TEXT, "num_local_experts": 6, "num_experts_per_tok": 2}
MLA = {
    **TEXT,
    "num_key_value_heads": 6,
    "moe_intermediate_size": 40,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 2,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 24,
    "q_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
}


def text(name: str, architecture: str, config: dict[str, Any], settings: tuple[Setting, ...] = FULL, **more: Any) -> Case:
    kind = more.pop("model_type", name)
    return Case(name, kind, architecture, {**TEXT, **config}, settings=settings, **more)


def plain(name: str, architecture: str, config: dict[str, Any]) -> Case:
    """Of a family without grouped heads."""
    sizes = {key: value for key, value in {**TEXT, **config}.items() if key != "num_key_value_heads"}
    return Case(name, name, architecture, sizes, settings=FULL)


GPT2 = {"n_embd": 48, "n_layer": 2, "n_head": 6, "n_positions": 40, "vocab_size": 97}
ENCODER = {**TEXT, "pad_token_id": 0}
BART = {
    "vocab_size": 97,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 56,
    "decoder_ffn_dim": 56,
    "max_position_embeddings": 40,
}
CASES = [
    text("llama", "LlamaForCausalLM", {}, (*FULL, *LORA)),
    text("qwen2", "Qwen2ForCausalLM", {}, FULL),
    text("qwen3", "Qwen3ForCausalLM", {"head_dim": 16}, FULL),
    text("mistral window", "MistralForCausalLM", {"sliding_window": 8}, FULL, model_type="mistral"),
    text("gemma", "GemmaForCausalLM", {"head_dim": 16}),
    text("gemma2", "Gemma2ForCausalLM", {"head_dim": 16, "sliding_window": 8}, tuple(s for s in FULL if s.attention == "eager")),
    text(
        "gemma3_text",
        "Gemma3ForCausalLM",
        {"head_dim": 16, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    text("phi3 partial", "Phi3ForCausalLM", {"pad_token_id": 0, "head_dim": 16, "partial_rotary_factor": 0.5}, model_type="phi3"),
    text("phi", "PhiForCausalLM", {"partial_rotary_factor": 0.5}),
    text("phi3", "Phi3ForCausalLM", {"pad_token_id": 0}),
    text("olmo", "OlmoForCausalLM", {}),
    text("olmo2", "Olmo2ForCausalLM", {}),
    text("granite", "GraniteForCausalLM", {}),
    text("cohere", "CohereForCausalLM", {}),
    text("cohere2", "Cohere2ForCausalLM", {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}),
    text("stablelm", "StableLmForCausalLM", {}),
    text("starcoder2", "Starcoder2ForCausalLM", {}),
    text("glm", "GlmForCausalLM", {"head_dim": 16, "num_hidden_layers": 3, "pad_token_id": 0}),
    text("glm4", "Glm4ForCausalLM", {"head_dim": 16, "num_hidden_layers": 3, "pad_token_id": 0}),
    text("olmo3", "Olmo3ForCausalLM", {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}),
    text("seed_oss", "SeedOssForCausalLM", {"head_dim": 16}),
    text("hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", {"head_dim": 8, "pad_token_id": 0}),
    text("arcee", "ArceeForCausalLM", {}),
    plain("persimmon", "PersimmonForCausalLM", {}),
    text("ministral", "MinistralForCausalLM", {"head_dim": 8, "sliding_window": 8}),
    text("smollm3", "SmolLM3ForCausalLM", {"pad_token_id": 0}),
    text("nemotron", "NemotronForCausalLM", {"head_dim": 8}),
    text("helium", "HeliumForCausalLM", {"head_dim": 8}),
    text("exaone4", "Exaone4ForCausalLM", {"sliding_window": 8, "sliding_window_pattern": 2}),
    text("ernie4_5", "Ernie4_5ForCausalLM", {"head_dim": 8}),
    plain("gpt_neox", "GPTNeoXForCausalLM", {}),
    Case("gpt2", "gpt2", "GPT2LMHeadModel", GPT2, settings=FULL),
    Case("gptj", "gptj", "GPTJForCausalLM", {**GPT2, "rotary_dim": 4}, settings=FULL),
    Case("codegen", "codegen", "CodeGenForCausalLM", {**GPT2, "n_head": 4, "rotary_dim": 4}, settings=FULL),
    Case("bloom", "bloom", "BloomForCausalLM", {"vocab_size": 97, "hidden_size": 48, "n_layer": 2, "n_head": 6}, settings=FULL),
    Case("mpt", "mpt", "MptForCausalLM", {"vocab_size": 97, "d_model": 48, "n_layers": 2, "n_heads": 6, "max_seq_len": 40}, settings=FULL),
    Case(
        "falcon",
        "falcon",
        "FalconForCausalLM",
        {"vocab_size": 97, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6},
        settings=FULL,
    ),
    Case("gpt_bigcode", "gpt_bigcode", "GPTBigCodeForCausalLM", GPT2, settings=FULL),
    Case(
        "gpt_neo",
        "gpt_neo",
        "GPTNeoForCausalLM",
        {
            "vocab_size": 97,
            "hidden_size": 48,
            "num_layers": 2,
            "num_heads": 6,
            "intermediate_size": 56,
            "max_position_embeddings": 40,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 8,
        },
        settings=FULL,
    ),
    plain("opt", "OPTForCausalLM", {"ffn_dim": 56, "word_embed_proj_dim": 48}),
    plain("bert", "BertForMaskedLM", {"pad_token_id": 0}),
    plain("roberta", "RobertaForMaskedLM", {"pad_token_id": 1}),
    plain("electra", "ElectraForMaskedLM", {"pad_token_id": 0, "embedding_size": 32}),
    plain("albert", "AlbertForMaskedLM", {"pad_token_id": 0, "embedding_size": 32, "num_hidden_groups": 1}),
    Case(
        "distilbert",
        "distilbert",
        "DistilBertForMaskedLM",
        {"vocab_size": 97, "dim": 48, "n_layers": 2, "n_heads": 6, "hidden_dim": 56, "max_position_embeddings": 40},
        settings=FULL,
    ),
    plain("modernbert", "ModernBertForMaskedLM", {"pad_token_id": 0, "local_attention": 8}),
    Case("bart", "bart", "BartForConditionalGeneration", BART, settings=FULL),
    *(
        Case(name, name, architecture, {**BART, "pad_token_id": 1, "decoder_start_token_id": 2}, settings=FULL)
        for name, architecture in (
            ("mbart", "MBartForConditionalGeneration"),
            ("plbart", "PLBartForConditionalGeneration"),
            ("marian", "MarianMTModel"),
            ("pegasus", "PegasusForConditionalGeneration"),
            ("blenderbot", "BlenderbotForConditionalGeneration"),
            ("m2m_100", "M2M100ForConditionalGeneration"),
        )
    ),
    Case(
        "t5",
        "t5",
        "T5ForConditionalGeneration",
        {"decoder_start_token_id": 0, "vocab_size": 97, "d_model": 48, "d_kv": 8, "d_ff": 56, "num_layers": 2, "num_heads": 6},
        settings=FULL,
    ),
    text("mixtral", "MixtralForCausalLM", {"num_local_experts": 6, "num_experts_per_tok": 2}, SPARSE),
    text("qwen2_moe", "Qwen2MoeForCausalLM", {**MOE, "shared_expert_intermediate_size": 24}, SPARSE),
    text("qwen3_moe", "Qwen3MoeForCausalLM", {**MOE, "head_dim": 16}, SPARSE),
    text("olmoe", "OlmoeForCausalLM", MOE, SPARSE),
    text("gpt_oss", "GptOssForCausalLM", {**LOCAL, "head_dim": 16, "sliding_window": 8}, SPARSE),
    text("phimoe", "PhimoeForCausalLM", LOCAL, SPARSE),
    text(
        "hunyuan_v1_moe",
        "HunYuanMoEV1ForCausalLM",
        {**MOE, "moe_topk": 2, "num_shared_expert": 1, "head_dim": 8, "pad_token_id": 0},
        SPARSE,
    ),
    text("glm4_moe_lite", "Glm4MoeLiteForCausalLM", MLA, SPARSE),
    text(
        "qwen3_next",
        "Qwen3NextForCausalLM",
        {**MOE, "shared_expert_intermediate_size": 24, "layer_types": ["full_attention"] * 2, "head_dim": 16},
        SPARSE,
    ),
    text("minimax_m2", "MiniMaxM2ForCausalLM", {**LOCAL, "head_dim": 16, "rotary_dim": 8, "pad_token_id": 0}, SPARSE),
    text("flex_olmo", "FlexOlmoForCausalLM", MOE, SPARSE),
    text("granitemoe", "GraniteMoeForCausalLM", LOCAL, SPARSE),
    text("granitemoeshared", "GraniteMoeSharedForCausalLM", {**LOCAL, "shared_intermediate_size": 24}, SPARSE),
    text("deepseek_v2", "DeepseekV2ForCausalLM", {**MLA, "topk_method": "greedy"}, SPARSE),
    text("deepseek_v3", "DeepseekV3ForCausalLM", MLA, SPARSE),
    text("deepseek_v3 dense", "DeepseekV3ForCausalLM", {**MLA, "first_k_dense_replace": 2}, FULL, model_type="deepseek_v3"),
    text("deepseek_v3 plain queries", "DeepseekV3ForCausalLM", {**MLA, "q_lora_rank": None}, HALF, model_type="deepseek_v3"),
    text("glm4_moe", "Glm4MoeForCausalLM", {**MLA, "head_dim": 8, "num_key_value_heads": 3}, SPARSE),
    text("dots1", "Dots1ForCausalLM", {**MLA, "head_dim": 8, "num_key_value_heads": 3}, SPARSE),
    text(
        "ernie4_5_moe",
        "Ernie4_5_MoeForCausalLM",
        {**TEXT, "moe_intermediate_size": 40, "moe_num_experts": 6, "moe_k": 2, "moe_num_shared_experts": 2},
        SPARSE,
    ),
    text("llama4_text", "Llama4ForCausalLM", {**LOCAL, "intermediate_size_mlp": 56, "head_dim": 8}, SPARSE),
    Case(
        "dbrx",
        "dbrx",
        "DbrxForCausalLM",
        {
            "vocab_size": 97,
            "d_model": 48,
            "n_heads": 6,
            "n_layers": 2,
            "max_seq_len": 40,
            "attn_config": {"kv_n_heads": 3, "clip_qkv": 8.0, "rope_theta": 10000.0},
            "ffn_config": {"ffn_hidden_size": 40, "moe_num_experts": 6, "moe_top_k": 2, "hidden_size": 48},
        },
        settings=HALF,
    ),
    Case(
        "whisper",
        "whisper",
        "WhisperForConditionalGeneration",
        {
            **BART,
            "num_mel_bins": 10,
            "max_source_positions": 24,
            "max_target_positions": 40,
            "pad_token_id": 1,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
        "speech",
        FULL,
    ),
]
