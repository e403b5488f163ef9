"""Training memory of models that see images: in closed form, at small odd sizes. Bytes of fp32 unless said otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from training_cases import rows

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import TrainingPlan, plan_training
from paramcalc.model.architecture import Architecture
from paramcalc.model.tree import architecture_from
from paramcalc.words.errors import UsageError

CLIP = {
    "model_type": "clip",
    "architectures": ["CLIPModel"],
    "projection_dim": 10,
    "text_config": {"vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 14},
    "vision_config": {
        "hidden_size": 18,
        "num_hidden_layers": 1,
        "num_attention_heads": 3,
        "intermediate_size": 14,
        "image_size": 21,
        "patch_size": 7,
    },
}


def model(parts: dict[str, Any], **fields: Any) -> Architecture:
    return architecture_from({"name": "x", "parts": parts, **fields})


def trained(architecture: Architecture, **options: Any) -> TrainingPlan:
    return plan_training(architecture, TrainingJob(**{"precision": "fp32", "batch_size": 3, **options}))


def saved(parts: dict[str, Any], **fields: Any) -> int:
    """Bytes kept of a model that begins with five tokens of seven features."""
    start = {"start": {"kind": "dense", "inputs": 7, "bias": False}}
    return trained(model(start | parts, width=7, **fields), seq_len=5).saved_for_backward


def test_a_gain_keeps_the_stream_that_it_scales() -> None:
    gain = {"kind": "tensor", "shape": [7], "scales": True}
    assert saved({"gain": gain}) - saved({}) == 4 * 3 * 5 * 7


def test_a_mask_token_is_not_read_where_nothing_is_masked() -> None:
    assert saved({"mask": {"kind": "tensor", "shape": [1, 1, 7], "masks": True}}) == saved({})


def test_stochastic_depth_keeps_one_number_a_sequence() -> None:
    assert saved({"drop": {"kind": "dropout", "rate": 0.1, "whole": True}}) - saved({}) == 4 * 3


def test_a_pair_keeps_what_its_similarities_are_made_of() -> None:
    """Each projection keeps its input, each norm its vector and its length's square and root, the product both unit vectors; the scale
    keeps cosines and itself; each cross entropy its logarithms, the numbers of the pairs in int64 and a sum of weights."""
    kept = [(row.bytes, times) for row, times in trained(paramcalc.load(CLIP), seq_len=5).kept if row.where == "contrast"]
    vectors = 2 * 3 * (10 + 1 + 1 + 10) * 4
    scores = 3 * 3 * 4 + 4
    losses = 2 * (3 * 3 * 4 + 3 * 8 + 4)
    assert sum(size * times for size, times in kept) == vectors + scores + losses


def test_a_pair_has_no_loss_over_a_vocabulary() -> None:
    with pytest.raises(UsageError, match="whole sequences"):
        trained(paramcalc.load(CLIP), loss="fused")


def test_towers_that_end_in_many_tokens_are_refused() -> None:
    parts = {
        "text": {"width": 6, "embedding": {"vocabulary": 9}},
        "vision": {"tower": "vision", "width": 6, "tokens": 4, "start": {"kind": "dense", "inputs": 7}},
        "contrast": {"path": ""},
    }
    with pytest.raises(UsageError, match="do not both end in one vector"):
        trained(model(parts, width=6), seq_len=5)


def test_the_size_of_images_is_named_with_where_it_is_from() -> None:
    assert [row for row in trained(paramcalc.load(CLIP), seq_len=5).inputs if row.name == "image_size"] == [
        ("image_size", "21 × 21", "read")
    ]


def test_workspaces_of_convolutions_are_said_not_to_be_modelled() -> None:
    assert any("cuDNN" in line for line in trained(paramcalc.load(CLIP), seq_len=5).not_modelled)


CONVOLUTION = {"kind": "convolution", "inputs": 5, "outputs": 5, "kernel": [3, 3], "padding": 1, "bias": False}
NORM = {"kind": "norm", "type": "batch", "size": 5}
RELU = {"kind": "activation", "function": "relu"}
MAP = 3 * 6 * 7 * 5 * 4
"""Bytes of three maps of 6 × 7 positions and five channels."""
NORMED = MAP + 8 * 5
"""What a batch norm keeps: its input, and mean and deviation of each channel."""


def seen(parts: dict[str, Any], **options: Any) -> TrainingPlan:
    """A model of images of 6 × 7 pixels in five channels, which are given and so not counted."""
    return trained(model({"start": CONVOLUTION} | parts, width=5, image=[6, 7]), **options)


def test_batch_norm_keeps_its_input_and_relu_its_output() -> None:
    assert seen({"norm": NORM}).saved_for_backward == NORMED
    assert seen({"norm": NORM, "activation": RELU}).saved_for_backward == NORMED + MAP


def test_the_stored_kernels_of_convolutions_that_share_a_name_are_cast_apart() -> None:
    """Under autocast in bf16: the image and both kernels [5, 5, 3, 3] are cast, and the second keeps what the first made."""
    plan = seen({"again": CONVOLUTION | {"path": "start"}}, precision="bf16-mixed")
    assert plan.saved_for_backward == MAP // 2 + 2 * (2 * 225) + MAP // 2


def test_pooling_keeps_its_input_and_a_maximum_also_its_places() -> None:
    """3 × 3 windows of two positions fit into 6 × 7."""
    pool = {"kind": "pooling", "type": "max", "kernel": 2}
    assert seen({"pool": pool}).saved_for_backward == MAP + 8 * 3 * 9 * 5
    assert seen({"pool": pool | {"type": "average"}}).saved_for_backward == MAP
    assert seen({"pool": pool | {"type": "global"}}).saved_for_backward == 0


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_ends_one_layer_and_begins_the_next_is_kept_once(count: int) -> None:
    layer = {"convolution": CONVOLUTION, "norm": NORM, "activation": RELU}
    plan = seen({"first": RELU, "layers": {"kinds": {"layer": layer}, "order": f"{count} layer"}, "last": CONVOLUTION})
    assert plan.saved_for_backward == MAP + count * (NORMED + MAP)
    phases = {phase.name: phase.bytes for phase in plan.phases}
    # weights, two states of AdamW as large, and the images
    assert phases["forward_end"] == 3 * phases["loaded"] + MAP + plan.saved_for_backward


def test_overlapping_windows_without_a_padding_are_refused() -> None:
    with pytest.raises(UsageError, match="a convolution of this form"):
        seen({"next": {key: value for key, value in CONVOLUTION.items() if key != "padding"}})


def test_a_map_that_is_smaller_than_a_kernel_is_refused() -> None:
    with pytest.raises(UsageError, match="smaller than its kernel"):
        seen({"next": CONVOLUTION | {"kernel": [9, 9], "padding": 0}})


def test_a_network_that_says_no_size_of_images_gets_a_default_that_is_named() -> None:
    config = {"model_type": "resnet", "architectures": ["ResNetForImageClassification"], "depths": [1], "hidden_sizes": [8]}
    assert ("image_size", "224 × 224", "default") in trained(paramcalc.load(config)).inputs
    assert ("image_size", "45 × 51", "read") in trained(paramcalc.load(config | {"image_size": [45, 51]})).inputs


def test_a_response_norm_keeps_what_it_measures_scales_and_gains() -> None:
    """Its input; lengths of each channel, their mean, and shares; and the product that the gain scales."""
    assert seen({"norm": {"kind": "response_norm"}}).saved_for_backward == MAP + 3 * 5 * 4 + 3 * 4 + 3 * 5 * 4 + MAP


WINDOWS = {"kind": "window_attention", "heads": 1, "side": 4, "relative": True, "bias": False, "output": False}


@pytest.mark.parametrize(("shifted", "copies"), [(False, 1), (True, 3 * 2 * 2)])
def test_windows_attend_by_themselves(shifted: bool, copies: int) -> None:
    """6 × 7 positions fill 2 × 2 windows of 4 × 4, for which the map is copied: in each 16 queries, keys and values, and a bias of all
    pairs, which a mask for shifted windows makes one for each window; queries of a window come with 32 fp32 sums and two seeds."""
    plan = seen({"attention": WINDOWS | {"shifted": shifted}})
    tokens = 3 * 4 * 16 * 5 * 4
    assert plan.saved_for_backward == 5 * tokens + copies * 16 * 16 * 4 + 3 * 4 * 32 * 4 + 16


def test_windows_larger_than_a_map_with_biases_for_them_are_refused() -> None:
    with pytest.raises(UsageError, match="which the reference cannot bias"):
        seen({"attention": WINDOWS | {"side": 8}})


def test_neighbours_side_by_side_are_a_quarter_of_the_positions() -> None:
    """6 × 7 is filled up to 3 × 4 squares; a dense layer behind them keeps them all."""
    parts = {"neighbours": {"kind": "space_to_depth"}, "merge": {"kind": "dense", "inputs": 20, "outputs": 10, "bias": False}}
    assert seen(parts).saved_for_backward == 3 * 12 * 20 * 4


def test_a_stage_that_is_recomputed_as_a_whole_keeps_its_input_alone() -> None:
    layer = {"convolution": CONVOLUTION, "norm": NORM, "activation": RELU}
    stage = {"layers": {"kinds": {"layer": layer}, "order": "3 layer"}}
    each = seen({"stage": stage, "last": RELU}, checkpointing="full")
    once = seen({"stage": stage | {"recomputed": True}, "last": RELU}, checkpointing="full")
    assert each.saved_for_backward == (3 + 1) * MAP
    assert once.saved_for_backward == (1 + 1) * MAP
    ends = [{phase.name: phase.bytes for phase in plan.phases}["backward_end"] for plan in (each, once)]
    assert ends[0] == ends[1], "every layer has gradients of its own"


@pytest.mark.parametrize("name", ["lenet-5", "vgg-16"])
def test_networks_of_the_catalogue_keep_what_torch_keeps_of_them(name: str) -> None:
    """Recorded of torch's own layers by `reference/networks.py`, at the published size of images."""
    recorded = next(row for row in rows("networks.jsonl") if row["name"] == name)
    for case in recorded["cases"]:
        options = {"precision": case["settings"]["precision"], "batch_size": case["settings"]["batch"]}
        assert trained(paramcalc.load(name), **options).saved_for_backward == case["saved"]


