"""How irregular the rhythm is: the evidence of the RR intervals for atrial fibrillation.

Features of the last intervals, each free of unit, go through a logistic regression that was fitted on CinC 2017.
Intervals beside ventricular beats, and across a gap, are left out. Sources: D. E. Lake and J. R. Moorman, Am J Physiol
Heart 2011;300:H319 (entropy of short records); S. Dash et al., Ann Biomed Eng 2009;37:1701 (turning points, RMSSD).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.beats.classes import ClassifiedBeat

INTERVALS = 40  # that are looked at
FEWEST = 16
_RENEW = 3  # beats after which the answer is worked out anew
_NEAR = (0.03, 0.06, 0.10)  # of the median interval: what counts as the same
NAMES = (
    "median_change",
    "mean_change",
    "changes",
    "same_3",
    "same_6",
    "same_10",
    "entropy",
    "turns",
    "alternation",
    "spread",
)


@dataclass(frozen=True)
class Weights:
    """Of the logistic regression on standardised features."""

    centre: tuple[float, ...]
    spread: tuple[float, ...]
    weight: tuple[float, ...]
    bias: float


# Fitted on 1,296 records of CinC 2017 (A against N and O) by `training/beats/irregularity.py`.
WEIGHTS = Weights(
    centre=(-2.84119, -2.36924, 0.42328, 0.33647, 0.49753, 0.60854, 0.70092, 0.58483, -0.03621, -1.49917),
    spread=(1.14229, 1.04888, 0.33553, 0.24679, 0.28578, 0.27838, 0.69155, 0.14202, 0.3019, 0.99457),
    weight=(-0.25096, 0.17635, 1.52049, -0.0396, 0.14026, 0.27046, 1.88011, 0.24908, -0.17837, -0.29866),
    bias=-1.3423,
)


def features(intervals: Sequence[float]) -> NDArray[np.float64]:
    """Return (features,) of at least `FEWEST` intervals in seconds."""
    rr = np.asarray(intervals, np.float64)
    rr = rr / np.median(rr)
    change = np.diff(rr)
    size = np.abs(change)
    distance = np.abs(rr[:, None] - rr[None, :])
    pairs = np.triu_indices(rr.size, 1)
    same = [float((distance[pairs] < near).mean()) for near in _NEAR]
    turns = float((change[1:] * change[:-1] < 0).mean())
    power = float((change * change).mean()) + 1e-6
    alternation = float((change[2:] * change[:-2]).mean()) / power if change.size > 2 else 0.0
    return np.array(
        [
            np.log(np.median(size) + 0.005),
            np.log(size.mean() + 0.005),
            float((size > _NEAR[1]).mean()),
            *same,
            _entropy(distance),
            turns,
            alternation,
            np.log(np.quantile(rr, 0.9) - np.quantile(rr, 0.1) + 0.01),
        ]
    )


def _entropy(distance: NDArray[np.float64], near: float = 0.06) -> float:
    """Return the sample entropy of length 1: how much less often neighbours of like intervals are alike."""
    alike = distance[:-1, :-1] < near
    both = alike & (distance[1:, 1:] < near)
    first = alike.sum() - alike.shape[0]
    second = both.sum() - alike.shape[0]
    return float(np.log((first + 1.0) / (second + 1.0)))


class Irregularity:
    """The evidence for atrial fibrillation, beat by beat."""

    def __init__(self, weights: Weights = WEIGHTS) -> None:
        self._weights = weights
        self._intervals: deque[float] = deque(maxlen=INTERVALS)
        self._last: ClassifiedBeat | None = None
        self._answer: float | None = None
        self._pushed = 0

    def push(self, beat: ClassifiedBeat) -> float | None:
        """Take the next beat and return the probability; None while too few intervals are known."""
        if beat.kind == "X":
            return self._probability()
        before, self._last = self._last, beat
        if before is None or not beat.joined:
            self._intervals.clear()
        elif before.kind not in "VF" and beat.kind not in "VF":
            self._intervals.append(beat.time_s - before.time_s)
        return self._probability()

    def _probability(self) -> float | None:
        self._pushed += 1
        if len(self._intervals) < FEWEST:
            self._answer = None
        elif self._answer is None or self._pushed % _RENEW == 0:
            self._answer = probability(features(self._intervals), self._weights)
        return self._answer


def probability(values: NDArray[np.float64], weights: Weights = WEIGHTS) -> float:
    """Return the logistic regression's answer."""
    scaled = (values - np.array(weights.centre)) / np.array(weights.spread)
    return float(1 / (1 + np.exp(-(scaled @ np.array(weights.weight) + weights.bias))))
