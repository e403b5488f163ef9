"""Record what timm's networks hold under transformers' wrapper: tests/golden/timm_networks.json.

    python tests/reference/timm_networks.py            # the names and cases that the file does not hold yet
    python tests/reference/timm_networks.py --again    # all of them

Of each name that paramcalc knows (older names stand for these): the classifier of 7 classes and the network without a
head; then the cases below, names with arguments. A network is its total, its biases, and the digest of its tensors' names,
shapes and copies.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from measure import build, measure, skip_initialisers
from transformers import TimmBackbone, TimmBackboneConfig, TimmWrapperConfig, TimmWrapperForImageClassification, TimmWrapperModel
from trim import digest

from paramcalc.gate.networks.index import known_names, row

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "timm_networks.json"
CLASSES = 7
WRAPPERS = {"base": TimmWrapperModel, "image_classification": TimmWrapperForImageClassification}
CASES: list[dict[str, Any]] = [
    {"architecture": "resnet50.a1_in1k"},
    {"architecture": "resnet26t", "model_args": {"in_chans": 5, "layers": [1, 2, 1, 3], "drop_path_rate": 0.1}},
    {"architecture": "seresnext50_32x4d", "model_args": {"stem_type": "deep", "avg_down": True, "output_stride": 16}},
    {"architecture": "vit_base_patch32_clip_448.laion2b_ft_in12k_in1k", "model_args": {"depth": 3}},
    {"architecture": "vit_small_patch14_dinov2", "model_args": {"img_size": 28, "reg_tokens": 2, "global_pool": "avg"}},
    {"architecture": "deit_tiny_distilled_patch16_224", "model_args": {"img_size": [64, 32], "mlp_ratio": 2.5}},
    {
        "architecture": "vit_pe_core_large_patch14_336",
        "model_args": {
            "depth": 23,
            "embed_dim": 1024,
            "global_pool": "",
            "img_size": [448, 448],
            "init_values": 0.1,
            "ref_feat_shape": [32, 32],
            "use_post_transformer_norm": False,
        },
    },
    {"architecture": "eva02_tiny_patch14_224", "model_args": {"swiglu_align_to": 40, "qk_norm": True, "num_reg_tokens": 3}},
    {"architecture": "swin_s3_tiny_224", "model_args": {"img_size": 96, "window_size": [8, 4, 4, 2]}},
    {"architecture": "convnext_nano_ols", "model_args": {"kernel_sizes": [7, 5, 3, 3], "use_grn": True, "head_hidden_size": 40}},
    {"architecture": "regnety_004", "model_args": {"bottle_ratio": 2.0, "downsample": "avg", "num_features": 96}},
    {"architecture": "efficientnet_b3", "model_args": {"in_chans": 1, "drop_rate": 0.2}},
    {"architecture": "mobilenetv4_hybrid_medium", "model_args": {"in_chans": 4, "global_pool": "max"}},
    {"architecture": "fastvit_mci3", "model_args": {"inference_mode": True}},
    {"architecture": "fastvit_mci0.apple_mclip", "model_args": {"inference_mode": True, "cls_ratio": 3.0}},
    {"architecture": "fastvit_sa12", "model_args": {"layers": [1, 2, 1, 2], "embed_dims": [32, 64, 128, 256], "repmixer_kernel_size": 5}},
]
"""Wrapper's configs of names with tags and arguments, for both classes."""
BACKBONES: list[dict[str, Any]] = [
    {"backbone": "resnet50d", "out_indices": [1, 3]},
    {"backbone": "resnet18", "out_indices": [0, 2], "freeze_batch_norm_2d": True, "num_channels": 4},
    {"backbone": "seresnext50_32x4d"},
]


def held(model: Any, config: Any) -> list[Any]:
    found = measure(model, config)
    return [found["total"], found["bias"], digest(found["tensors"])]


def wrapped(given: dict[str, Any]) -> dict[str, Any]:
    """A name under both classes."""
    config = {task: TimmWrapperConfig(**given, num_labels=CLASSES) for task in WRAPPERS}
    return {task: held(build(cls, config[task]), config[task]) for task, cls in WRAPPERS.items()}


def backbone(given: dict[str, Any]) -> list[Any]:
    config = TimmBackboneConfig(**given)
    return held(build(TimmBackbone, config), config)


def main() -> None:
    torch.set_num_threads(1)
    skip_initialisers()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    before = json.loads(GOLDEN.read_text()) if GOLDEN.exists() and "--again" not in sys.argv else {}
    record: dict[str, Any] = {"origin": "timm 1.0.31, transformers 5.23.0, torch 2.13.0, meta device", "classes": CLASSES}
    names = {name: {"architecture": name} for name in known_names() if not isinstance(row(name), str)}
    try:
        for key, work, asked in (
            ("names", wrapped, names),
            ("cases", wrapped, {json.dumps(case): case for case in CASES}),
            ("backbones", backbone, {json.dumps(case): case for case in BACKBONES}),
        ):
            record[key], known = {}, before.get(key, {})
            for name, given in asked.items():
                record[key][name] = known.get(name) or work(given)
    finally:  # an interrupted run goes on from here
        text = json.dumps(before | record, separators=(",", ":"), sort_keys=True)
        GOLDEN.write_text(text.replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main()
