"""Latencies of the latest windows.

One thread adds, any thread may read. There is no lock: a reader may see a figure that is just being replaced.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

_KEPT = 100_000


class RecentLatencies:
    """Keeps the latencies of the last windows in a ring, which is allocated once.

    Parameters
    ----------
    kept : most windows
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._latency_s = np.full(kept, math.nan, np.float32)
        self._at_s = np.full(kept, -math.inf)
        self._next = 0

    def add(self, latency_s: float, now_s: float) -> None:
        """Add the latency of a window that was decided at `now_s`, on the monotonic clock."""
        self._latency_s[self._next] = latency_s
        self._at_s[self._next] = now_s
        self._next = (self._next + 1) % self._at_s.size

    def after(self, since_s: float = -math.inf) -> NDArray[np.float32]:
        """Return the latencies, (windows,) in s, of windows decided after a time; in no particular order."""
        latencies: NDArray[np.float32] = self._latency_s[self._at_s > since_s]
        return latencies


class Latency(msgspec.Struct, frozen=True):
    """Time from the arrival of a window's last block to its decision, in milliseconds."""

    p50: float
    p99: float
    max: float


def latency_of(latencies_s: Sequence[float] | NDArray[np.floating]) -> Latency:
    """Return the quantiles of latencies in seconds; zeros when there are none."""
    if not len(latencies_s):
        return Latency(0.0, 0.0, 0.0)
    p50, p99, worst = (round(1e3 * float(q), 3) for q in np.quantile(latencies_s, [0.5, 0.99, 1.0]))
    return Latency(p50, p99, worst)
