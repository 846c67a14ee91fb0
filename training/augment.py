"""What is done to a training batch so that the device's world holds no surprise: leads, noise, gaps, gain.

All functions take torch tensors and a generator, change nothing outside their arguments, and know nothing
of data sets. Shapes: signal (batch, 12, samples) mV, keep (batch, 12), target and known (batch, labels).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.errors import DataError
from training.labels import INDEX
from training.windows import INPUT, STRETCH_SAMPLES, resample

_SINGLE_LEADS = (0, 0, 0, 1, 1, 1, 6, 10)  # I and II most often, then V1 and V5
_READABLE_SNR_DB = 0.0
_UNREADABLE_SNR_DB = -9.0


@dataclass(frozen=True)
class Batch:
    """A training batch."""

    signal: Tensor
    keep: Tensor
    target: Tensor
    known: Tensor


def read_noise(folder: Path) -> Tensor:
    """Read the noise records `bw` and `ma` of an nstdb folder: (stretches, samples) float32, high-passed, RMS 1.

    Each is twice as long as a stretch of a record, so that any window can be cut from it.
    """
    import wfdb

    from edge.stream.conditioning import condition

    length = 2 * STRETCH_SAMPLES
    stretches = []
    for name in ("bw", "ma"):
        try:
            record = wfdb.rdrecord(str(folder / name))
        except (OSError, ValueError) as exc:
            raise DataError(f"{folder}: no readable noise record {name} there ({exc})") from exc
        samples = resample(record.p_signal.T.astype(np.float32), record.fs)
        filtered = condition(samples, np.zeros(samples.shape, bool), INPUT.sample_rate_hz)
        usable = filtered.shape[1] // length * length
        stretches.append(filtered[:, :usable].reshape(-1, length))
    noise = np.concatenate(stretches)
    return torch.from_numpy(noise / np.sqrt((noise**2).mean(axis=1, keepdims=True)))


def mixup(batch: Batch, rows: int, chance: float, generator: torch.Generator) -> Batch:
    """Mix the first `rows` of a batch in pairs (Zhang et al. 2018, arXiv:1710.09412), some of the time."""
    if rows < 2 or float(torch.rand((), generator=generator)) >= chance:
        return batch
    share = 0.5 * float(torch.rand((), generator=generator))  # up to a half: the first stays the stronger
    other = torch.randperm(rows, generator=generator)

    def mixed(x: Tensor) -> Tensor:
        return torch.cat([x[:rows] * (1.0 - share) + x[:rows][other] * share, x[rows:]])

    known = torch.cat([batch.known[:rows] * batch.known[:rows][other], batch.known[rows:]])
    return replace(batch, signal=mixed(batch.signal), target=mixed(batch.target), known=known)


def gain(batch: Batch, generator: torch.Generator) -> Batch:
    """Scale each window by up to about 1.5 either way, and each lead by a few per cent."""
    size = batch.signal.shape[:2]
    whole = 0.2 * torch.randn((size[0], 1, 1), generator=generator)
    each = 0.05 * torch.randn((*size, 1), generator=generator)
    return replace(batch, signal=batch.signal * torch.exp(whole + each))


def add_noise(batch: Batch, noise: Tensor, chance: float, generator: torch.Generator) -> Batch:
    """Add recorded noise to some windows: mostly readable (0 to 24 dB), sometimes not (-9 to -18 dB).

    An unreadable window keeps no label but NOISE.
    """
    size, _, samples = batch.signal.shape
    chosen = torch.nonzero(torch.rand(size, generator=generator) < chance)[:, 0]
    if not chosen.numel():
        return batch
    signal, target, known = batch.signal.clone(), batch.target.clone(), batch.known.clone()
    leads = signal.shape[1]
    drawn = torch.rand((chosen.numel(), 1), generator=generator)
    unreadable = torch.rand((chosen.numel(), 1), generator=generator) < 0.15
    snr_db = torch.where(unreadable, _UNREADABLE_SNR_DB - 9.0 * drawn, _READABLE_SNR_DB + 24.0 * drawn)
    row = torch.randint(noise.shape[0], (chosen.numel(), leads, 1), generator=generator)
    first = torch.randint(noise.shape[1] - samples + 1, (chosen.numel(), leads, 1), generator=generator)
    added = noise[row, first + torch.arange(samples)]  # (chosen, 12, samples), RMS about 1
    rms = signal[chosen].square().mean(dim=2).sqrt() * 10.0 ** (-snr_db / 20.0)
    signal[chosen] += added * rms.unsqueeze(-1)
    gone = chosen[unreadable[:, 0]]
    known[gone] = 0.0
    target[gone, INDEX["NOISE"]] = 1.0
    known[gone, INDEX["NOISE"]] = 1.0
    return replace(batch, signal=signal.clamp(-10.0, 10.0), target=target, known=known)


def time_out(batch: Batch, chance: float, generator: torch.Generator) -> Batch:
    """Set a stretch of up to 10% of some windows to 0, on all leads, as a bridged gap is."""
    size, _, samples = batch.signal.shape
    chosen = torch.rand((size, 1), generator=generator) < chance
    length = torch.randint(1, samples // 10 + 1, (size, 1), generator=generator)
    first = torch.randint(samples, (size, 1), generator=generator)
    at = torch.arange(samples)
    gone = chosen & (at >= first) & (at < first + length)
    return replace(batch, signal=batch.signal.masked_fill(gone.unsqueeze(1), 0.0))


def drop_leads(batch: Batch, chance: float, generator: torch.Generator) -> Batch:
    """Keep, in some windows, one lead alone, or any subset; never take the last lead that is there."""
    size, leads = batch.keep.shape
    mode = torch.rand((size, 1), generator=generator) / chance  # below 1: something is dropped
    single = torch.tensor(_SINGLE_LEADS)[torch.randint(len(_SINGLE_LEADS), (size,), generator=generator)]
    alone = torch.nn.functional.one_hot(single, leads)
    share = torch.rand((size, 1), generator=generator)
    subset = (torch.rand((size, leads), generator=generator) < share).long()
    wanted = torch.where(mode < 0.5, alone, torch.where(mode < 1.0, subset, torch.ones_like(alone)))
    keep = batch.keep * wanted
    keep = torch.where(keep.sum(dim=1, keepdim=True) > 0, keep, batch.keep)
    return replace(batch, keep=keep, signal=batch.signal * keep.unsqueeze(-1))


def augment(batch: Batch, mixable: int, noise: Tensor | None, generator: torch.Generator) -> Batch:
    """Apply everything, in the order in which it happens to a real signal; the first `mixable` rows may mix.

    Where no recorded noise is at hand (None), none is added.
    """
    batch = mixup(batch, mixable, 0.5, generator)
    batch = gain(batch, generator)
    if noise is not None:
        batch = add_noise(batch, noise, 0.25, generator)
    batch = time_out(batch, 0.15, generator)
    return drop_leads(batch, 0.4, generator)
