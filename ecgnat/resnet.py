"""A plain 1-D residual network to compare ECG-NAT with: same inputs, pooling, cost and trainer.

It is the xresnet of He et al. 2019 (arXiv:1812.01187), which Strodthoff et al. 2021 (arXiv:2004.13701) found best on
PTB-XL: a stem of three convolutions, shortcuts that average before they widen, and residual branches that start at
zero.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ecgnat.model import DropPath, Network, NetworkConfig, conv_norm, mean_and_maximum


@dataclass(frozen=True)
class ResNetConfig(NetworkConfig):
    """Settings of the ResNet."""

    stem: int = 32
    dims: tuple[int, ...] = (64, 128, 192, 256)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    kernel: int = 5

    def __post_init__(self) -> None:
        """Raise ValueError when the fields contradict each other."""
        if len(self.dims) != len(self.depths):
            raise ValueError("dims and depths need one entry for each stage")


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut; (batch, inputs, length) in, (batch, outputs, length / stride) out."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.first = conv_norm(inputs, outputs, kernel, stride)
        self.second = conv_norm(outputs, outputs, kernel)
        # The branch starts at zero, so that a new block is the identity (Goyal et al. 2017, arXiv:1706.02677).
        nn.init.zeros_(cast("nn.BatchNorm1d", self.second[1]).weight)
        shorten = nn.AvgPool1d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        widen = conv_norm(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.shortcut = nn.Sequential(shorten, widen)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(shortcut + branch)."""
        branch: Tensor = self.drop_path(self.second(torch.relu(self.first(x))))
        return torch.relu(self.shortcut(x) + branch)


class ResNet(Network):
    """The ResNet."""

    config: ResNetConfig

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = conv_norm(config.leads, config.stem, config.kernel, stride=2)
        self.leads = nn.Linear(config.leads, config.stem)
        self.convolutions = nn.Sequential(
            conv_norm(config.stem, config.stem, config.kernel),
            nn.ReLU(),
            conv_norm(config.stem, config.dims[0], config.kernel),
            nn.ReLU(),
            nn.MaxPool1d(3, 2, 1),
        )
        count = sum(config.depths)
        rates = [config.drop_path * number / max(count - 1, 1) for number in range(count)]
        blocks, inputs = [], config.dims[0]
        for stage, (outputs, depth) in enumerate(zip(config.dims, config.depths, strict=True)):
            for block in range(depth):
                stride = 2 if stage and not block else 1
                blocks.append(ResidualBlock(inputs, outputs, config.kernel, stride, rates.pop(0)))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(2 * config.dims[-1], config.outputs))

    @property
    def width(self) -> int:
        """Number of inputs of the head."""
        return 2 * self.config.dims[-1]

    def pooled(self, signal: Tensor, keep: Tensor) -> Tensor:
        """Return the inputs of the head, (batch, width) float: mean and maximum over time."""
        embedded = self.stem(signal * keep.unsqueeze(-1)) + self.leads(keep).unsqueeze(-1)
        return mean_and_maximum(self.blocks(self.convolutions(torch.relu(embedded))).transpose(1, 2))
