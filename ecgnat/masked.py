"""Masked autoencoder: parts of the signal are hidden from the encoder, and a light decoder reconstructs them.

Raw signal is hidden, in patches as long as the encoder's total stride. A mask over tokens would not do: the stem's
convolutions overlap, so hidden samples would reach neighbouring tokens. Tokens are not dropped either, as in He et al.
2022 (arXiv:2111.06377), because attention needs whole neighbourhoods. The encoder gets the whole sequence, as in SimMIM
(Xie et al. 2022, arXiv:2111.09886).

Hidden samples are 0, like a gap on the device. A learned mask token, one vector for each lead, is added after the stem,
so that the network can tell a hidden part from a flat line.
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
    """What is hidden, and the decoder."""

    style: Literal["blocks", "leads"] = "blocks"  # hide the same parts of all leads, or other parts of each
    ratio: float = 0.5  # of the patches, how many are hidden
    block: int = 2  # patches in a row; at a stride of 16 and 100 Hz a patch is 0.16 s
    decoder_dim: int = 128
    decoder_depth: int = 1
    floor_mv: float = 0.03  # added to a patch's deviation for normalising, so that noise in flat patches stays small

    def __post_init__(self) -> None:
        """Raise ValueError when a field is out of range."""
        if not 0.0 < self.ratio < 1.0 or self.block < 1:
            raise ValueError("a mask needs a ratio between 0 and 1 and a block of at least one patch")


def draw_masks(batch: int, leads: int, patches: int, config: MaskConfig, generator: torch.Generator) -> Tensor:
    """Draw which patches are hidden: (batch, leads, patches) bool, equally many in every lead.

    Blocks are drawn on a ring, which is then rotated at random, so that every patch is hidden equally often.
    """
    rows = (batch, 1 if config.style == "blocks" else leads)
    hidden = min(max(round(config.ratio * patches), 1), patches - 1)  # neither none nor all
    device = generator.device
    patch = torch.arange(patches, device=device)
    score = torch.rand((*rows, math.ceil(patches / config.block)), generator=generator, device=device)
    rotation = torch.randint(patches, (*rows, 1), generator=generator, device=device)
    # Patches of a block have the same score; a stable sort keeps them together.
    order = score[:, :, patch // config.block].argsort(dim=2, descending=True, stable=True)
    chosen = (order[:, :, :hidden] + rotation) % patches
    masked = torch.zeros((*rows, patches), dtype=torch.bool, device=device).scatter_(2, chosen, value=True)
    return masked.expand(batch, leads, patches)


class MaskedAutoencoder(nn.Module):
    """The encoder to be pretrained, a mask token and a decoder."""

    def __init__(self, config: ModelConfig, masking: MaskConfig) -> None:
        super().__init__()
        self.masking = masking
        self.encoder = EcgNat(config)
        self.stride = config.stride
        self.token = nn.Linear(config.leads, config.dims[0], bias=False)  # a vector for each hidden lead
        dim, stages = masking.decoder_dim, len(config.kernels)
        # One decoder block at the resolution of the tokens: small, so that the encoder does the work.
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
            When the number of samples is not a multiple of the stride.
        """
        if signal.shape[2] % self.stride:
            raise ValueError(f"{signal.shape[2]} samples are not a multiple of the stride {self.stride}")
        return signal.reshape(*signal.shape[:2], -1, self.stride)

    def forward(self, signal: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
        """Reconstruct every patch, hidden or not, normalised by its own mean and deviation.

        Parameters
        ----------
        signal : (batch, leads, samples) float, mV, conditioned; samples a multiple of the stride
        keep : (batch, leads) float, 1 where the lead is there
        masked : (batch, leads, patches) bool, True for patches that the encoder must not see

        Returns
        -------
        (batch, leads, patches, stride) float
        """
        tokens = self.encoder.encode(self.embed(signal, keep, masked))
        drawn: Tensor = self.draw(self.decoder(self.widen(tokens)))  # (batch, patches, leads * stride)
        return drawn.reshape(*drawn.shape[:2], -1, self.stride).transpose(1, 2)

    def embed(self, signal: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
        """Return the output of the encoder's stem with the mask token added; arguments as of `forward`."""
        # (batch, leads, samples), with 0 in hidden patches.
        seen = self.patches(signal).masked_fill(masked.unsqueeze(-1), 0.0).flatten(2)
        hidden = (masked * keep.unsqueeze(-1)).transpose(1, 2)  # (batch, patches, leads)
        # The stem halves the rate, so a patch is stride / 2 positions long here.
        token: Tensor = self.token(hidden).transpose(1, 2).repeat_interleave(self.stride // 2, dim=2)
        return self.encoder.embed(seen, keep) + token

    def loss(self, drawn: Tensor, signal: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
        """Mean squared error over the hidden patches of the leads that are there, () float; see `forward`."""
        mean, deviation = self._scale(signal)
        error: Tensor = (drawn - (self.patches(signal) - mean) / deviation).square().mean(dim=3)
        counts = masked * keep.unsqueeze(-1)
        summed: Tensor = (error * counts).sum()
        return summed / torch.clamp(ranks.total(counts.sum()), min=1.0)

    def in_mv(self, drawn: Tensor, signal: Tensor) -> Tensor:
        """Return a reconstruction in mV, shaped as `signal`, by each patch's true mean and deviation."""
        mean, deviation = self._scale(signal)
        return (drawn * deviation + mean).flatten(2)

    def _scale(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each patch, (batch, leads, patches, 1)."""
        # A floor on the deviation: else noise in a flat patch would be magnified to the scale of a beat.
        variance, mean = torch.var_mean(self.patches(signal), dim=3, correction=0, keepdim=True)
        return mean, (variance + self.masking.floor_mv**2).sqrt()


@torch.no_grad()
def settle_batch_norm(model: EcgNat, windows: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Recompute BatchNorm's running statistics on whole windows (Wu & Johnson 2021, arXiv:2105.07576).

    While masks hide parts as zeros, the running variance is too small for whole windows. Training is not affected,
    because each batch is normalised by its own statistics. No weight changes, and no random number is drawn.

    Parameters
    ----------
    model : in evaluation mode afterwards
    windows : batches of signal and keep, as of `EcgNat.features`
    """
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # torch: a cumulative mean
    for signal, keep in windows:
        model.features(signal, keep)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
