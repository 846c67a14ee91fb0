"""ECG-NAT: a convolutional stem, stages of 1-D neighborhood attention, a pooled multi-label head.

At 100 Hz the residual convolutions run at 50 Hz and the attention stages at 25, 12.5 and 6.25 Hz. Position is encoded
by a depthwise convolution in every block and by a relative bias, so any window length works.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from ecgnat.attention import Backend, neighborhood_attention

Size = Literal["tiny", "small", "base"]


@dataclass(frozen=True)
class NetworkConfig:
    """Settings of every network."""

    outputs: int
    leads: int = 12
    drop_path: float = 0.1
    dropout: float = 0.1


@dataclass(frozen=True)
class ModelConfig(NetworkConfig):
    """Settings of ECG-NAT.

    The first entries of `dims` and `depths` belong to the convolutional stage, the others to the attention stages. Each
    attention stage begins with `residuals` blocks of two convolutions, which learn the shapes of waves from fewer
    windows than attention does.
    """

    dims: tuple[int, ...] = (32, 64, 128, 192)
    depths: tuple[int, ...] = (2, 2, 2, 4)
    residuals: tuple[int, ...] = (0, 0, 0)
    kernels: tuple[int, ...] = (13, 13, 25)
    dilations: tuple[int, ...] = (1, 1, 1)
    head_dim: int = 32
    mlp_ratio: float = 2.0
    position_kernel: int = 7  # of the depthwise convolution in every block; 1 encodes no position
    position_bias: bool = True
    backend: Backend = "block"

    def __post_init__(self) -> None:
        """Raise ValueError when the fields contradict each other."""
        stages = len(self.dims) - 1
        each = (self.residuals, self.kernels, self.dilations)
        if len(self.depths) != stages + 1 or any(len(entries) != stages for entries in each):
            raise ValueError(
                "dims and depths need an entry for each stage; residuals, kernels, dilations for each attention stage"
            )
        if any(dim % self.head_dim for dim in self.dims[1:]):
            raise ValueError(f"dims of attention stages must be multiples of head_dim {self.head_dim}")

    @property
    def layers(self) -> int:
        """Number of blocks, from first to last."""
        return sum(self.depths) + sum(self.residuals)

    @property
    def stride(self) -> int:
        """Samples between the centres of neighbouring tokens."""
        return 1 << len(self.dims)


_NAMED = {
    "tiny": ModelConfig(outputs=1, dims=(32, 64, 96, 128), depths=(1, 1, 1, 2)),
    "small": ModelConfig(outputs=1, depths=(2, 1, 1, 2), residuals=(1, 2, 1)),
    "base": ModelConfig(outputs=1, dims=(64, 128, 192, 320), depths=(2, 1, 2, 3), residuals=(1, 2, 1)),
}


def named_config(name: Size, outputs: int) -> ModelConfig:
    """Return a configuration by name, of 0.5, 1.7 or 5.2 million parameters; `small` is the shipped one."""
    return replace(_NAMED[name], outputs=outputs)


class DropPath(nn.Module):
    """Drop a residual branch for some windows of a batch (Huang et al. 2016, arXiv:1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Return the branch, (batch, ...), scaled so that its mean does not change."""
        if not self.training or self.rate == 0.0:
            return branch
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        kept = (torch.rand(shape, device=branch.device) >= self.rate).to(branch.dtype)
        return branch * kept / (1.0 - self.rate)


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution and BatchNorm, which fold into one convolution at export."""
    return nn.Sequential(nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm1d(outputs))


class ConvBlock(nn.Module):
    """Residual block of two convolutions; (batch, channels, length) in and out."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.first = conv_norm(dim, dim, 5)
        self.second = conv_norm(dim, dim, 5)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(x + branch)."""
        branch: Tensor = self.drop_path(self.second(torch.relu(self.first(x))))
        return torch.relu(x + branch)


class NeighborhoodAttention(nn.Module):
    """Multi-head neighborhood attention with a relative position bias; (batch, length, dim) in and out."""

    def __init__(self, config: ModelConfig, stage: int) -> None:
        super().__init__()
        dim, kernel = config.dims[stage + 1], config.kernels[stage]
        self.heads, self.kernel, self.dilation = dim // config.head_dim, kernel, config.dilations[stage]
        self.backend = config.backend
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.zeros(self.heads, 2 * kernel - 1)) if config.position_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Attend; a sequence shorter than the kernel is one neighbourhood."""
        batch, length, dim = x.shape
        # Each (batch, length, heads, head_dim).
        q, k, v = self.qkv(x).reshape(batch, length, 3 * self.heads, dim // self.heads).split(self.heads, dim=2)
        # A shorter kernel uses the middle of the bias table, whose ends are the far offsets.
        kernel = min(self.kernel, int(length) // self.dilation)
        cut = self.kernel - kernel
        bias = None if self.bias is None else self.bias[:, cut : 2 * self.kernel - 1 - cut]
        out = neighborhood_attention(q, k, v, kernel, self.dilation, bias, backend=self.backend)
        projected: Tensor = self.project(out.reshape(batch, length, dim))
        return projected


class AttentionBlock(nn.Module):
    """Position code, attention and MLP, each residual; (batch, length, dim) in and out."""

    def __init__(self, config: ModelConfig, stage: int, drop_path: float) -> None:
        super().__init__()
        dim, wide = config.dims[stage + 1], int(config.dims[stage + 1] * config.mlp_ratio)
        width = config.position_kernel
        self.position = nn.Conv1d(dim, dim, width, padding=width // 2, groups=dim)
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = NeighborhoodAttention(config, stage)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, wide), nn.GELU(), nn.Linear(wide, dim))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its three branches added."""
        x = x + self.position(x.transpose(1, 2)).transpose(1, 2)  # the convolution is over time
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        out: Tensor = x + self.drop_path(self.mlp(self.mlp_norm(x)))
        return out


