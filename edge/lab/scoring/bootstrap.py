"""Confidence intervals by bootstrap: draw the units again with replacement, and compute the figure anew (Efron 1979).

A unit is a patient or a record, never a window: the windows of one record resemble each other. To compare two
networks, compute both figures on the same draws (paired bootstrap, Efron & Tibshirani 1993, chapter 16).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_PERCENTILES = (2.5, 97.5)
Interval = tuple[float, float]


def draw_counts(units: int, resamples: int, seed: int = 0) -> NDArray[np.int64]:
    """Return (resamples, units): how often each unit is drawn in each resample."""
    drawn = np.random.default_rng(seed).integers(units, size=(resamples, units))
    # One call counts all resamples: each gets bins of its own. A loop over resamples takes ten times as long.
    cells = drawn + units * np.arange(resamples)[:, None]
    return np.bincount(cells.ravel(), minlength=resamples * units).reshape(resamples, units)


def percentile_interval(values: NDArray[np.float64]) -> Interval:
    """Return the 95% percentile interval of a figure over its resamples.

    Resamples in which the figure is undefined (NaN) are left out; (NaN, NaN) where it is undefined in all of them.
    """
    defined = values[np.isfinite(values)]
    if not defined.size:
        return float("nan"), float("nan")
    low, high = np.percentile(defined, _PERCENTILES)
    return float(low), float(high)


def bootstrap_interval(
    figure: Callable[[NDArray[np.intp]], float], units: int, resamples: int = 300, seed: int = 0
) -> Interval:
    """Return the 95% interval of a figure; `figure` takes the indices of the units in one resample, with repeats."""
    # Indices with repeats, not weights: any figure can be computed on them, such as a median or an F1.
    counts = draw_counts(units, resamples, seed)
    return percentile_interval(np.array([figure(np.repeat(np.arange(units), count)) for count in counts]))
