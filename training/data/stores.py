"""The stretches of a set as tensors, cut and conditioned on the device that trains.

On a CPU the signal stays memory-mapped; a GPU takes it into its memory, once. A window without gaps is conditioned by a
matrix: `edge.signal.conditioning.condition` is linear but for its limit. Knows no model.
"""

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.signal.conditioning import LIMIT_MV, condition
from training.data.cache import WindowSet
from training.data.windows import INPUT


class Store:
    """The stretches of one set on one device.

    Parameters
    ----------
    windows : the set
    device : where its tensors are to be
    """

    def __init__(self, windows: WindowSet, device: torch.device | str) -> None:
        self._device = device
        signal = torch.from_numpy(windows.signal).to(device)
        self._windows = signal.unfold(2, INPUT.window_samples, 1)  # a view: (stretches, 12, places, samples)
        self._labels = [torch.from_numpy(x).to(device) for x in (windows.keep, windows.target, windows.known)]
        self._conditioning = conditioning().to(device)

    def windows(self, rows: NDArray[np.intp], places: NDArray[np.integer]) -> Tensor:
        """Return windows as the device sees them, (n, 12, samples) float, mV, each from its place in its stretch."""
        cut = self._windows[self._index(rows), :, self._index(places)]
        return (cut.float() @ self._conditioning).clamp(-LIMIT_MV, LIMIT_MV)

    def keep(self, rows: NDArray[np.intp]) -> Tensor:
        """Return which leads are there, (n, 12) float."""
        return self.labels(rows)[0]

    def labels(self, rows: NDArray[np.intp]) -> list[Tensor]:
        """Return keep (n, 12), target and known (n, labels), each float."""
        index = self._index(rows)
        return [column[index].float() for column in self._labels]

    def _index(self, numbers: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(numbers.astype(np.int64)).to(self._device)


@functools.cache
def conditioning() -> Tensor:
    """Return the matrix that a window without gaps is multiplied by, from the right: (samples, samples) float."""
    samples = INPUT.window_samples
    nothing = np.zeros((samples, samples), bool)
    return torch.from_numpy(condition(np.eye(samples, dtype=np.float32), nothing, INPUT.sample_rate_hz))
