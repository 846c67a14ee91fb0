"""The latest latencies. One thread adds, any other may ask; no locks. Time is handed in."""

import math

import numpy as np
from numpy.typing import NDArray

_KEPT = 100_000


class RecentLatencies:
    """Keeps the latencies of the last windows, in memory that is taken at once and never grows.

    Parameters
    ----------
    kept : windows at most
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._latency_s = np.full(kept, math.nan, np.float32)
        self._at_s = np.full(kept, -math.inf)
        self._next = 0

    def add(self, latency_s: float, now_s: float) -> None:
        """Note the latency of a window that was decided now, by a clock that never steps."""
        self._latency_s[self._next] = latency_s
        self._at_s[self._next] = now_s
        self._next = (self._next + 1) % self._at_s.size

    def after(self, since_s: float = -math.inf) -> NDArray[np.float32]:
        """Return (windows,) the latencies, in s, of those that were decided after a time, in no order."""
        latencies: NDArray[np.float32] = self._latency_s[self._at_s > since_s]
        return latencies
