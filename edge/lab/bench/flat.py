"""Tells what stays as it is from what grows. Pure; knows nothing of processes.

The limits of a soak: memory may grow by `MOST_MB_PER_DAY` at most, with 95% confidence; descriptors and threads may
vary by `MOST_MORE`; the median latency of no quarter may be `MOST_SLOWER` times that of the first.
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
FEWEST = 5  # points of a line that tells anything
_WALK = 0.7


class Slope(msgspec.Struct, frozen=True):
    """The slope of a line of least squares per day, and its 95% interval; infinite where nothing is known."""

    per_day: float
    low: float
    high: float


def slope_of(hours: Sequence[float], values: Sequence[float]) -> Slope:
    """Fit a line to points in order of time whose errors hang together.

    Each error is `r` times the one before and something new (AR(1)). `r` comes from the residuals of a plain fit,
    which takes about (2 + 4 r) / n from it; the line is then fitted to what is new in each point (Prais & Winsten
    1954). An `r` above `_WALK` cannot be told from 1, and so is 1: errors that walk at random, the worst case.
    """
    from scipy.stats import t as student  # takes a second, and the bench alone needs it

    x, y = np.asarray(hours) / 24, np.asarray(values, np.float64)
    count = x.size
    if count < FEWEST:
        return Slope(0.0, -math.inf, math.inf)
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    power = float(residuals @ residuals)
    plain = float(residuals[1:] @ residuals[:-1]) / power if power else 0.0
    related = max((plain * count + 2) / (count - 4), 0.0)
    related = 1.0 if related > _WALK else related

    def new_in(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([math.sqrt(1 - related**2) * points[:1], points[1:] - related * points[:-1]])

    line, y = new_in(np.stack([x, np.ones(count)], axis=1)), new_in(y)
    spread = np.linalg.pinv(line.T @ line)  # without an offset where errors walk: it walks with them
    found = spread @ line.T @ y
    left = y - line @ found
    margin = math.sqrt(float(left @ left) / (count - 2) * spread[0, 0]) * float(student.ppf(0.975, count - 2))
    return Slope(*(round(float(each), 2) for each in (found[0], found[0] - margin, found[0] + margin)))


def quarters(points: Sequence[Sequence[float]]) -> list[NDArray[np.float64]]:
    """Return what was heard in each quarter of the points, put together."""
    cuts = [round(len(points) * quarter / 4) for quarter in range(5)]
    return [
        np.concatenate([np.asarray(each, np.float64) for each in points[first:end]])
        for first, end in itertools.pairwise(cuts)
    ]


def troubles(
    memory: Slope, descriptors: tuple[int, int], threads: tuple[int, int], latencies: Sequence[Latency]
) -> tuple[str, ...]:
    """Say what is not flat."""
    found = []
    if not memory.high <= MOST_MB_PER_DAY:
        found.append(
            f"memory may grow by {memory.high:g} MB a day, more than {MOST_MB_PER_DAY:g}; it does grow, "
            "or the soak was too short to tell"
        )
    for what, (least, most) in (("descriptors", descriptors), ("threads", threads)):
        if most - least > MOST_MORE:
            found.append(f"{least} to {most} {what}")
    slowest = max(each.p50 for each in latencies)
    if slowest > MOST_SLOWER * latencies[0].p50:
        found.append(f"a median latency of {slowest:g} ms, after {latencies[0].p50:g} ms in the first quarter")
    return tuple(found)