def test_attention_to_a_coarser_map_keeps_fewer_keys_and_values() -> None:
    """Squares of two make 3 × 3 of 6 × 7 positions. Kept: the input, queries and the output of all positions with 64 fp32 sums of an
    image (42, filled up to whole 32s) and two seeds; of the coarse map the norm's input and statistics, its output, keys, values."""
    fields = {"heads": 1, "ratio": 2, "bias": False}
    plan = seen({"attention": {"kind": "reduced_attention", **fields}})
    coarse = 3 * 9 * 5 * 4
    assert plan.saved_for_backward == 3 * MAP + 3 * 64 * 4 + 16 + 4 * coarse + 3 * 9 * 8


def test_flash_attention_fills_up_heads_to_eight_elements() -> None:
    """Heads of 5 become 8: in bf16 input (1 × 5), queries, keys, values and the output (4 × 8), what of it is read on (1 × 5), and for
    each of 42 positions of three images an fp32 sum; 24 bytes of seeds."""
    plan = seen({"attention": {"heads": 1, "bias": False}}, precision="bf16")
    positions = 3 * 42
    assert plan.saved_for_backward == positions * (5 + 4 * 8 + 5) * 2 + positions * 4 + 24


def test_a_loss_over_pixels_keeps_logits_at_the_size_of_images() -> None:
    """Three maps of 3 × 4 positions become 6 × 7; logarithms of all of them are kept, and a sum of weights; labels are given, in int64."""
    halved = CONVOLUTION | {"stride": 2}
    plan = seen({"half": halved, "head": {"kind": "resize"}})
    assert plan.saved_for_backward == MAP + MAP + 4
    phases = {phase.name: phase.bytes for phase in plan.phases}
    assert phases["forward_end"] - 3 * phases["loaded"] - plan.saved_for_backward >= MAP + 8 * 3 * 42


