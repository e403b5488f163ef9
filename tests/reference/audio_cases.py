"""Tiny encoders of speech, and the settings under which their kept tensors are recorded."""

from __future__ import annotations

from typing import Any

from activation_cases import BART, FULL, Case, Setting

SPEECH = tuple(setting._replace(length=5, audio_seconds=0.05) for setting in FULL)
"""800 samples of 16,000 a second, and five labels."""
LORA = tuple(
    setting._replace(length=5, audio_seconds=0.05)
    for setting in (
        Setting(lora="q_proj,v_proj"),
        Setting(lora="all-linear", adapter_dtype="fp32"),
        Setting(lora="all-linear", adapter_dtype="fp32", checkpointing="full"),
    )
)
SMALL = {
    "vocab_size": 31,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "intermediate_size": 56,
    "conv_dim": [16, 24, 24],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 20,
    "mask_time_length": 3,
}
LARGE = {**SMALL, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
"""The large models' form: pre-norm layers, and a layer norm behind every convolution."""


def speech(name: str, architecture: str, config: dict[str, Any], model_type: str | None = None) -> Case:
    task = "ctc" if architecture.endswith("CTC") else "classification of speech"
    return Case(name, model_type or name, architecture, config, task, (*SPEECH, *LORA))


CASES = [
    speech("wav2vec2", "Wav2Vec2ForCTC", SMALL),
    speech("wav2vec2 large", "Wav2Vec2ForCTC", LARGE, "wav2vec2"),
    speech("wav2vec2 classes", "Wav2Vec2ForSequenceClassification", SMALL, "wav2vec2"),
    speech("wav2vec2 frames", "Wav2Vec2ForAudioFrameClassification", SMALL, "wav2vec2"),
    speech("hubert", "HubertForCTC", SMALL),
    speech("hubert large", "HubertForCTC", LARGE, "hubert"),
    speech("hubert classes", "HubertForSequenceClassification", SMALL, "hubert"),
    speech(
        "wav2vec2 adapter",
        "Wav2Vec2ForCTC",
        LARGE
        | {
            "adapter_attn_dim": 12,
            "layerdrop": 0.0,
            "add_adapter": True,
            "num_adapter_layers": 2,
            "output_hidden_size": 40,
            "ctc_loss_reduction": "mean",
            "ctc_zero_infinity": True,
            "feat_proj_dropout": 0.1,
        },
        "wav2vec2",
    ),
    speech("wav2vec2 unmasked", "Wav2Vec2ForCTC", SMALL | {"mask_time_prob": 0.0}, "wav2vec2"),
    speech("unispeech", "UniSpeechForCTC", SMALL),
    speech("unispeech-sat", "UniSpeechSatForCTC", SMALL),
    Case(
        "whisper classes",
        "whisper",
        "WhisperForAudioClassification",
        {**BART, "num_mel_bins": 10, "max_source_positions": 24, "max_target_positions": 40, "pad_token_id": 1, "classifier_proj_size": 20},
        "speech",
        FULL,
    ),
    speech("data2vec-audio", "Data2VecAudioForCTC", {**SMALL, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5}),
]
