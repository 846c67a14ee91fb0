"""Masked autoencoder around the encoder: parts of the signal are hidden, a light decoder draws them back.

What is hidden is raw signal, in patches as long as the encoder's total stride. The convolutions of the stem
overlap, so a mask over tokens would let the hidden samples shine through their neighbours; and dropping tokens,
as He et al. 2022 (arXiv:2111.06377) do, would tear the neighbourhoods of the attention. So the encoder sees
the whole sequence, hidden parts included, as in SimMIM (Xie et al. 2022, arXiv:2111.09886).

A hidden sample is 0 to the stem, as a gap is on the device. The learned mask token, a vector for each lead, is
added behind the stem, at the first tokens: there it tells a hidden stretch from a flat one, it passes no
convolution before it is seen, and the stem's BatchNorm does not have to normalise it.

BatchNorm: zeros take part in its statistics, so those of the masked encoder have too small a variance for
whole windows. In a training step that does no harm, for there the batch normalises itself, but the running
statistics must not be used as they are: `settle_batch_norm` takes them anew on whole windows.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ecgnat import ranks
from ecgnat.model import AttentionBlock, EcgNat, ModelConfig


@dataclass(frozen=True)
class MaskConfig:
    """What is hidden, and what draws it back."""

    style: Literal["blocks", "leads"] = "blocks"  # the same stretches on all leads, or each lead its own
    ratio: float = 0.5  # part of the patches that is hidden
    block: int = 2  # patches in a row; with a stride of 16 at 100 Hz one is 0.16 s
    decoder_dim: int = 128
    decoder_depth: int = 1
    floor_mv: float = 0.03  # added to a patch's deviation when it is normalised, so that noise stays small

    def __post_init__(self) -> None:
        """Raise ValueError when a field is out of range."""
        if not 0.0 < self.ratio < 1.0 or self.block < 1:
            raise ValueError("a mask needs a ratio between 0 and 1 and a block of at least one patch")


def draw_masks(batch: int, leads: int, patches: int, config: MaskConfig, generator: torch.Generator) -> Tensor:
    """Choose what is hidden: (batch, leads, patches) bool, the same number of patches in every lead.

    Blocks are drawn on a ring that is then turned by a random angle, so every patch is hidden equally often.
    """
    rows = (batch, 1 if config.style == "blocks" else leads)
    hidden = min(max(round(config.ratio * patches), 1), patches - 1)
    device = generator.device
    places = torch.arange(patches, device=device)
    score = torch.rand((*rows, math.ceil(patches / config.block)), generator=generator, device=device)
    turn = torch.randint(patches, (*rows, 1), generator=generator, device=device)
    order = score[:, :, places // config.block].argsort(dim=2, descending=True, stable=True)
    chosen = (order[:, :, :hidden] + turn) % patches
    masked = torch.zeros((*rows, patches), dtype=torch.bool, device=device).scatter_(2, chosen, value=True)
    return masked.expand(batch, leads, patches)


class MaskedAutoencoder(nn.Module):
    """The encoder that is to be pretrained, a mask token and a decoder."""

    def __init__(self, config: ModelConfig, masking: MaskConfig) -> None:
        super().__init__()
        self.masking = masking
        self.encoder = EcgNat(config)
        self.stride = config.stride
        self.token = nn.Linear(config.leads, config.dims[0], bias=False)  # a vector for each lead that is hidden
        dim, stages = masking.decoder_dim, len(config.kernels)
        shape = ModelConfig(
            outputs=1,
            dims=(dim,) * (stages + 1),
            depths=(0,) * (stages + 1),
            residuals=(0,) * stages,
            kernels=config.kernels,
            dilations=config.dilations,
            head_dim=math.gcd(dim, config.head_dim),
            drop_path=0.0,
            backend=config.backend,
        )
        self.widen = nn.Linear(config.dims[-1], dim)
        self.decoder = nn.Sequential(*(AttentionBlock(shape, stages - 1, 0.0) for _ in range(masking.decoder_depth)))
        self.draw = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, config.leads * config.stride))

    def patches(self, signal: Tensor) -> Tensor:
        """Cut (batch, leads, samples) into (batch, leads, patches, stride).

        Raises
        ------
        ValueError
            When the samples are no multiple of the stride.
        """
        if signal.shape[2] % self.stride:
            raise ValueError(f"{signal.shape[2]} samples are no multiple of the stride {self.stride}")
        return signal.reshape(*signal.shape[:2], -1, self.stride)

    def forward(self, signal: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
        """Draw every patch, hidden or not, in units of its own deviation.

        Parameters
        ----------
        signal : (batch, leads, samples) float, mV, conditioned; samples a multiple of the stride
        keep : (batch, leads) float, 1 where the lead is there
        masked : (batch, leads, patches) bool, True where the encoder must not look

        Returns
        -------
        (batch, leads, patches, stride) float
        """
        tokens = self.encoder.encode(self.embed(signal, keep, masked))
        drawn: Tensor = self.draw(self.decoder(self.widen(tokens)))  # (batch, patches, leads * stride)
        return drawn.reshape(*drawn.shape[:2], -1, self.stride).transpose(1, 2)

    def embed(self, signal: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
        """Return what the encoder goes on with behind its stem; arguments as of `forward`."""
        seen = self.patches(signal).masked_fill(masked.unsqueeze(-1), 0.0).flatten(2)
        hidden = (masked * keep.unsqueeze(-1)).transpose(1, 2)  # (batch, patches, leads)
        token: Tensor = self.token(hidden).transpose(1, 2).repeat_interleave(self.stride // 2, dim=2)
        return self.encoder.embed(seen, keep) + token

    def loss(self, drawn: Tensor, signal: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
        """Mean squared error over the hidden patches of the leads that are there; arguments as of `forward`."""
        mean, deviation = self._scale(signal)
        error: Tensor = (drawn - (self.patches(signal) - mean) / deviation).square().mean(dim=3)
        counts = masked * keep.unsqueeze(-1)
        summed: Tensor = (error * counts).sum()
        return summed / torch.clamp(ranks.total(counts.sum()), min=1.0)

    def in_mv(self, drawn: Tensor, signal: Tensor) -> Tensor:
        """Bring what was drawn to mV with the true mean and deviation of each patch, for pictures; as `signal`."""
        mean, deviation = self._scale(signal)
        return (drawn * deviation + mean).flatten(2)

    def _scale(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each patch, (batch, leads, patches, 1)."""
        variance, mean = torch.var_mean(self.patches(signal), dim=3, correction=0, keepdim=True)
        return mean, (variance + self.masking.floor_mv**2).sqrt()


@torch.no_grad()
def settle_batch_norm(model: EcgNat, windows: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Take BatchNorm's running statistics anew, as the mean over whole windows (Wu & Johnson 2021, arXiv:2105.07576).

    `windows` yields batches of signal and keep, as `EcgNat.features` takes them. Everything else stays as it
    is, and no random number is drawn.
    """
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm1d)]
    usual = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # torch: a cumulative mean
    for signal, keep in windows:
        model.features(signal, keep)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
        norm.eval()
