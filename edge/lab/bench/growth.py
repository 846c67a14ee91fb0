"""Decides whether memory, descriptors, threads and latencies grow during a soak.

Memory may grow by `MOST_MB_PER_DAY`, with 95% confidence. Descriptors and threads may vary by `MOST_MORE`. The median
latency of no quarter may be `MOST_SLOWER` times that of the first one.
"""

import itertools
import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.monitor.latencies import Latency

MOST_MB_PER_DAY = 2.0
MOST_MORE = 2
MOST_SLOWER = 2.0
FEWEST = 5  # points needed to fit a line
_RANDOM_WALK = 0.7


class Slope(msgspec.Struct, frozen=True):
    """The slope of a fitted line per day and its 95% interval, infinite with too few points."""

    per_day: float
    low: float
    high: float


def slope_of(hours: Sequence[float], values: Sequence[float]) -> Slope:
    """Fit a line to points in order of time whose errors are correlated.

    Each error is `r` times the one before plus an independent part (AR(1)). `r` is estimated from the residuals of a
    plain fit and corrected for its bias of about (2 + 4 r) / n; the line is then fitted to the independent parts (Prais
    & Winsten 1954). An `r` above `_RANDOM_WALK` cannot be told from 1, the worst case, and is taken as 1.
    """
    from scipy.stats import t as student  # takes a second to import, and only the bench needs it

    x, y = np.asarray(hours) / 24, np.asarray(values, np.float64)
    count = x.size
    if count < FEWEST:
        return Slope(0.0, -math.inf, math.inf)
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    power = float(residuals @ residuals)
    plain = float(residuals[1:] @ residuals[:-1]) / power if power else 0.0
    correlation = max((plain * count + 2) / (count - 4), 0.0)
    correlation = 1.0 if correlation > _RANDOM_WALK else correlation

    def independent(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([math.sqrt(1 - correlation**2) * points[:1], points[1:] - correlation * points[:-1]])

    line, y = independent(np.stack([x, np.ones(count)], axis=1)), independent(y)
    covariance = np.linalg.pinv(line.T @ line)  # pseudo-inverse: with a correlation of 1 the offset is undetermined
    slope, offset = covariance @ line.T @ y
    residuals = y - line @ (slope, offset)
    variance = float(residuals @ residuals) / (count - 2) * covariance[0, 0]
    margin = math.sqrt(variance) * float(student.ppf(0.975, count - 2))
    return Slope(*(round(float(each), 2) for each in (slope, slope - margin, slope + margin)))


def quarters(points: Sequence[Sequence[float]]) -> list[NDArray[np.float64]]:
    """Return the values of each quarter of the points, joined."""
    cuts = [round(len(points) * quarter / 4) for quarter in range(5)]
    return [
        np.concatenate([np.asarray(each, np.float64) for each in points[first:end]])
        for first, end in itertools.pairwise(cuts)
    ]


def find_growth(
    memory: Slope, descriptors: tuple[int, int], threads: tuple[int, int], latencies: Sequence[Latency]
) -> tuple[str, ...]:
    """Return a message for each figure that grew."""
    found = []
    if not memory.high <= MOST_MB_PER_DAY:
        found.append(
            f"memory may grow by {memory.high:g} MB a day, more than {MOST_MB_PER_DAY:g}: "
            "either it grows, or the soak was too short to tell"
        )
    for name, (least, most) in (("descriptors", descriptors), ("threads", threads)):
        if most - least > MOST_MORE:
            found.append(f"{least} to {most} {name}")
    # The median, not p99: a single pause of the machine must not fail a day's soak.
    slowest = max(each.p50 for each in latencies)
    if slowest > MOST_SLOWER * latencies[0].p50:
        found.append(f"a median latency of {slowest:g} ms, after {latencies[0].p50:g} ms in the first quarter")
    return tuple(found)
