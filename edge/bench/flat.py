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

from edge.report import Latency

MOST_MB_PER_DAY = 2.0
MOST_MORE = 2
MOST_SLOWER = 2.0
_FEWEST = 4  # points of a line that tells anything


class Slope(msgspec.Struct, frozen=True):
    """The slope of a line of least squares per day, and its 95% interval; infinite where nothing is known."""

    per_day: float
    low: float
    high: float


def slope_of(hours: Sequence[float], values: Sequence[float]) -> Slope:
    """Fit a line; the interval takes neighbouring points for related as far as their residuals say so (AR(1)).

    The number of independent points is n (1 - r) / (1 + r) with the residuals' autocorrelation r at lag one, where it
    is positive (Bayley & Hammersley 1946); Student's t with that many points, less two.
    """
    from scipy.stats import t as student  # takes a second, and the bench alone needs it

    x, y = np.asarray(hours) / 24, np.asarray(values)
    if x.size < _FEWEST:
        return Slope(0.0, -math.inf, math.inf)
    slope, offset = np.polyfit(x, y, 1)
    residuals = y - (slope * x + offset)
    power = float(residuals @ residuals)
    related = max(float(residuals[1:] @ residuals[:-1]) / power, 0.0) if power else 0.0
    independent = max(x.size * (1 - related) / (1 + related), float(_FEWEST - 1))
    error = math.sqrt(power / (independent - 2) / (x.var() * x.size) * (x.size / independent))
    margin = error * float(student.ppf(0.975, independent - 2))
    return Slope(*(round(float(each), 2) for each in (slope, slope - margin, slope + margin)))


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
