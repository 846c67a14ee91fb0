"""The difference of two sets of outputs on the same decisions, with a paired bootstrap interval.

Records are resampled, not decisions, because the decisions of a record resemble each other. Both sets use the same
resamples (Efron & Tibshirani 1993, ch. 16).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.lab.scoring.bootstrap import draw_counts, percentile_interval
from training.evaluation.metrics import RankedScores


@dataclass(frozen=True)
class Figure:
    """A figure of both sets, and the interval of their difference, second minus first."""

    first: float
    second: float
    ci95: tuple[float, float]  # of the difference

    @property
    def delta(self) -> float:
        """Second minus first."""
        return self.second - self.first


def resample(record: NDArray[np.str_], resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how often each decision counts, (resamples + 1, decisions); the first row is the sample itself."""
    names, index = np.unique(record, return_inverse=True)
    weights = np.ones((resamples + 1, record.size))
    weights[1:] = draw_counts(names.size, resamples, seed)[:, index]  # a record's decisions share its count
    return weights


def aucs(
    scores: NDArray[np.float32], target: NDArray[np.uint8], known: NDArray[np.uint8], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area under the ROC curve of each label for each row of weights, (resamples + 1, labels); NaN if undefined."""
    found = np.empty((len(weights), scores.shape[1]))
    for label in range(scores.shape[1]):
        rows = np.flatnonzero(known[:, label])
        # Sorting once serves all resamples, which only change the weights.
        ranked = RankedScores(scores[rows, label], target[rows, label] > 0)
        found[:, label] = [ranked.auc(w[rows]) for w in weights]
    return found


def f1s(
    above: NDArray[np.bool_], target: NDArray[np.uint8], known: NDArray[np.uint8], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """F1 of each label for each row of weights, (resamples + 1, labels); NaN if no decision has the label."""
    seen, holds = known > 0, target > 0
    right = weights @ (above & holds & seen)
    positive = weights @ (holds & seen)
    predicted = weights @ (above & seen)
    with np.errstate(invalid="ignore"):
        scores: NDArray[np.float64] = np.where(positive > 0, 2.0 * right / (positive + predicted), np.nan)
    return scores


def macro(first: NDArray[np.float64], second: NDArray[np.float64]) -> Figure:
    """Return the means of (resamples + 1, labels) figures over the labels that are defined in both samples."""
    some = np.isfinite(first[0]) & np.isfinite(second[0])  # (labels,)
    if not some.any():
        return Figure(float("nan"), float("nan"), (float("nan"), float("nan")))
    return _figure(_mean(first[:, some]), _mean(second[:, some]))


def label(first: NDArray[np.float64], second: NDArray[np.float64], column: int) -> Figure:
    """Return the figures of one label."""
    return _figure(first[:, column], second[:, column])


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = np.isfinite(values)
    means: NDArray[np.float64] = np.where(defined, values, 0.0).sum(axis=1) / np.maximum(defined.sum(axis=1), 1)
    return means


def _figure(first: NDArray[np.float64], second: NDArray[np.float64]) -> Figure:
    return Figure(float(first[0]), float(second[0]), percentile_interval((second - first)[1:]))