def mean_and_maximum(tokens: Tensor) -> Tensor:
    """Pool (batch, tokens, dim) to (batch, 2 * dim)."""
    return torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=1)


class Network(nn.Module, ABC):
    """A classifier of windows: one logit for each label."""

    config: NetworkConfig
    head: nn.Sequential  # ends with the linear layer

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of inputs of the head."""

    @abstractmethod
    def pooled(self, signal: Tensor, keep: Tensor) -> Tensor:
        """Return the inputs of the head, (batch, width) float; arguments as of `forward`."""

    def forward(self, signal: Tensor, keep: Tensor) -> Tensor:
        """Classify windows.

        Parameters
        ----------
        signal : (batch, 12, samples) float, mV, conditioned
        keep : (batch, 12) float, 1 where the lead is there, 0 where it must be ignored

        Returns
        -------
        (batch, outputs) float, logits
        """
        logits: Tensor = self.head(self.pooled(signal, keep))
        return logits


class EcgNat(Network):
    """ECG-NAT."""

    config: ModelConfig

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # Deeper blocks are dropped more often, as in stochastic depth.
        rates = [config.drop_path * layer / max(config.layers - 1, 1) for layer in range(config.layers)]
        dim = config.dims[0]
        self.stem = conv_norm(config.leads, dim, 7, stride=2)
        self.leads = nn.Linear(config.leads, dim)
        self.convolutions = nn.Sequential(*(ConvBlock(dim, rates.pop(0)) for _ in range(config.depths[0])))
        self.downs = nn.ModuleList()
        self.residuals = nn.ModuleList()
        self.stages = nn.ModuleList()
        for stage, (residuals, depth) in enumerate(zip(config.residuals, config.depths[1:], strict=True)):
            dim = config.dims[stage + 1]
            self.downs.append(conv_norm(config.dims[stage], dim, 3, stride=2))
            self.residuals.append(nn.Sequential(*(ConvBlock(dim, rates.pop(0)) for _ in range(residuals))))
            self.stages.append(nn.Sequential(*(AttentionBlock(config, stage, rates.pop(0)) for _ in range(depth))))
        self.norm = nn.LayerNorm(config.dims[-1])
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(2 * config.dims[-1], config.outputs))

    def features(self, signal: Tensor, keep: Tensor) -> Tensor:
        """Encode windows as tokens, (batch, tokens, dim) float; arguments as of `forward`."""
        return self.encode(self.embed(signal, keep))

    def embed(self, signal: Tensor, keep: Tensor) -> Tensor:
        """Return the output of the stem, (batch, dims[0], samples / 2); arguments as of `forward`."""
        # The stem cannot tell an absent lead from a flat one, so which leads are there is added to every position.
        embedded: Tensor = self.stem(signal * keep.unsqueeze(-1)) + self.leads(keep).unsqueeze(-1)
        return embedded

    def encode(self, x: Tensor) -> Tensor:
        """Return the tokens for the output of `embed`, (batch, tokens, dim)."""
        x = self.convolutions(torch.relu(x))
        for down, residual, stage in zip(self.downs, self.residuals, self.stages, strict=True):
            # Convolutions need (batch, dim, length), attention (batch, length, dim).
            x = stage(residual(down(x)).transpose(1, 2)).transpose(1, 2)
        tokens: Tensor = self.norm(x.transpose(1, 2))
        return tokens

    @property
    def width(self) -> int:
        """Number of inputs of the head."""
        return 2 * self.config.dims[-1]

    def pooled(self, signal: Tensor, keep: Tensor) -> Tensor:
        """Return the inputs of the head, (batch, width) float: mean and maximum of the tokens."""
        return mean_and_maximum(self.features(signal, keep))


class ProjectionHead(nn.Sequential):
    """Maps the inputs of the head to the space of the contrastive loss (Chen et al. 2020, arXiv:2002.05709)."""

    def __init__(self, width: int, outputs: int = 128) -> None:
        super().__init__(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))
