"""Which module knows a model type. Each module's `FAMILIES` holds the recipe; only the one that is needed is imported."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree
from paramcalc.words.errors import UnknownArchitectureError
from paramcalc.words.nearest import did_you_mean

MODULES: dict[str, str] = {
    "gpt": "gpt2 gpt-sw3 gpt_bigcode gpt_neo imagegpt openai-gpt ctrl decision_transformer",
    "neox": "bloom codegen falcon gpt_neox gpt_neox_japanese gptj mpt",
    "bart": "bart blenderbot blenderbot-small m2m_100 mbart pegasus plbart",
    "paired": "encoder-decoder modernvbert speech-encoder-decoder ultravbert vision-encoder-decoder",
    "t5gemma": "t5gemma t5gemma2",
    "seq2seq_experts": "nllb-moe switch_transformers",
    "bart_kin": "bigbird_pegasus fsmt led marian mvp pegasus_x prophetnet trocr",
    "xlnet": "cpmant flaubert xlm xlnet",
    "modern_encoders": "esmc eurobert gte jina_embeddings_v3 modernbert neomme nomic_bert ultrabert",
    "deberta": "deberta deberta-v2",
    "efficient_encoders": "albert convbert distilbert funnel mobilebert squeezebert",
    "encoders": "esm fnet ibert layoutlm longformer luke mpnet mra nystromformer tapas yoso",
    "bert_kin": "bert-generation big_bird electra rembert roc_bert roformer xmod",
    "bert": "bert camembert data2vec-text ernie megatron-bert roberta roberta-prelayernorm xlm-roberta xlm-roberta-xl",
    "t5": "longt5 mt5 pop2piano t5 umt5",
    "speech": "speech_to_text whisper",
    "granite_speech": "granite_speech granite_speech_encoder granite_speech_plus granite_speech_plus_encoder",
    "perceiver": "perceiver",
    "transcribe": "nemo_speechlm nemotron3_5_transcribe_asr_audio nemotron3_5_transcribe_audio"
    " nemotron3_5_transcribe_word_timestamp nemotron3_diarization nemotron3_diarization_audio",
    "vibevoice": "vibevoice vibevoice_acoustic_tokenizer vibevoice_acoustic_tokenizer_decoder"
    " vibevoice_acoustic_tokenizer_encoder vibevoice_asr",
    "transcribers": "canary cohere_asr moonshine moonshine_streaming moonshine_streaming_encoder",
    "speaking": "qwen2_5_omni qwen3_omni_moe",
    "synthesis": "dia speecht5",
    "fun_asr": "fun_asr_nano fun_asr_nano_encoder",
    "moshi": "kyutai_speech_to_text moshi",
    "codecs": "encodec mimi mimi_decoder mimi_encoder",
    "seamless": "seamless_m4t seamless_m4t_v2",
    "conformer": "granite_speech5_ctc granite_speech5_encoder lasr_ctc lasr_encoder parakeet_ctc parakeet_encoder"
    " parakeet_rnnt parakeet_tdt wav2vec2-bert wav2vec2-conformer",
    "listening": "audioflamingo3 audioflamingo3_encoder glmasr glmasr_encoder musicflamingo qwen2_audio qwen2_audio_encoder"
    " qwen3_asr qwen3_asr_encoder voxtral voxtral_encoder voxtral_realtime voxtral_realtime_encoder voxtral_realtime_text",
    "opt": "biogpt opt xglm",
    "decoders": "apertus bitnet diffllama exaone4 glm glm4 granite_swa hunyuan_v1_dense hyperclovax jais2 nanochat nemotron olmo"
    " olmo2 olmo3 persimmon phi phi3 qwen2 qwen3 seed_oss stablelm starcoder2",
    "experts": "afmoe dots1 exaone_moe flex_olmo flint glm4_moe gpt_oss hy_v3 kolibri1 mellum minimax_m2 mixtral olmoe qwen2_moe "
    "qwen3_moe solar_open",
    "gemma": "gemma gemma2 gemma3_text vaultgemma",
    "latent": "axk1 axk2 deepseek_v2 deepseek_v3 deepseek_v32 glm4_moe_lite glm_moe_dsa hy_v4 minicpm3 mistral4"
    " mistral_large4_text youtu",
    "compressed": "deepseek_v4 dots3_note_text longcat_flash",
    "singular": "doge modernbert-decoder",
    "llama": "arcee cohere cohere2 cohere_compass_text cwm ernie4_5 granite helium internlm3 iquestcoder llama ministral"
    " ministral3 mistral smollm3",
    "hybrid": "bamba falcon_h1 granitemoehybrid jamba nemotron_h",
    "zamba": "zamba zamba2",
    "lfm": "lfm2 lfm2_moe lfm3",
    "linear": "bailing_hybrid kimi_linear minimax olmo_hybrid qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next",
    "qwen4": "qwen4_exp qwen4_exp_text",
    "gemma4": "gemma3n_text gemma4_assistant gemma4_text gemma4_unified_assistant gemma4_unified_text",
    "inkling": "inkling2_text inkling_text",
    "zaya": "hrm_text zaya",
    "blt": "blt",
    "reformer": "reformer",
    "recurrent": "falcon_mamba mamba mamba2 recurrent_gemma rwkv xlstm",
    "vit": "audio-spectrogram-transformer deit dinov2 dinov2_with_registers dinov3_vit ijepa vit vit_mae vit_msn",
    "pyramid": "convnext convnextv2 dinov3_convnext donut-swin maskformer-swin swin swinv2",
    "sparse": "aria_text beam cohere2_moe dbrx ernie4_5_moe granitemoe granitemoe_swa granitemoeshared hunyuan_v1_moe jetmoe "
    "laguna llama4_text mimo_v2_flash minimax_m3_vl_text phimoe",
    "residual": "bit hgnet_v2 regnet textnet",
    "resnet": "resnet",
    "mobile": "efficientnet mobilenet_v1 mobilenet_v2",
    "mobilevit": "cvt levit mobilevit mobilevitv2",
    "focal": "focalnet hiera pp_lcnet",
    "layouts": "bros canine dpr layoutlmv3 lilt lxmert markuplm splinter visual_bert",
    "retrievers": "aimv2 aimv2_text_model aimv2_vision_model embedding_gemma2 embedding_gemma2_text mlcd mlcd_vision_model"
    " muse_glimmer_assistant openai_privacy_filter",
    "series": "autoformer informer patchtst time_series_transformer timesfm timesfm2_5",
    "plain_vit": "mgp-str pixio vitdet",
    "super_resolution": "swin2sr",
    "reduced": "poolformer pvt pvt_v2 segformer swiftformer",
    "clip": "clip clip_text_model clip_vision_model git_vision_model idefics_vision kosmos_2_vision_model metaclip_2"
    " metaclip_2_text_model metaclip_2_vision_model siglip siglip2 siglip2_text_model siglip2_vision_model"
    " siglip_text_model siglip_vision_model vision-text-dual-encoder",
    "beit": "beit data2vec-vision",
    "audio": "data2vec-audio hubert unispeech unispeech-sat wav2vec2 wavlm",
    "image_text": "aria aya_vision cohere2_vision cosmos3_omni deepseek_vl ernie4_5_vl_moe exaone4_5 fast_vlm fuyu gemma3 glm46v"
    " glm4v glm4v_moe glm5_next glm_ocr glmga got_ocr2 hyperclovax_vision_v2 idefics2 idefics3 internvl"
    " kimi_k25 lfm2_vl lighton_ocr llama4 llava llava_next llava_next_video llava_onevision minimax_m3_vl"
    " mistral3 mistral_large4 paddleocr_vl paligemma perception_lm qianfan_ocr qwen2_5_vl qwen2_vl qwen3_vl qwen3_vl_moe"
    " smolvlm video_llama_3 video_llava vipllava",
    "visual": "cohere_compass_vision ernie4_5_vl_moe_vision exaone4_5_vision glm4v_moe_vision glm4v_vision"
    " glm5_next_vision glm_ocr_vision qwen2_5_omni_vision_encoder qwen2_5_vl_vision qwen2_vl_vision"
    " qwen3_5_moe_vision qwen3_5_vision qwen3_omni_moe_vision_encoder qwen3_vl_moe_vision qwen3_vl_vision"
    " qwen4_exp_vision",
    "texts": "cosmos3_edge_text ernie4_5_vl_moe_text glm4v_moe_text glm4v_text glm_ocr_text granite4_vision_text"
    " granite_docling_text hunyuan_vl_text molmo2_text paddleocr_vl_text qwen2_5_omni_text qwen2_5_vl_text"
    " qwen2_vl_text qwen3_omni_moe_text qwen3_vl_moe_text qwen3_vl_text step3p5",
    "towers": "deepseek_ocr2_sam_vision_model got_ocr2_vision idefics2_vision idefics3_vision internvl_vision"
    " kimi_k25_vision llama4_vision_model minimax_m3_vl_vision ovis2_vision paddleocr_vl_vision pixtral"
    " pp_chart2table_vision qianfan_ocr_vision sam_vision_model smolvlm_vision unlimited_ocr_sam_vision_model"
    " video_llama_3_vision",
    "blip": "blip blip-2 blip_2_qformer blip_2_vision_model blip_text_model blip_vision_model git instructblip"
    " instructblip_qformer instructblip_vision_model instructblipvideo instructblipvideo_qformer"
    " instructblipvideo_vision_model",
    "kosmos": "kosmos-2 kosmos-2.5 kosmos_2_5_text_model kosmos_2_5_vision_model kosmos_2_text_model pix2struct"
    " pix2struct_text_model pix2struct_vision_model",
    "flamingo": "florence2 florence_vision idefics mllama mllama_text_model mllama_vision_model",
    "hearing": "moss_transcribe_diarize moss_transcribe_diarize_audio musicgen musicgen_decoder musicgen_melody"
    " musicgen_melody_decoder qwen2_5_omni_audio_encoder qwen2_5_omni_thinker qwen3_omni_moe_audio_encoder"
    " qwen3_omni_moe_thinker",
    "gemma_senses": "gemma3n gemma3n_audio gemma4 gemma4_audio gemma4_unified gemma4_vision",
    "omni": "inkling2 inkling2_vision inkling_audio inkling_mm_model inkling_vision nemotron_h_omni radio",
    "pictures": "muse_glimmer muse_glimmer_text muse_glimmer_vision muse_spark muse_spark_audio muse_spark_text"
    " muse_spark_vision pi0 pp_formulanet",
    "phi_senses": "phi4_multimodal phi4_multimodal_audio phi4_multimodal_vision",
    "vqgan": "chameleon chameleon_vqgan emu3 emu3_text_model emu3_vqgan janus janus_vision_model janus_vqgan",
    "towers_whole": "cosmos3_edge_vision granite_docling_vision hunyuan_vl_vision lfm3_vl_vision minicpm_ocr_vision"
    " minicpmv4_6_vision minicpmv4_7_vision molmo2_vision step3p5_vision",
    "reading": "cohere_compass cosmos3_edge deepseek_vl_hybrid granite4_vision granite_docling hunyuan_vl lfm3_vl"
    " minicpm_ocr minicpmv4_6 minicpmv4_7 molmo2 ovis2 pp_chart2table shieldgemma2 step3p7",
    "ocr": "deepseek_ocr2 deepseek_ocr2_encoder deepseek_ocr2_text deepseek_ocr2_vision unlimited_ocr"
    " unlimited_ocr_text unlimited_ocr_vision unlimited_ocr_vision_encoder",
    "bark": "bark",
    "clap": "clap clap_audio_model clap_text_model",
    "dac": "dac fastspeech2_conformer_hifigan speecht5_hifigan",
    "finishing": "eomt vitmatte zoedepth",
    "grounding": "grounding-dino mm-grounding-dino",
    "segmenters": "upernet",
    "mask_formers": "mask2former maskformer",
    "vits": "vits",
    "late": "colmodernvbert colpali colqwen2",
    "poses": "superpoint vitpose vitpose_backbone",
    "udop": "udop",
    "sew": "sew sew-d",
    "video": "timesformer videomae videoprism_text_model videoprism_vision_model vivit vjepa2",
    "dual": "align align_text_model align_vision_model altclip altclip_text_model altclip_vision_model chinese_clip"
    " chinese_clip_text_model chinese_clip_vision_model clipseg clipseg_text_model clipseg_vision_model tipsv2"
    " tipsv2_text_model tipsv2_vision_model videoprism",
    "diffusion_gemma": "diffusion_gemma diffusion_gemma_text",
    "evolla": "evolla",
    "glm5": "glm5_next_text",
    "dots3": "dots3_note dots3_note_audio_encoder dots3_note_vision_encoder",
    "boxes": "owlv2 owlv2_text_model owlv2_vision_model owlvit owlvit_text_model owlvit_vision_model vilt yolos",
    "groups": "groupvit groupvit_text_model groupvit_vision_model xclip xclip_text_model xclip_vision_model",
    "timm": "gemma3n_vision timm_backbone timm_wrapper",
    "detr": "conditional_detr dab-detr detr table-transformer",
    "deformable": "deformable_detr",
    "csm": "csm",
    "d_fine": "d_fine",
    "flava": "flava flava_image_codebook flava_image_model flava_multimodal_model flava_text_model",
    "xcodec": "xcodec",
    "sam2_video": "sam2_video",
    "sam2": "sam2 sam2_hiera_det_model sam2_vision_model",
    "promptable": "sam sam_hq sam_hq_vision_model",
    "depth": "depth_anything dpt glpn prompt_depth_anything",
    "rtdetr": "rt_detr rt_detr_resnet rt_detr_v2",
}  # fmt: skip
"""Module to the model types it holds."""

HOMES = {model_type: module for module, types in MODULES.items() for model_type in types.split()}


def family(model_type: str) -> Callable[[Config], Tree]:
    """The recipe for a model type. Raises UnknownArchitectureError with the nearest names."""
    if model_type not in HOMES:
        hint = did_you_mean(model_type, HOMES) or "`--assume FAMILY` reads it as a family that you name"
        raise UnknownArchitectureError(f"unknown model_type: {model_type[:80]!r}", hint=hint)
    recipe: Callable[[Config], Tree] = importlib.import_module(f"paramcalc.gate.families.{HOMES[model_type]}").FAMILIES[model_type]
    return recipe
