"""Training of models that hold an encoder of another kind of input beside their language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import TrainingPlan, plan_training
from paramcalc.words.errors import UsageError

RECORDED = Path(__file__).parent / "golden" / "activations_composite.jsonl"


def config(name: str) -> dict[str, Any]:
    """The config of a recorded model."""
    found: dict[str, Any] = next(row for row in map(json.loads, RECORDED.read_text().splitlines()) if row["name"] == name)["config"]
    return found


def plan(name: str, **options: Any) -> TrainingPlan:
    return plan_training(paramcalc.load(config(name)), TrainingJob.of(seq_len=12, **options))


def test_a_language_model_is_written_as_its_own_family_writes_it_wherever_it_stands() -> None:
    inside = paramcalc.load(config("paligemma"))
    text = config("paligemma")["text_config"] | {"model_type": "gemma", "architectures": ["GemmaForCausalLM"]}
    styles = {block.style for block, _ in paramcalc.load(text).blocks() if hasattr(block, "style")}
    found = {block.style for block, at in inside.blocks() if at.part.startswith("text.") and hasattr(block, "style")}
    assert found == styles == {"unit"}


def test_layers_that_read_images_are_left_out_of_a_text_alone_and_that_is_said() -> None:
    made = plan("mllama")
    assert "text.layers.cross reads images and is left out where there are none" in made.warnings
    with pytest.raises(UsageError, match="left out"):
        plan("mllama", pp=2)


PICTURED: dict[str, Any] = {"batch_size": 2, "precision": "fp32"}


def test_tokens_that_stand_for_images_are_part_of_the_sequence() -> None:
    """24 / 8 patches on each side make nine tokens; two images of them are more than twelve."""
    with pytest.raises(UsageError, match="2 images of 9 tokens do not fit into 12"):
        plan("llava", images=2)


def test_the_logits_are_as_many_with_images_as_without() -> None:
    def logits(images: int) -> int:
        return sum(tensor.bytes for tensor, _ in plan("llava", images=images, **PICTURED).kept if tensor.where == "loss")

    assert logits(1) == logits(0)


def test_pixels_are_handed_in_beside_the_tokens() -> None:
    """Of two sequences: token ids and labels of eight bytes, and 3 * 24 * 24 values in fp32 for each image."""
    text, seen = (plan("llava", images=images, **PICTURED).phases for images in (0, 1))
    inputs = [next(phase.terms["activations"] for phase in phases if phase.name == "optimizer") for phases in (text, seen)]
    assert inputs == [2 * 12 * 16, 2 * 12 * 16 + 2 * 3 * 24 * 24 * 4]


def test_of_an_encoder_of_which_an_earlier_layer_is_read_the_later_ones_keep_nothing() -> None:
    """LLaVA reads the last but one of CLIP's two layers."""
    inside = [times for tensor, times in plan("llava", images=1, **PICTURED).kept if "vision_tower.encoder.layers" in tensor.where]
    assert set(inside) == {1}


@pytest.mark.parametrize("name", ["llava_next", "qwen2_vl"])
def test_images_that_are_not_modelled_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="sequences with images are not modelled"):
        plan(name, images=1)


def test_a_model_that_reads_text_alone_says_nothing_of_images() -> None:
    made = plan_training(paramcalc.load("llama-3-8b"), TrainingJob.of(seq_len=12))
    assert "images" not in {row.name for row in made.inputs}
    assert ("images", 0) in {(row.name, row.value) for row in plan("llava").inputs}


@pytest.mark.parametrize("images", [-1, True, 1.0])
def test_images_are_a_whole_number(images: Any) -> None:
    with pytest.raises(UsageError, match="expected a whole number"):
        plan("llava", images=images)


def test_tokens_of_an_image_see_each_other_through_a_mask_for_each_sequence() -> None:
    """Gemma 3: in both layers [2, 1, 12, 16] in bf16, the rows padded to 16; on text alone in the windowed one."""

    def masks(images: int) -> list[tuple[int, int]]:
        return [(row.bytes, times) for row, times in plan("gemma3", images=images, batch_size=2).kept if row.name == "padded mask"]

    assert masks(0) == [(2 * 12 * 16 * 2, 1)]
    assert masks(1) == [(2 * 12 * 16 * 2, 1), (2 * 12 * 16 * 2, 1)]


def test_squares_of_patches_become_one_token_each() -> None:
    """InternVL: 16 patches of 8 x 8 of 32 x 32, four of them to a token: 12 tokens hold three images, and not four."""
    plan("internvl", images=3)
    with pytest.raises(UsageError, match="4 images of 4 tokens do not fit into 12"):
        plan("internvl", images=4)


def test_a_tower_that_text_alone_does_not_run_leaves_the_activations_exact_and_is_named() -> None:
    made = plan("qwen2_vl")
    assert {term.basis for term in made.terms if term.name == "activations"} == {"exact"}
    assert any("vision (a vision tower): text alone leaves it without gradients" in text for text in made.not_modelled)


@pytest.mark.parametrize("layout", [{"pp": 2}, {"cp": 2}, {"tp": 2, "sequence_parallel": True}], ids=str)
def test_sequences_with_images_are_not_divided(layout: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="in a pipeline or in parts"):
        plan("llava", images=1, **layout)


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_virtual_tokens_beside_images_are_refused(method: str) -> None:
    with pytest.raises(UsageError, match="virtual tokens beside images"):
        plan("llava", images=1, method=method)
