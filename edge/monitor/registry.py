"""The streams of a running monitor, and the account over all of them."""

import threading

from edge.core.samples import Cause
from edge.monitor.stream_monitor import StreamMonitor
from edge.monitor.totals import EMPTY, Totals, missing_totals


class StreamRegistry:
    """Knows each stream from its first block until its account is closed; any thread may use it.

    A stream is open while its source sends, then closing until the classifier thread has decided its last window. The
    totals of closed streams are kept, so no instant leaves the account.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, StreamMonitor] = {}
        self._closing: list[StreamMonitor] = []
        self._closed_totals = EMPTY

    def __len__(self) -> int:
        return len(self._open)

    def get(self, stream: str) -> StreamMonitor | None:
        """Return the monitor of a stream that is open."""
        return self._open.get(stream)

    def add(self, monitor: StreamMonitor) -> None:
        """Add a stream that opens."""
        with self._lock:
            self._open[monitor.stream] = monitor

    def start_closing(self, stream: str) -> StreamMonitor | None:
        """Let a stream close, and return its monitor; None when it is not open."""
        with self._lock:
            monitor = self._open.pop(stream, None)
            if monitor is not None:
                self._closing.append(monitor)
        return monitor

    def close(self, monitor: StreamMonitor) -> None:
        """Remove a stream whose account is closed, and keep its totals."""
        with self._lock:
            self._closing.remove(monitor)
            self._closed_totals += monitor.totals

    def count_missing(self, instants: int, cause: Cause) -> None:
        """Count instants that no stream monitor counts; fewer than 0 take some back."""
        with self._lock:
            self._closed_totals += missing_totals(instants, cause)

    def open_monitors(self) -> list[StreamMonitor]:
        """Return the streams that are open, the one opened first at the front."""
        with self._lock:
            return list(self._open.values())

    def monitors(self) -> list[StreamMonitor]:
        """Return the streams that are open or closing."""
        with self._lock:
            return [*self._open.values(), *self._closing]

    def totals(self) -> Totals:
        """Return the sums over all streams at this moment."""
        # Under the lock, so that a stream that closes meanwhile is counted once.
        with self._lock:
            current = [monitor.totals for monitor in (*self._open.values(), *self._closing)]
            return sum(current, self._closed_totals)
