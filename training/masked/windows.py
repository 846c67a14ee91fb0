"""Windows for pretraining: drawn, validated and varied without labels."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.augment import Batch, drop_leads, gain
from training.data.training_set import TrainingSet

_MAX_VALIDATION = 128  # windows of a set


def training_windows(sets: Sequence[TrainingSet], count: int) -> tuple[Tensor, Tensor]:
    """Return about `count` training windows, spread evenly over the sets; the same ones every time.

    Returns
    -------
    signal : (windows, 12, samples) float, mV
    keep : (windows, 12) float
    """
    each = max(1, count // len(sets))
    return _middle_windows([(one, _spread(one.train, each)) for one in sets])


def validation_windows(sets: Sequence[TrainingSet]) -> tuple[Tensor, Tensor]:
    """Return windows of validation stretches, or of training stretches if no set has any; see `training_windows`."""
    parts = [(one, _spread(one.validation, _MAX_VALIDATION)) for one in sets if one.validation.size]
    return _middle_windows(parts or [(one, one.train[:_MAX_VALIDATION]) for one in sets])


def _spread(rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    return rows[:: max(1, rows.size // count)][:count]


def _middle_windows(parts: list[tuple[TrainingSet, NDArray[np.intp]]]) -> tuple[Tensor, Tensor]:
    signals = [one.stretches.windows(rows) for one, rows in parts]
    keeps = [one.stretches.keep[rows] for one, rows in parts]
    return torch.from_numpy(np.concatenate(signals)), torch.from_numpy(np.concatenate(keeps).astype(np.float32))


def vary(batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Vary gain and leads as fine-tuning does, and return signal and keep.

    No noise is added: the network would learn to reconstruct it.
    """
    varied = drop_leads(gain(batch, generator), 0.4, generator)
    return varied.signal, varied.keep
