"""From the values that an activation takes to the range that int8 shall cover: MinMax, percentile, entropy.

A histogram counts absolute values, because the ranges are symmetric. Knows nothing of graphs.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = get_args(Method)
BINS = 2048
PERCENTILE = 99.99
_LEVELS = 128  # of a symmetric int8 value's magnitude: 0 to 127
_STEP = 8  # bins between two limits that the entropy search compares


class Histogram:
    """Counts of |x| in `BINS` equal bins from 0 to the largest value that was met."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.limit = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values; a larger one than any before widens the bins by a power of two, so that none is lost."""
        magnitudes = np.abs(values).ravel()
        largest = float(magnitudes.max(initial=0.0))
        if not self.limit:
            self.limit = largest
        while self.limit and largest > self.limit:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2, np.int64)])
            self.limit *= 2.0
        if self.limit:
            self.counts += np.histogram(magnitudes, BINS, (0.0, self.limit))[0]
        else:
            self.counts[0] += magnitudes.size

    def range(self, method: Method) -> float:
        """Return the absolute value that the largest int8 level shall stand for."""
        match method:
            case "minmax":
                return self._edge(int(np.flatnonzero(self.counts)[-1]) + 1) if self.counts.any() else 0.0
            case "percentile":
                share = np.cumsum(self.counts) / max(self.counts.sum(), 1)
                return self._edge(int(np.searchsorted(share, PERCENTILE / 100.0)) + 1)
            case "entropy":
                return self._edge(least_divergence(self.counts))

    def _edge(self, bins: int) -> float:
        return self.limit * bins / BINS


def divergence(counts: NDArray[np.int64], bins: int) -> float:
    """KL divergence of the values from what 128 levels over the first `bins` bins make of them.

    As in Migacz 2017, "8-bit inference with TensorRT": values beyond the limit count in its last bin of the
    reference; the levels spread their count evenly over those of their bins that hold anything.
    """
    inside = counts[:bins].astype(np.float64)
    reference = inside.copy()
    reference[-1] += counts[bins:].sum()
    level = np.arange(bins) * _LEVELS // bins
    full = inside > 0
    sums = np.bincount(level, inside, _LEVELS)
    holders = np.bincount(level, full, _LEVELS)
    coarse = np.where(full, (sums / np.maximum(holders, 1.0))[level], 0.0)
    p = reference / max(reference.sum(), 1.0)
    q = coarse / max(coarse.sum(), 1.0)
    some = p > 0
    return float((p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))).sum())


def least_divergence(counts: NDArray[np.int64]) -> int:
    """Return the number of bins whose limit has the least divergence; of equals, the larger.

    The first bin counts as its neighbour does: zeros are exact in any range, and a ReLU or an absent lead makes
    so many of them that they would decide (so does NVIDIA's pytorch-quantization, calib/histogram.py).
    """
    counts = np.concatenate([counts[1:2], counts[1:]])
    used = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else BINS
    if used <= _LEVELS:
        return used
    candidates = np.unique([*range(_LEVELS, used, _STEP), used])
    found = [divergence(counts, int(bins)) for bins in candidates]
    return int(candidates[len(found) - 1 - int(np.argmin(found[::-1]))])
