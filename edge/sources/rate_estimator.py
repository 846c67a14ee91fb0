"""Estimates the true sample rate of a stream, from its sequence and arrival times, for reports only.

A block arrives some time after its last sample was taken. That delay varies, but it is never negative, so the least
delayed arrival in a stretch of time says most. Each stretch keeps one point: that delay against the nominal rate. The
slope of a line through the points is how far the nominal rate is off. The number of points is bounded: when there are
too many, neighbours merge and the stretches double.

Where the delay jumps (a clock was set, the device stood still, a backlog arrived) a new segment begins: all segments
share one slope, each has its own height. Huber's M-estimator, by iteratively reweighted least squares, limits the
influence of outliers. A step too small to be recognised tilts the line by about 1.5 times its share of the time.
"""

import numpy as np
from numpy.typing import NDArray

_STRETCH_S = 2.0
_MAX_POINTS = 256
_JUMP_S = 0.2  # a larger step of the delay, beyond what a rate explains, begins a new segment
_MAX_DRIFT = 0.01  # the largest error of a nominal rate
_MIN_POINTS, _MIN_SPAN_S = 10, 20.0  # with less there is no estimate
_HUBER = 1.345  # in standard deviations: 95 % of the efficiency of least squares on data without outliers
_MAD_TO_SD = 1.4826  # median absolute deviation to standard deviation, of normal data
_ROUNDS = 12
_RESOLUTION_S = 1e-6


class RateEstimator:
    """Estimates one stream's rate.

    Parameters
    ----------
    nominal_hz : the rate that the device states
    """

    def __init__(self, nominal_hz: float) -> None:
        self.nominal_hz = nominal_hz
        self._stretch_s = _STRETCH_S
        self._points: list[tuple[int, float, float]] = []  # (segment, stream time in s, delay in s), one a stretch
        self._segment = 0
        self._best: tuple[float, float] | None = None  # least delayed (stream time, delay) of the open stretch
        self._opened_s = 0.0
        self._last_s = 0.0

    def add(self, end_sample: int, arrived_s: float) -> None:
        """Add an arrival: the samples before index `end_sample` were there at this time of a monotonic clock."""
        stream_s = end_sample / self.nominal_hz
        if stream_s < self._last_s:
            self.restart()
        delay_s = arrived_s - stream_s
        best = self._best
        if best is not None and stream_s - self._opened_s >= self._stretch_s:
            self._keep(best)
            best = None
        if best is None:
            self._opened_s = stream_s
        if best is None or delay_s < best[1]:
            best = (stream_s, delay_s)
        self._best, self._last_s = best, stream_s

    def restart(self) -> None:
        """Begin a new segment, because the device restarted its count. What is known of its rate is kept."""
        if self._best is not None:
            self._keep(self._best)
        self._best, self._last_s = None, 0.0
        self._segment += 1

    @property
    def rate_hz(self) -> float | None:
        """The true rate; None while there is too little data. Safe to read from any thread."""
        points = np.array(tuple(self._points), np.float64).reshape(-1, 3)
        if len(points) < _MIN_POINTS:
            return None
        _, segment, sizes = np.unique(points[:, 0], return_inverse=True, return_counts=True)
        useful = sizes[segment] > 1  # a single point has no slope
        segment = np.unique(segment[useful], return_inverse=True)[1]
        time_s, delay_s = points[useful, 1], points[useful, 2]
        if useful.sum() < _MIN_POINTS or _span(segment, time_s) < _MIN_SPAN_S:
            return None
        return self.nominal_hz / (1.0 + _common_slope(segment, time_s, delay_s))

    @property
    def ppm(self) -> float | None:
        """Error of the nominal rate in parts per million."""
        rate_hz = self.rate_hz
        return None if rate_hz is None else 1e6 * (rate_hz / self.nominal_hz - 1)

    def _keep(self, best: tuple[float, float]) -> None:
        time_s, delay_s = best
        if self._points:
            segment, before_s, delay_before_s = self._points[-1]
            step_s = abs(delay_s - delay_before_s)
            if segment == self._segment and step_s > _JUMP_S + _MAX_DRIFT * (time_s - before_s):
                self._segment += 1
        self._points.append((self._segment, time_s, delay_s))
        if len(self._points) >= _MAX_POINTS:
            self._halve()

    def _halve(self) -> None:
        """Merge pairs of neighbours within a segment, and keep the less delayed of the two."""
        merged: list[tuple[int, float, float]] = []
        single = True
        for point in self._points:
            if merged and merged[-1][0] == point[0] and single:
                merged[-1] = min(merged[-1], point, key=lambda each: each[2])
                single = False
            else:
                merged.append(point)
                single = True
        self._points = merged[-(_MAX_POINTS // 2) :]
        self._stretch_s *= 2.0


def _span(segment: NDArray[np.intp], time_s: NDArray[np.float64]) -> float:
    """Return the length of the longest segment in s."""
    return max(float(np.ptp(time_s[segment == each])) for each in range(segment.max() + 1))


def _common_slope(segment: NDArray[np.intp], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Fit one slope, and a height for each segment, with Huber's weights (scale: median absolute deviation)."""
    weight = np.ones(x.size)
    slope = 0.0
    for _ in range(_ROUNDS):
        total = np.bincount(segment, weight)
        dx = x - (np.bincount(segment, weight * x) / total)[segment]
        dy = y - (np.bincount(segment, weight * y) / total)[segment]
        slope = float((weight * dx * dy).sum() / (weight * dx * dx).sum())
        rest = np.abs(dy - slope * dx)
        bound = _HUBER * max(_MAD_TO_SD * float(np.median(rest)), _RESOLUTION_S)
        weight = np.minimum(1.0, bound / np.maximum(rest, _RESOLUTION_S))
    return slope
