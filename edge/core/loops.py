"""Loops of the service that a watchdog can check: each turns, or rests while it waits for work.

A turn that takes too long means that the loop is stuck. A loop whose thread died looks stuck too, because the thread
did not come back to rest. A turn costs one reading of the clock.
"""

import math
import time
from collections.abc import Callable


class Loop:
    """One loop. Its own thread calls `turn` and `rest`; any thread may read its state. It rests until its first turn.

    Parameters
    ----------
    name : for people
    limit_s : how long one turn may take
    clock_s : gives monotonic time
    """

    __slots__ = ("_began_s", "_clock_s", "limit_s", "name")

    def __init__(self, name: str, limit_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.limit_s = limit_s
        self._clock_s = clock_s
        self._began_s = math.inf  # when the turn began; infinite at rest, so that the loop is never stuck then

    def turn(self) -> None:
        """Note that a turn begins."""
        self._began_s = self._clock_s()

    def rest(self) -> None:
        """Note that the loop waits for work, which may take any time."""
        self._began_s = math.inf

    @property
    def busy_s(self) -> float:
        """How long the turn has taken so far; 0 at rest."""
        return max(0.0, self._clock_s() - self._began_s)

    @property
    def stuck(self) -> bool:
        """Whether the turn takes longer than it may."""
        return self.busy_s > self.limit_s
