"""Augmentation of training batches with what the device meets: few leads, noise, gaps, other gains.

All functions take torch tensors and a generator on the same device and return new tensors. They never read a value
back from a GPU, which would stall it. Shapes: signal (batch, 12, samples) mV, keep (batch, 12), target and known
(batch, labels).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data.labels import INDEX
from training.data.windows import INPUT, STRETCH_SAMPLES, resample
from training.errors import DataError

_SINGLE_LEADS = (0, 0, 0, 1, 1, 1, 6, 10)  # I and II most often, then V1 and V5
_READABLE_SNR_DB = 0.0
_UNREADABLE_SNR_DB = -9.0


@dataclass(frozen=True)
class Batch:
    """A training batch; all tensors are float."""

    signal: Tensor  # (batch, 12, samples) mV
    keep: Tensor  # (batch, 12), 1 where the lead is there
    target: Tensor  # (batch, labels), in [0, 1]
    known: Tensor  # (batch, labels), 1 where the data set says whether the label holds

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return signal, keep, target and known."""
        return self.signal, self.keep, self.target, self.known


def read_noise(folder: Path) -> Tensor:
    """Read the noise records `bw` and `ma` of an nstdb folder: (pieces, samples) float32, high-passed, RMS 1.

    Each piece is twice as long as a stretch of a record, so any window can be cut from it. DataError when a record
    cannot be read.
    """
    import wfdb

    from edge.signal.conditioning import condition

    length = 2 * STRETCH_SAMPLES
    pieces = []
    for name in ("bw", "ma"):
        try:
            record = wfdb.rdrecord(str(folder / name))
        except (OSError, ValueError) as exc:
            raise DataError(f"{folder}: no readable noise record {name} there ({exc})") from exc
        samples = resample(record.p_signal.T.astype(np.float32), record.fs)
        filtered = condition(samples, np.zeros(samples.shape, bool), INPUT.sample_rate_hz)
        usable = filtered.shape[1] // length * length  # whole pieces
        pieces.append(filtered[:, :usable].reshape(-1, length))
    noise = np.concatenate(pieces)
    return torch.from_numpy(noise / np.sqrt((noise**2).mean(axis=1, keepdims=True)))


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw from [0, 1), on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)


def integers(end: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw from 0 to `end` - 1, on the generator's device."""
    return torch.randint(end, shape, generator=generator, device=generator.device)


def mixup(batch: Batch, rows: int, chance: float, generator: torch.Generator) -> Batch:
    """Mix the first `rows` of a batch in pairs with this chance (Zhang et al. 2018, arXiv:1710.09412)."""
    if rows < 2:
        return batch
    mixes, drawn = uniform((2,), generator)
    # Computed and masked instead of branched on, so that the GPU is never asked for a value.
    share = 0.5 * drawn * (mixes < chance)  # at most a half: the first window of a pair stays the stronger one
    other = torch.randperm(rows, generator=generator, device=generator.device)

    def mixed(x: Tensor) -> Tensor:
        return torch.cat([torch.lerp(x[:rows], x[:rows][other], share), x[rows:]])

    other_known = torch.where(mixes < chance, batch.known[:rows][other], 1.0)
    # A label of a mixed window is known only if it is known of both windows.
    known = torch.cat([batch.known[:rows] * other_known, batch.known[rows:]])
    return replace(batch, signal=mixed(batch.signal), target=mixed(batch.target), known=known)


def gain(batch: Batch, generator: torch.Generator) -> Batch:
    """Scale each window by a factor of about 1/1.5 to 1.5, and each lead by a few per cent."""
    size = batch.signal.shape[:2]
    whole = 0.2 * torch.randn((size[0], 1, 1), generator=generator, device=generator.device)
    each = 0.05 * torch.randn((*size, 1), generator=generator, device=generator.device)
    return replace(batch, signal=batch.signal * torch.exp(whole + each))  # log-normal: as often smaller as larger


def add_noise(batch: Batch, noise: Tensor, chance: float, generator: torch.Generator) -> Batch:
    """Add recorded noise to some windows: mostly readable (0 to 24 dB), sometimes not (-9 to -18 dB).

    An unreadable window gets the label NOISE, and all its other labels become unknown.
    """
    size, leads, samples = batch.signal.shape
    chosen, worst, drawn = uniform((3, size, 1), generator)
    chosen, unreadable = chosen < chance, worst < 0.15
    snr_db = torch.where(unreadable, _UNREADABLE_SNR_DB - 9.0 * drawn, _READABLE_SNR_DB + 24.0 * drawn)
    # Each lead gets a piece of its own, as electrodes are disturbed one by one.
    row = integers(noise.shape[0], (size, leads), generator)
    first = integers(noise.shape[1] - samples + 1, (size, leads), generator)
    added = noise.unfold(1, samples, 1)[row, first]  # (batch, 12, samples), RMS about 1
    rms = batch.signal.square().mean(dim=2).sqrt() * 10.0 ** (-snr_db / 20.0) * chosen
    # The limit is that of the device's conditioning.
    signal = (batch.signal + added * rms.unsqueeze(-1)).clamp(-10.0, 10.0)
    unreadable &= chosen
    is_noise = torch.zeros_like(batch.target[:1])
    is_noise[:, INDEX["NOISE"]] = 1.0
    target = torch.where(unreadable & (is_noise > 0), 1.0, batch.target)
    return replace(batch, signal=signal, target=target, known=torch.where(unreadable, is_noise, batch.known))


def time_out(batch: Batch, chance: float, generator: torch.Generator) -> Batch:
    """Set up to 10% of some windows to 0 on all leads, as a gap looks after it was bridged."""
    size, _, samples = batch.signal.shape
    chosen = uniform((size, 1), generator) < chance
    length = 1 + integers(samples // 10, (size, 1), generator)
    first = integers(samples, (size, 1), generator)
    at = torch.arange(samples, device=generator.device)
    gap = chosen & (at >= first) & (at < first + length)
    return replace(batch, signal=batch.signal.masked_fill(gap.unsqueeze(1), 0.0))


def drop_leads(batch: Batch, chance: float, generator: torch.Generator) -> Batch:
    """Keep one lead alone, or a random subset, in some windows; every window keeps at least one of its leads."""
    size, leads = batch.keep.shape
    mode = uniform((size, 1), generator) / chance  # below 0.5: one lead alone; below 1: a subset; else all leads
    singles = torch.tensor(_SINGLE_LEADS, device=generator.device)
    single = singles[integers(len(_SINGLE_LEADS), (size, 1), generator)]
    alone = (single == torch.arange(leads, device=generator.device)).long()
    share = uniform((size, 1), generator)
    subset = (uniform((size, leads), generator) < share).long()
    wanted = torch.where(mode < 0.5, alone, torch.where(mode < 1.0, subset, torch.ones_like(alone)))
    keep = batch.keep * wanted
    # Where no lead of the window is wanted, it keeps the leads that it has.
    keep = torch.where(keep.sum(dim=1, keepdim=True) > 0, keep, batch.keep)
    return replace(batch, keep=keep, signal=batch.signal * keep.unsqueeze(-1))


def augment(batch: Batch, mixable: int, noise: Tensor | None, generator: torch.Generator) -> Batch:
    """Apply all augmentations, in the order in which they happen to a real signal.

    Only the first `mixable` rows are mixed. Without recorded noise (None) no noise is added.
    """
    batch = mixup(batch, mixable, 0.5, generator)
    batch = gain(batch, generator)
    if noise is not None:
        batch = add_noise(batch, noise, 0.25, generator)
    batch = time_out(batch, 0.15, generator)
    return drop_leads(batch, 0.4, generator)
