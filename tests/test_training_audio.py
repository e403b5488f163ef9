"""Training of encoders of speech: how long the sound is, how many frames become of it, and the loss that aligns labels with them."""

from __future__ import annotations

from typing import Any

import pytest

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import TrainingPlan, plan_training
from paramcalc.words.errors import UsageError

CONFIG = {
    "model_type": "wav2vec2",
    "architectures": ["Wav2Vec2ForCTC"],
    "vocab_size": 31,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "intermediate_size": 56,
    "conv_dim": [16, 24, 24],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
CLASSES = {"architectures": ["Wav2Vec2ForSequenceClassification"]}


def plan(config: dict[str, Any] | None = None, **options: Any) -> TrainingPlan:
    return plan_training(paramcalc.load(CONFIG | (config or {})), TrainingJob.of(**options))


def kept(made: TrainingPlan, name: str) -> list[int]:
    return [tensor.bytes for tensor, _ in made.kept if tensor.name == name]


def test_a_speech_encoder_is_refused_until_it_is_told_how_long_the_sound_is() -> None:
    with pytest.raises(UsageError, match="nothing says how much a sequence has") as refusal:
        plan(seq_len=5)
    assert "--audio-seconds" in str(refusal.value)


def test_a_loss_of_alignments_needs_the_number_of_labels_and_a_class_does_not() -> None:
    with pytest.raises(UsageError, match="nothing says how many a sequence has"):
        plan(audio_seconds=0.05)
    assert "seq_len" not in {row.name for row in plan(CLASSES, audio_seconds=0.05).inputs}


def test_a_model_that_hears_no_sound_refuses_the_length_of_it() -> None:
    with pytest.raises(UsageError, match="hears no sound"):
        plan_training(paramcalc.load("llama-3-8b"), TrainingJob.of(audio_seconds=10))


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), True, "ten"])
def test_seconds_are_a_number_above_zero(seconds: Any) -> None:
    with pytest.raises(UsageError, match="expected seconds"):
        plan(audio_seconds=seconds, seq_len=5)


def test_every_score_of_an_alignment_is_kept() -> None:
    """16,000 · 0.05 = 800 samples; (800 - 10) // 5 + 1 = 159, (159 - 3) // 2 + 1 = 79, (79 - 2) // 2 + 1 = 39 frames; of five labels
    and the blanks around them each has 11 places in fp32."""
    assert kept(plan(audio_seconds=0.05, seq_len=5, batch_size=2), "scores of alignments") == [2 * 39 * 11 * 4]


def test_sound_and_labels_are_what_the_caller_hands_in() -> None:
    """In fp32: 800 samples, five labels of eight bytes. They stand beside what is kept."""
    phases = {phase.name: phase for phase in plan(audio_seconds=0.05, seq_len=5, precision="fp32").phases}
    assert phases["optimizer"].terms["activations"] == 800 * 4 + 5 * 8


def test_sound_that_is_shorter_than_a_kernel_is_refused() -> None:
    with pytest.raises(UsageError, match="smaller than its kernel"):
        plan(audio_seconds=0.0002, seq_len=5)


def test_a_weighted_sum_of_layers_is_refused_and_not_left_out() -> None:
    with pytest.raises(UsageError, match="layer_weights are not known"):
        plan(CLASSES | {"use_weighted_layer_sum": True}, audio_seconds=0.05)


@pytest.mark.parametrize("loss", ["fused", "chunked"])
def test_a_loss_of_alignments_is_not_taken_piece_by_piece(loss: str) -> None:
    with pytest.raises(UsageError, match="whole sequences"):
        plan(audio_seconds=0.05, seq_len=5, loss=loss)


def test_sound_is_not_divided() -> None:
    with pytest.raises(UsageError, match="not modelled in parts"):
        plan(audio_seconds=0.05, seq_len=5, cp=2)


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_virtual_tokens_beside_sound_are_refused(method: str) -> None:
    with pytest.raises(UsageError, match="virtual tokens beside sound"):
        plan(audio_seconds=0.05, seq_len=5, method=method)


def test_an_encoder_that_is_not_known_is_refused_before_anything_is_asked_of_it() -> None:
    with pytest.raises(UsageError, match="the activations of wavlm are not known"):
        plan({"model_type": "wavlm", "architectures": ["WavLMForCTC"]})
