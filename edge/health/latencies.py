"""The latest latencies, and their quantiles. One thread adds, any other may ask; no locks. Time is handed in."""

import numpy as np

_KEPT = 8192
_HORIZON_S = 300.0


class RecentLatencies:
    """Keeps the latencies of the last five minutes, and of the last 8192 windows at most."""

    def __init__(self) -> None:
        self._latency_s = np.zeros(_KEPT, np.float32)
        self._at_s = np.full(_KEPT, -np.inf)
        self._next = 0

    def add(self, latency_s: float, now_s: float) -> None:
        """Note the latency of a window that was decided now, by a clock that never steps."""
        self._latency_s[self._next] = latency_s
        self._at_s[self._next] = now_s
        self._next = (self._next + 1) % _KEPT

    def quantiles_s(self, quantiles: tuple[float, ...], now_s: float) -> tuple[int, list[float]]:
        """Return how many windows there were lately and their quantiles in s; none without windows."""
        recent = self._latency_s[self._at_s >= now_s - _HORIZON_S]
        return recent.size, np.quantile(recent, quantiles).tolist() if recent.size else []
