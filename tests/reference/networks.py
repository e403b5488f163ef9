"""Networks that transformers does not have, written with torch's own layers as the specs in `architectures/` describe them.

python tests/reference/activations.py --cases networks --out tests/golden/training/networks.jsonl
"""

from __future__ import annotations

from typing import Any

import torch
from activation_cases import Case, Setting
from torch import nn

SETTINGS = (Setting(), Setting("fp32"), Setting("bf16-mixed"), Setting(batch=1))
VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Channels of column D; a maximum over 2 × 2 for each 0."""


class Classifier(nn.Sequential):
    """Layers in a row, and the cross entropy of what they make."""

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> Any:
        logits = super().forward(pixel_values)
        return nn.functional.cross_entropy(logits, labels), logits


def lenet() -> nn.Module:
    maps = (nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten())
    return Classifier(*maps, nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10))


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    read = 3
    for channels in VGG:
        layers += [nn.Conv2d(read, channels, 3, padding=1), nn.ReLU()] if channels else [nn.MaxPool2d(2)]
        read = channels or read
    for inputs, outputs in ((25_088, 4096), (4096, 4096)):
        layers += [nn.Flatten(), nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.5)]
    return Classifier(*layers, nn.Linear(4096, 1000))


CASES = [
    Case("lenet-5", "", "", {"channels": 1}, "image", SETTINGS, (32, 32), network=lenet),
    Case("vgg-16", "", "", {}, "image", SETTINGS, (224, 224), network=vgg),
]
