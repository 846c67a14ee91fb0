"""Load shedding: which windows are given up while more come than can be classified, of every stream the same share.

Overload is a standing queue: the least wait in a hop stays long, whereas a burst or a short stall raises single waits
only (CoDel; Nichols & Jacobson 2012, doi 10.1145/2209249.2209264). Once a hop the share of the windows that is
classified is adapted:

    least wait over a quarter of a hop, twice, and not falling ──► overload: the share shrinks
    less, and the classifier is idle for part of the time      ──► the share grows by as much as that time allows
    less than a tenth of a hop                                 ──► the share grows by a step, as a trial
    every window classified for `_CALM_HOPS` hops              ──► the overload is over
"""

import logging
import math
from collections.abc import Hashable

_LOG = logging.getLogger(__name__)
_LONG_WAIT, _SHORT_WAIT = 0.25, 0.1  # hops
_FALLING = 0.95  # a wait below so much of the one in the hop before is falling
_SHRINK, _STEP = 0.8, 0.05  # the share shrinks by a factor and grows by steps
_MAX_GROWTH = 2.0  # of the share, in a hop
_BUSY_TARGET = 0.9  # part of the time that the classifier may be busy
_BUSY_IDLE = 0.8  # below this the classifier clearly has time to spare
_CALM_HOPS = 30
_IDLE_COUNTS = 6  # calm hops for a hop with idle time: the overload ends soon once the load has clearly fallen
_MIN_SHARE = 0.01
_GOLDEN_RATIO = 0.618034  # spreads the first credits evenly, so that streams that begin together take turns
_MAX_CREDIT = 8.0  # of a stream that lost windows to a full queue


class Shedder:
    """Measures how long windows wait, and decides which are classified.

    Each stream has a credit. It grows by the share with each of its windows, and a window is classified when it
    reaches 1. So all streams lose the same share, evenly spread over time, as if their hop were longer. A stream that
    loses a window because the queue is full keeps its credit.

    Parameters
    ----------
    hop_s : of the windows; the share changes at most once in this time, because a change needs time to show
    """

    def __init__(self, hop_s: float) -> None:
        self.share = 1.0  # of the windows of each stream that is classified
        self.overloaded = False
        self._hop_s = hop_s
        self._period_began_s: float | None = None  # the share is adapted once in a period
        self._busy_s = 0.0  # in this period
        self._least_wait_s = math.inf  # in this period
        self._last_wait = 0.0  # the least of the period before, in hops
        self._calm_hops = 0
        self._credits: dict[Hashable, float] = {}
        self._streams_begun = 0

    def observe(self, arrived_s: float, taken_s: float, decided_s: float) -> None:
        """Note a batch: when its first window arrived, was taken by the classifier, and was decided."""
        if self._period_began_s is None:
            self._period_began_s = taken_s
        self._busy_s += decided_s - taken_s
        self._least_wait_s = min(self._least_wait_s, taken_s - arrived_s)
        passed_s = decided_s - self._period_began_s
        if passed_s >= self._hop_s:
            self._adapt(self._least_wait_s / self._hop_s, self._busy_s / passed_s)
            self._period_began_s, self._busy_s, self._least_wait_s = decided_s, 0.0, math.inf

    def keeps(self, stream: Hashable, *, full: bool) -> bool:
        """Return whether the next window of a stream is classified; `full`: the queue has no room for it."""
        credit = self._credits.get(stream)
        if credit is None:
            self._streams_begun += 1
            credit = self._streams_begun * _GOLDEN_RATIO % 1.0
        credit = min(credit + self.share, _MAX_CREDIT)
        kept = credit >= 1.0 and not full
        self._credits[stream] = credit - kept
        return kept

    def forget(self, stream: Hashable) -> None:
        """Drop the credit of a stream that has ended."""
        self._credits.pop(stream, None)

    def _adapt(self, wait: float, busy: float) -> None:
        """Adapt the share to the least wait, in hops, and the part of the time that the classifier was busy."""
        standing = min(wait, self._last_wait) > _LONG_WAIT and wait > _FALLING * self._last_wait
        self._last_wait = wait
        if standing:
            self._begin_overload()
            self.share = max(self.share * _SHRINK, _MIN_SHARE)
        elif wait <= _LONG_WAIT and self.share < 1.0:
            self._grow(wait, busy)
        elif wait <= _LONG_WAIT and self.overloaded:
            self._calm_hops += _IDLE_COUNTS if busy < _BUSY_IDLE else 1
            if self._calm_hops >= _CALM_HOPS:
                self._end_overload()

    def _grow(self, wait: float, busy: float) -> None:
        grown = self.share * min(_BUSY_TARGET / max(busy, 0.01), _MAX_GROWTH)
        if wait < _SHORT_WAIT:
            grown = max(grown, self.share + _STEP)
        self.share = min(max(grown, self.share), 1.0)

    def _begin_overload(self) -> None:
        if not self.overloaded:
            _LOG.warning("overload: more windows come than can be classified; all streams lose the same share of them")
        self.overloaded, self._calm_hops = True, 0

    def _end_overload(self) -> None:
        self.overloaded = False
        _LOG.warning("overload is over: every window is classified again")
