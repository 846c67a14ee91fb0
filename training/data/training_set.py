"""The part of a data set that one training uses, as tensors on the device that trains.

On a CPU the signal stays memory-mapped. A GPU copies it into its memory once.
"""

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.signal.conditioning import LIMIT_MV, condition
from training.data.augment import Batch
from training.data.cache import StretchSet
from training.data.labels import INDEX
from training.data.windows import INPUT, LAST_WINDOW_START

_RARE = ("AF", "AFL", "SVT", "VT", "BIGEMINY", "TRIGEMINY", "PACED", "NOISE", "OTHER", "PAC", "LBBB", "RBBB")
# How much more often than its share a window may be drawn.
_MAX_BOOST = {"ptb-xl": 4.0}
_MAX_BOOST_ELSEWHERE = 12.0


class TrainingSet:
    """Stretches that train, stretches that validate, and how often each is drawn.

    Parameters
    ----------
    stretches : the data set
    train, validation : (rows,) the stretches of each part
    share : of a batch, relative to the shares of the other sets
    weights : (train rows,) how often each stretch is drawn, relative to the others; None: all equally often
    device : where the tensors are
    """

    def __init__(
        self,
        stretches: StretchSet,
        train: NDArray[np.intp],
        validation: NDArray[np.intp],
        share: float,
        weights: NDArray[np.float64] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.stretches, self.train, self.validation, self.share = stretches, train, validation, share
        self._cumulative = np.cumsum(np.ones(train.size) if weights is None else weights)
        self._device = device
        signal = torch.from_numpy(stretches.signal).to(device)
        self._windows = signal.unfold(2, INPUT.window_samples, 1)  # a view: (stretches, 12, starts, samples)
        self._keep, self._target, self._known = (
            torch.from_numpy(column).to(device) for column in (stretches.keep, stretches.target, stretches.known)
        )
        self._conditioning = conditioning_matrix().to(device)

    def draw(self, count: int, random: np.random.Generator) -> Batch:
        """Draw windows of training stretches, each from a random place or from where its labels hold."""
        # Drawing by the cumulative weights takes one search for the whole batch.
        drawn = random.random(count) * self._cumulative[-1]
        rows = self.train[np.searchsorted(self._cumulative, drawn, side="right")]
        anywhere = random.integers(LAST_WINDOW_START + 1, size=count)
        return self.windows(rows, self.stretches.window_starts(rows, anywhere))

    def windows(self, rows: NDArray[np.intp], starts: NDArray[np.integer]) -> Batch:
        """Return the windows that begin at these samples of these stretches, conditioned as on the device."""
        index = self._index(rows)
        cut = self._windows[index, :, self._index(starts)]  # (rows, 12, samples)
        signal = (cut.float() @ self._conditioning).clamp(-LIMIT_MV, LIMIT_MV)
        return Batch(signal, *(column[index].float() for column in (self._keep, self._target, self._known)))

    def _index(self, numbers: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(numbers.astype(np.int64)).to(self._device)


@functools.cache
def conditioning_matrix() -> Tensor:
    """Return the matrix that conditions a window without gaps, multiplied from the right: (samples, samples) float.

    One product conditions a whole batch. This works because `edge.signal.conditioning.condition` is linear for such
    windows, except for its limit.
    """
    samples = INPUT.window_samples
    no_gaps = np.zeros((samples, samples), bool)
    return torch.from_numpy(condition(np.eye(samples, dtype=np.float32), no_gaps, INPUT.sample_rate_hz))


def rarity_weights(stretches: StretchSet, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Weigh stretches by their rarest label: the square root of how much rarer it is than one in ten; (rows,)."""
    target = (stretches.target & stretches.known)[rows][:, [INDEX[name] for name in _RARE]].astype(np.float64)
    frequency = np.maximum(target.mean(axis=0), 1e-6)  # a label may never occur in this part
    # The square root, and a limit: else a few windows of a rare label would be seen over and over.
    boost = np.clip(np.sqrt(0.1 / frequency), 1.0, _MAX_BOOST.get(stretches.name, _MAX_BOOST_ELSEWHERE))
    weights: NDArray[np.float64] = np.maximum((target * boost).max(axis=1), 1.0)
    return weights
