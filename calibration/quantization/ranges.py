"""The range that int8 covers for an activation, from a histogram of its values: MinMax, percentile or entropy.

Histograms count absolute values, because the ranges are symmetric.
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
    """Counts of |x| in `BINS` equal bins from 0 to the largest value so far."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.limit = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values. A new largest value widens the bins by a power of two, so that no count is lost."""
        magnitudes = np.abs(values).ravel()
        largest = float(magnitudes.max(initial=0.0))
        if not self.limit:
            self.limit = largest
        while self.limit and largest > self.limit:
            # Pairs of bins merge, so that counts stay exact.
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2, np.int64)])
            self.limit *= 2.0
        if self.limit:
            self.counts += np.histogram(magnitudes, BINS, (0.0, self.limit))[0]
        else:
            self.counts[0] += magnitudes.size

    def range(self, method: Method) -> float:
        """Return the absolute value of the largest int8 level."""
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
    """KL divergence of the values from their quantization to 128 levels over the first `bins` bins.

    As in Migacz 2017, "8-bit inference with TensorRT": in the reference, values over the limit count in the last bin;
    each level spreads its count evenly over those of its bins that are not empty.
    """
    inside = counts[:bins].astype(np.float64)
    reference = inside.copy()
    reference[-1] += counts[bins:].sum()
    level = np.arange(bins) * _LEVELS // bins  # of each bin
    full = inside > 0
    sums = np.bincount(level, inside, _LEVELS)
    holders = np.bincount(level, full, _LEVELS)
    coarse = np.where(full, (sums / np.maximum(holders, 1.0))[level], 0.0)
    p = reference / max(reference.sum(), 1.0)  # distributions before and after quantization
    q = coarse / max(coarse.sum(), 1.0)
    some = p > 0
    return float((p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))).sum())


def least_divergence(counts: NDArray[np.int64]) -> int:
    """Return the number of bins with the least divergence; the larger one if two are equal.

    The first bin gets the count of its neighbour, as in NVIDIA's pytorch-quantization (calib/histogram.py). A ReLU or
    an absent lead makes so many zeros that they would decide, though zeros are exact in any range.
    """
    counts = np.concatenate([counts[1:2], counts[1:]])
    used = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else BINS
    if used <= _LEVELS:
        return used
    candidates = np.unique([*range(_LEVELS, used, _STEP), used])
    found = [divergence(counts, int(bins)) for bins in candidates]
    return int(candidates[len(found) - 1 - int(np.argmin(found[::-1]))])
