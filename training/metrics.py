"""Area under the ROC curve and F1 for many labels at once, unknown entries left out, with bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def auc(scores: NDArray[np.floating], target: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of one label (Mann-Whitney U); NaN when one class is absent.

    `scores` and `target` are (windows,).
    """
    positives = int(target.sum())
    negatives = target.size - positives
    if not positives or not negatives:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[target].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def label_aucs(
    scores: NDArray[np.floating], target: NDArray[np.uint8], known: NDArray[np.uint8] | None = None
) -> NDArray[np.float64]:
    """Area under the ROC curve of each label over the windows where it is known.

    All arguments are (windows, labels); returns (labels,), NaN where undefined.
    """
    seen = np.ones(target.shape, bool) if known is None else known > 0
    return np.array([auc(scores[s, i], target[s, i] > 0) for i, s in enumerate(seen.T)])


def macro(values: NDArray[np.float64]) -> float:
    """Mean of what is defined; NaN when nothing is."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else float("nan")


def f1(predicted: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """F1 of one label; NaN when it neither occurs nor is predicted."""
    total = int(predicted.sum()) + int(target.sum())
    return 2.0 * int((predicted & target).sum()) / total if total else float("nan")


def bootstrap(
    figure: Callable[[NDArray[np.intp]], float], size: int, resamples: int = 300, seed: int = 0
) -> tuple[float, float]:
    """95% percentile interval of a figure over resampled records (Efron 1979).

    `figure` takes the (size,) indices of a resample. Labels that a resample has lost fall out of its mean; NaN where
    no resample has any.
    """
    random = np.random.default_rng(seed)
    values = [figure(random.integers(size, size=size)) for _ in range(resamples)]
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)
