"""The loops of the service: each must turn, or rest while it waits for work; one that does neither is stuck.

A turn costs one look at the clock. A loop whose thread died has not gone to rest, and so is stuck too.
"""

import math
import time
from collections.abc import Callable


class Loop:
    """One loop; its own thread calls `turn` and `rest`, any other may ask. It rests until its first turn.

    Parameters
    ----------
    name : for people
    limit_s : how long one turn may take
    clock_s : gives monotonic time
    """

    __slots__ = ("_clock_s", "_since_s", "limit_s", "name")

    def __init__(self, name: str, limit_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.limit_s = limit_s
        self._clock_s = clock_s
        self._since_s = math.inf

    def turn(self) -> None:
        """Note that a turn begins."""
        self._since_s = self._clock_s()

    def rest(self) -> None:
        """Note that the loop waits for work, which may take any time."""
        self._since_s = math.inf

    @property
    def busy_s(self) -> float:
        """How long the turn has taken so far; 0 at rest."""
        return max(0.0, self._clock_s() - self._since_s)

    @property
    def stuck(self) -> bool:
        """Whether the turn takes longer than it may."""
        return self.busy_s > self.limit_s