@pytest.mark.parametrize(("side", "stride", "outputs", "filled"), [(6, 2, 3, 7), (7, 2, 4, 9), (7, 3, 3, 9)])
def test_same_padding_copies_the_map_into_zeros(side: int, stride: int, outputs: int, filled: int) -> None:
    """A kernel of three: each window begins at a stride within the map, and the last one ends where the zeros do."""
    convolution = CONVOLUTION | {"padding": "same", "stride": stride}
    plan = trained(model({"start": convolution, "norm": NORM}, width=5, image=[side, side]))
    assert plan.saved_for_backward == 3 * 5 * 4 * (filled**2 + outputs**2) + 8 * 5


def test_dropout_in_place_keeps_noise_and_no_mask() -> None:
    drop = {"kind": "dropout", "rate": 0.2}
    assert saved({"drop": drop}) - saved({}) == 3 * 5 * 7
    assert saved({"drop": drop | {"in_place": True}}) - saved({}) == 4 * 3 * 5 * 7


@pytest.mark.parametrize(("kind", "name"), [("vit", "ViTForMaskedImageModeling"), ("beit", "BeitForMaskedImageModeling")])
def test_masked_image_modelling_is_refused(kind: str, name: str) -> None:
    """What stands in for hidden patches is mixed into the stream, which was not compared."""
    with pytest.raises(UsageError, match="mask_token"):
        trained(paramcalc.load({"model_type": kind, "architectures": [name], "use_mask_token": True}))
