"""Which families' activations were compared with the reference, and how near they came.

Small models of each type (transformers 5.23, torch 2.13, CPU, fp32, plain attention, no dropout) with every tensor that
autograd keeps added up; `tests/golden/training/families.jsonl` holds the results. Many of them also in bf16, under autocast,
with other attention, checkpointing and LoRA on a simulated CUDA device: `tests/golden/activations_recorded.jsonl`.
"""

from __future__ import annotations

from paramcalc.words.errors import UsageError


def _types(text: str) -> frozenset[str]:
    return frozenset(text.split())


IMAGES = _types("beit clip convnext convnextv2 deit dinov2 dinov2_with_registers mobilenet_v2 resnet segformer siglip swin swinv2 vit")
"""Those that see images, equal to the byte at sizes that their patches divide and that they do not."""

PICTURES = _types("gemma3 internvl llava paligemma")
"""Those that read text with images in it, equal to the byte with both and with text alone."""

SOUND = _types("data2vec-audio hubert unispeech unispeech-sat wav2vec2")
"""Those that hear sound of any length."""

RECURRENT = _types("bamba falcon_h1 falcon_mamba granitemoehybrid jamba lfm2_moe lfm3 mamba mamba2 nemotron_h recurrent_gemma rwkv")
"""Those whose layers carry a state, as transformers computes them where no kernels are installed beside it."""

TEXTS = _types(
    """apertus aria_text big_bird biogpt blenderbot-small cohere_compass_text dbrx diffllama esm falcon fnet gemma4_text
    gemma4_unified_text granite_swa granitemoe_swa gte jetmoe jina_embeddings_v3 layoutlm llama4_text luke m2m_100 ministral3
    modernbert-decoder mvp nanochat nomic_bert openai-gpt roc_bert tapas ultrabert xglm"""
)
"""Those of text whose layers compute more than their parameters show."""

LINEAR = _types("bailing_hybrid kimi_linear minimax olmo_hybrid qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next")
"""Those with linear attention, in the same way."""

LATENT = _types("axk1 axk2 deepseek_v32 glm_moe_dsa youtu")
"""Those with latent attention, some with indexers, which keep nothing."""

EXACT = (
    IMAGES
    | TEXTS
    | RECURRENT
    | LINEAR
    | LATENT
    | SOUND
    | _types(
        """afmoe arcee bart bert bert-generation blenderbot bloom camembert codegen cohere cohere2 ctrl cwm data2vec-text
    deberta deberta-v2 deepseek_v2 deepseek_v3 distilbert dots1 electra ernie ernie4_5 ernie4_5_moe eurobert exaone4 flex_olmo
    gemma gemma2 gemma3 gemma3_text glm glm4 glm4_moe glm4_moe_lite got_ocr2 gpt-sw3 gpt2 gpt_bigcode gpt_neo gpt_neox
    gpt_neox_japanese gpt_oss gptj granite granitemoe granitemoeshared helium hunyuan_v1_dense hunyuan_v1_moe hy_v3 hyperclovax
    idefics3 internlm3 internvl iquestcoder jais2 lfm2 llama llava llava_next llava_onevision marian mbart megatron-bert mellum
    minimax_m2 ministral mistral mixtral mllama modernbert moss_transcribe_diarize mt5 nemotron olmo olmo2 olmo3 olmoe opt
    paligemma pegasus persimmon phi phi3 phimoe plbart qwen2 qwen2_5_vl qwen2_moe qwen2_vl qwen3 qwen3_moe qwen3_vl rembert
    roberta roberta-prelayernorm seed_oss smollm3 smolvlm stablelm starcoder2 t5 umt5 vaultgemma whisper xlm-roberta
    xlm-roberta-xl"""
    )
)
"""Equal to the byte."""

NEAR = _types(
    """albert bigbird_pegasus bitnet cohere2_moe exaone_moe flaubert kolibri1 laguna mimo_v2_flash moshi roformer solar_open trocr
    xlm"""
)
"""Within 1 % in fp32 with plain attention, and within 5 % in other formats, with other attention and with adapters, where those
were compared: tables of positions that are made for each layer, indices, scores of routers."""

OTHER = _types(
    """convbert doge fsmt funnel
    ibert longformer mobilebert mra
    neomme nystromformer pegasus_x prophetnet wavlm yoso zamba zamba2"""
)
"""More than 1 % off: their layers compute more than their parameters show."""


ASSUMED = {
    "minimax_m3_vl_text": "activations of layers whose attention an indexer steers are those of full attention without it",
    "switch_transformers": "activations assume that no token is dropped for want of an expert's capacity",
}
"""What the figures of a type take for granted; equal to the byte where it is so."""


def refuse_unknown(model_type: str | None) -> None:
    """Raise UsageError for a type whose layers do what this accounting does not see."""
    if model_type in OTHER:
        raise UsageError(
            f"the activations of {model_type} are not known: its layers compute more than their parameters show",
            place="model",
            hint="count and infer know this architecture; train does not yet",
        )


def about(model_type: str | None) -> str:
    """A warning for a type that was never compared, or is not equal; nothing for one that is."""
    if model_type in ASSUMED:
        return ASSUMED[model_type]
    if model_type in EXACT:
        return ""
    if model_type in NEAR:
        return f"the activations of {model_type} came within 5 % of the reference, not to the byte"
    return f"the activations of {model_type or 'this architecture'} follow from its parts and were not compared with the reference"
