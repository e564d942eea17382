"""Small hand-made networks for the export tests."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sartor.export import ModelCard


class SqueezeExcite(nn.Module):
    """x times a gate per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, 4, 1)
        self.expand = nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * nn.functional.hardsigmoid(self.expand(torch.relu(self.reduce(pooled))))


class SmallNetwork(nn.Module):
    """Convolutions with BN, a depthwise one, a shortcut, squeeze-excite, h-swish, pooling and a classifier."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.gate = SqueezeExcite(8)
        self.head = nn.Sequential(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.gate(self.depthwise(x))
        x = nn.functional.adaptive_avg_pool2d(self.head(x), 1)
        return self.classifier(torch.flatten(x, 1))  # type: ignore[no-any-return]


def settled(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode with BN statistics and weights that are no longer those of the start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5, generator=generator)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2.0, generator=generator)  # type: ignore[union-attr]
                module.weight.uniform_(0.5, 2.0, generator=generator)
                module.bias.normal_(0, 0.5, generator=generator)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=generator)
    return network.eval()


def reference_logits(network: nn.Module, pictures: NDArray[np.uint8], card: ModelCard) -> NDArray[np.float32]:
    """Logits by PyTorch with a normalisation written out anew, ``[n, classes]``."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).double() / 255
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (card.mean, card.std))
    with torch.no_grad():
        return network(((x - mean) / std).float()).numpy()  # type: ignore[no-any-return]
