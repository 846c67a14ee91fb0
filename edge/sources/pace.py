"""Paces a replay: stream time passes at a multiple of real time."""

import math
import threading
import time


class Pace:
    """Waits until each block is due. A speed of infinity never waits."""

    def __init__(self, speed: float, stopped: threading.Event) -> None:
        self._speed = speed
        self._stopped = stopped
        self._began: tuple[float, float] | None = None  # stream time and monotonic time of the first block

    def wait(self, stream_s: float) -> None:
        """Return when a block that ends at this stream time is due."""
        if math.isinf(self._speed):
            return
        if self._began is None:
            self._began = stream_s, time.monotonic()
        due_s = self._began[1] + (stream_s - self._began[0]) / self._speed
        self._stopped.wait(max(due_s - time.monotonic(), 0.0))
